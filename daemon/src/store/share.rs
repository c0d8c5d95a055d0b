//! What a batch adds, by the namespaces that pay for it.

use std::collections::HashMap;

use datacache_proto::layout::is_cut;
use datacache_proto::log::{Kind, OPERATION_HEAD};
use datacache_proto::recent::KeyHash;
use datacache_proto::record::{Record, TagsBuf, Value};
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;

use super::admission::Need;
use super::before::Before;
use super::charge::{blocks, charge};
use super::command::{Batch, Command, Put};
use super::error::StoreError;
use super::lookup::{Seen, seen};
use super::store::Store;
use super::swelling::scattered;
use crate::eviction::Volume;

/// Stands for a namespace that a batch begins, which has no number yet.
pub(super) const NEW_NAMESPACE: u32 = u32::MAX - 1;

/// What a batch adds to one namespace: to what the namespace pays for, and to what the store does.
#[derive(Debug, Default)]
pub(super) struct Share {
    pub(super) namespace: u32,
    pub(super) own: Need,
    pub(super) all: u64,
    /// Files of values that replace others, which go later.
    pub(super) passing: u64,
    /// Rows that come to stand among others.
    pub(super) scattered: u64,
}

/// An entry as it counts: one that is there, or one to be.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// What its namespace pays for it.
    charge: u64,
    is_held: bool,
    /// Its file, and what that takes, which is part of the charge.
    blob: Option<(Digest, u64)>,
}

/// An entry that a put replaces.
#[derive(Clone, Copy, Debug)]
struct Old {
    standing: Standing,
    /// Whether it has the value of the put, its time is not over, and no lease ends it.
    is_same_for_good: bool,
}

/// A put that is before another of its key in a batch.
#[derive(Clone, Copy, Debug)]
struct Earlier<'b> {
    put: &'b Put,
    standing: Standing,
    /// Whether no lease ends its entry.
    is_for_good: bool,
}

/// What the puts of a batch come to that are before another in it.
#[derive(Debug, Default)]
struct Ahead<'b> {
    entries: HashMap<(&'b str, &'b [u8]), Earlier<'b>>,
    /// By how much more entries a file is named.
    references: HashMap<Digest, i64>,
}

impl Earlier<'_> {
    /// Returns it as what the next put of its key replaces.
    fn replaced_by(&self, put: &Put, now: Timestamp) -> Old {
        let same = self.put.codec == put.codec && self.put.value.as_value() == put.value.as_value();
        let is_live = self.put.expires.is_none_or(|expires| now < expires);
        Old { standing: self.standing, is_same_for_good: same && is_live && self.is_for_good }
    }
}

impl Standing {
    fn of_put(namespace: u32, put: &Put, old: Option<Old>) -> Self {
        let value = put.value.as_value();
        let blob = value.digest().map(|digest| (digest, blocks(value.len())));
        // A lease on what is there for good holds nothing.
        let is_held = put.pinned || put.holder.is_some() && !old.is_some_and(|old| old.is_same_for_good);
        Self { charge: charge_of(namespace, put), is_held, blob }
    }

    fn of_before(before: &Before) -> Self {
        let blob = before.digest.map(|digest| (digest, blocks(before.counts.bytes)));
        Self { charge: before.counts.charge, is_held: before.pinned || before.bound, blob }
    }

    /// Returns what it takes without its file.
    fn rows(&self) -> u64 {
        self.charge.saturating_sub(self.blob.map_or(0, |(_, blocks)| blocks))
    }
}

impl Share {
    /// Adds what a put comes to in its namespace.
    fn add_own(&mut self, new: Standing, old: Option<Old>) {
        let more = new.charge.saturating_sub(old.map_or(0, |old| old.standing.charge));
        self.own.bytes += more;
        self.own.entries += u64::from(old.is_none());
        self.own.held = self.own.held.plus(held_by(new, old));
    }

    /// Adds what the store pays: `new` bytes come, and `old` ones go, of which the files go later.
    fn add_all(&mut self, put: &Put, (new, files): (u64, u64), old: u64) {
        let more = new.saturating_sub(old);
        self.scattered += scattered(put.tags.len(), put.expires.is_some(), more > 0);
        self.all += if more > 0 { more + logged(put) } else { 0 };
        self.passing += if old > 0 { files.saturating_sub(more) } else { 0 };
    }
}

impl Store {
    /// Returns what a batch adds at most, by namespace: as if all of it were new. That costs little.
    pub(super) fn shares_at_most(&self, batch: &Batch) -> Vec<Share> {
        let mut shares = Vec::new();
        for put in puts(batch) {
            let namespace = self.number_of(put);
            let (new, share) = (Standing::of_put(namespace, put, None), share_of(&mut shares, namespace));
            share.add_own(new, None);
            share.add_all(put, (new.charge, 0), 0);
        }
        shares
    }

    /// Returns what a batch adds, by namespace: what takes the place of other entries needs only what it has more, and a file that another
    /// entry names is there already.
    pub(super) fn shares(&self, batch: &Batch, now: Timestamp) -> Result<Vec<Share>, StoreError> {
        let (mut shares, mut ahead) = (Vec::new(), Ahead::default());
        for put in puts(batch) {
            let namespace = self.number_of(put);
            let key = (&put.namespace[..], &put.key[..]);
            let old = match ahead.entries.get(&key) {
                Some(earlier) => Some(earlier.replaced_by(put, now)),
                None if namespace == NEW_NAMESPACE => None,
                None => self.replaced(namespace, put, now)?,
            };
            let new = Standing::of_put(namespace, put, old);
            let is_for_good = put.holder.is_none() || old.is_some_and(|old| old.is_same_for_good);
            ahead.entries.insert(key, Earlier { put, standing: new, is_for_good });
            let replaced = old.map(|old| old.standing);
            let blob = replaced.and_then(|replaced| replaced.blob);
            let (comes, goes) = self.turn_files(&mut ahead.references, new.blob, blob)?;
            let share = share_of(&mut shares, namespace);
            share.add_own(new, old);
            share.add_all(put, (new.rows() + comes, comes), replaced.map_or(0, |replaced| replaced.rows() + goes));
        }
        Ok(shares)
    }

    /// Returns what a put replaces, as of the end of the draft.
    fn replaced(&self, namespace: u32, put: &Put, now: Timestamp) -> Result<Option<Old>, StoreError> {
        let (key, hash) = (&put.key[..], KeyHash::of(namespace, &put.key));
        let count = |record: &Record<'_>| self.lookup.tables.counts_of(namespace, key, record);
        let look = |seen: Seen<'_>| Before::of(seen, count, |record| put.has_content_of(record));
        let (before, same) = match self.draft.find(namespace, key, hash) {
            Some((operation, _)) if operation.kind == Kind::Delete => (None, false),
            Some((operation, _)) => look(seen(operation.body, hash)),
            None => self.lookup.see(&self.lookup.snapshot(), namespace, key, hash, |seen, _| look(seen))?,
        };
        Ok(before.map(|before| {
            let is_same_for_good = same && before.is_live(now) && !before.bound;
            Old { standing: Standing::of_before(&before), is_same_for_good }
        }))
    }

    /// Returns what the file takes that comes into being, and what the one does that goes, as one entry takes the place of another.
    fn turn_files(
        &self,
        ahead: &mut HashMap<Digest, i64>,
        new: Option<(Digest, u64)>,
        old: Option<(Digest, u64)>,
    ) -> Result<(u64, u64), StoreError> {
        let mut change = |blob: Option<(Digest, u64)>, by: i64, when: i64| -> Result<u64, StoreError> {
            let Some((digest, blocks)) = blob else { return Ok(0) };
            let (there, ahead) = (self.references_of(&digest)?, ahead.entry(digest).or_default());
            *ahead += by;
            Ok(if there + *ahead == when { blocks } else { 0 })
        };
        // In this order, so that a file which both name stays.
        Ok((change(new, 1, 1)?, change(old, -1, 0)?))
    }

    /// Returns how many entries name a file.
    fn references_of(&self, digest: &Digest) -> Result<i64, StoreError> {
        if let Some(references) = self.memory.references(digest) {
            return Ok(references);
        }
        let references = self.lookup.references(&self.lookup.snapshot(), digest);
        Ok(references.map_err(|source| StoreError::Read { source })?.cast_signed())
    }

    fn number_of(&self, put: &Put) -> u32 {
        self.memory.namespace(&put.namespace).unwrap_or(NEW_NAMESPACE)
    }
}

fn puts(batch: &Batch) -> impl Iterator<Item = &Put> {
    batch.commands.iter().filter_map(|command| if let Command::Put(put) = command { Some(put) } else { None })
}

fn share_of(shares: &mut Vec<Share>, namespace: u32) -> &mut Share {
    let at = shares.iter().position(|share| share.namespace == namespace).unwrap_or(shares.len());
    if at == shares.len() {
        shares.push(Share { namespace, ..Share::default() });
    }
    &mut shares[at]
}

/// Returns what comes to be held by a put: of what is held already, what it grows by.
fn held_by(new: Standing, old: Option<Old>) -> Volume {
    match old.map(|old| old.standing).filter(|old| old.is_held) {
        _ if !new.is_held => Volume::default(),
        Some(old) => Volume { bytes: new.charge.saturating_sub(old.charge), entries: 0 },
        None => Volume::one(new.charge),
    }
}

/// Returns what the entry of a put takes.
fn charge_of(namespace: u32, put: &Put) -> u64 {
    let tags = TagsBuf::new(&put.tags);
    let record = Record {
        codec: put.codec,
        bound: put.holder.is_some(),
        pinned: put.pinned,
        expires: put.expires,
        tags: tags.as_tags(),
        key: is_cut(&put.key).then_some(&put.key[..]),
        ..Record::plain(0, put.value.as_value())
    };
    charge(namespace, &put.key, &record)
}

/// Returns about what a put takes in the log.
fn logged(put: &Put) -> u64 {
    /// A record's head, and an operation's.
    const HEADS: usize = OPERATION_HEAD + 128;
    let value = match put.value.as_value() {
        Value::Inline(bytes) => bytes.len(),
        Value::Blob { .. } => 0,
    };
    (HEADS + put.key.len() + value) as u64
}
