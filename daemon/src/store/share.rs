//! What a batch adds, by the namespaces that pay for it.

use datacache_proto::layout::is_cut;
use datacache_proto::log::OPERATION_HEAD;
use datacache_proto::record::{Record, TagsBuf, Value};

use super::admission::Need;
use super::charge::{blocks, charge};
use super::command::{Batch, Command, Put};
use super::error::StoreError;
use super::store::Store;
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
}

/// An entry that a put replaces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Old {
    /// What it takes.
    pub(super) charge: u64,
    pub(super) is_held: bool,
    /// Whether it has the value of the put, and no lease ends it.
    pub(super) is_same_for_good: bool,
}

impl Store {
    /// Returns what a batch adds, by namespace; `before` tells of the entry that a put replaces.
    pub(super) fn shares(
        &self,
        batch: &Batch,
        before: impl Fn(u32, &Put) -> Result<Option<Old>, StoreError>,
    ) -> Result<Vec<Share>, StoreError> {
        let mut shares: Vec<Share> = Vec::new();
        for command in &batch.commands {
            let Command::Put(put) = command else { continue };
            let namespace = self.memory.namespace(&put.namespace).unwrap_or(NEW_NAMESPACE);
            let (new, old) = (charge_of(namespace, put), before(namespace, put)?);
            let at = shares.iter().position(|share| share.namespace == namespace).unwrap_or_else(|| {
                shares.push(Share { namespace, ..Share::default() });
                shares.len() - 1
            });
            let more = new.saturating_sub(old.map_or(0, |old| old.charge));
            let share = &mut shares[at];
            share.own.bytes += more;
            share.own.entries += u64::from(old.is_none());
            share.own.held = share.own.held.plus(held_by(put, new, old));
            share.all += if more > 0 { more + logged(put) } else { 0 };
            if let (Some(_), Value::Blob { length, .. }) = (old, put.value.as_value()) {
                share.passing += blocks(length).saturating_sub(more);
            }
        }
        Ok(shares)
    }
}

/// Returns what comes to be held by a put whose entry takes `new` bytes: of what is held already, what it grows by.
fn held_by(put: &Put, new: u64, old: Option<Old>) -> Volume {
    // A lease on what is there for good holds nothing.
    let is_held = put.pinned || put.holder.is_some() && !old.is_some_and(|old| old.is_same_for_good);
    match old.filter(|old| old.is_held) {
        _ if !is_held => Volume::default(),
        Some(old) => Volume { bytes: new.saturating_sub(old.charge), entries: 0 },
        None => Volume::one(new),
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
