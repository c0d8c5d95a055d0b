//! The log becomes the index: applies frames to LMDB's tables, in slices of whole frames, each its own durable
//! transaction. What an operation changes is derived from the old record that the index itself holds, so applying
//! is deterministic and may be repeated from any commit on.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use datacache_proto::layout::index_key;
use datacache_proto::log::{Kind, Operation};
use datacache_proto::recent::KeyHash;
use datacache_proto::record::{Birth, Record};
use datacache_proto::types::Digest;
use heed::RwTxn;
use tracing::warn;

use super::blob_row::BlobRow;
use super::body::{decode_digest, decode_keep, decode_lease, decode_reply, lease_key, lease_prefix};
use super::counts::{BLOBS_COUNTED, Change, Counts};
use super::replies::{self, ClientReplies};
use super::table_keys::{expiry_key, namespace_prefix, tag_key};
use super::tables::{Meta, Tables};

/// One transaction's worth of the log.
pub(super) struct Slice<'t> {
    begun: Instant,
    tables: &'t Tables,
    txn: RwTxn<'t>,
    counts: HashMap<u32, Counts>,
    replies: HashMap<u64, ClientReplies>,
    /// Blobs that lost their last reference.
    dropped: BTreeSet<Digest>,
    /// Blobs that operations of this slice name.
    named: BTreeSet<Digest>,
    weight: usize,
    applied: u64,
}

/// What a committed slice tells.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// The last sequence number that the index has now.
    pub(super) applied: u64,
    /// Blobs that no record of the index names any more.
    pub(super) dropped: Vec<Digest>,
    /// How long it took from its begin until it was on the disk.
    pub(super) took: Duration,
}

impl<'t> Slice<'t> {
    pub(super) fn begin(tables: &'t Tables) -> heed::Result<Self> {
        let begun = Instant::now();
        let txn = tables.env.write_txn()?;
        let applied = tables.meta(&txn, Meta::Applied)?.unwrap_or(0);
        Ok(Self {
            begun,
            tables,
            txn,
            counts: HashMap::new(),
            replies: HashMap::new(),
            dropped: BTreeSet::new(),
            named: BTreeSet::new(),
            weight: 0,
            applied,
        })
    }

    /// Returns the last sequence number that is in, counting this slice.
    pub(super) fn applied(&self) -> u64 {
        self.applied
    }

    /// Passes over operations that are lost: `seq` is the next one that is there.
    pub(super) fn skip_to(&mut self, seq: u64) {
        self.applied = seq - 1;
    }

    /// Returns how much the slice changes: how many operations it has, where tags that are many count as operations of their own.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Returns the blobs that must be durable before the slice is committed.
    pub(super) fn named(&self) -> impl Iterator<Item = &Digest> {
        self.named.iter()
    }

    /// Applies one operation.
    pub(super) fn apply(&mut self, operation: &Operation<'_>) -> heed::Result<()> {
        debug_assert_eq!(operation.seq, self.applied + 1, "operations are applied without a gap");
        match operation.kind {
            Kind::Put | Kind::Touch => self.put(operation)?,
            Kind::Delete => self.remove(operation.namespace, operation.key)?,
            Kind::Lease => self.lease(operation)?,
            Kind::Release => self.release(operation)?,
            Kind::Verified => self.verified(operation)?,
            Kind::Reply => self.reply(operation)?,
            Kind::Keep => self.keep(operation)?,
        }
        self.weight += 1;
        self.applied = operation.seq;
        Ok(())
    }

    /// Applies a put whose blob is lost as the delete that it then is.
    pub(super) fn apply_as_delete(&mut self, operation: &Operation<'_>) -> heed::Result<()> {
        self.apply(&Operation { kind: Kind::Delete, body: &[], ..*operation })
    }

    fn put(&mut self, operation: &Operation<'_>) -> heed::Result<()> {
        let hash = KeyHash::of(operation.namespace, operation.key);
        let Ok(record) = Record::decode(operation.body, hash.to_bits()) else {
            // The frame's checksum was right, so a build that knew another format wrote it.
            warn!(seq = operation.seq, "a record in the log can't be read; its entry is dropped");
            return self.remove(operation.namespace, operation.key);
        };
        // Before the old record lets go of it: a blob that stays keeps its row, and that it is verified.
        if let Some(digest) = record.value.digest() {
            self.named.insert(digest);
            self.refer(digest, 1, record.value.len())?;
        }
        let (namespace, tables) = (operation.namespace, self.tables);
        let index_key = index_key(namespace, operation.key);
        let old = self.forget(namespace, operation.key, &index_key, Some(&record))?;
        tables.entries.put(&mut self.txn, &index_key, operation.body)?;
        self.weight += beyond_usual(&record);
        derive_rows(tables, &mut self.txn, namespace, &index_key, &record)?;
        let counts = tables.counts_of(namespace, operation.key, &record);
        if old.is_none_or(|old| old.seq != record.birth.seq) {
            self.leave(namespace, old)?;
            if let Some(places) = tables.places {
                places.enter(&mut self.txn, namespace, &index_key, record.birth, counts.charge)?;
            }
        }
        self.count(namespace, Change::more(counts))
    }

    /// Removes the entry of a key with all its rows.
    fn remove(&mut self, namespace: u32, key: &[u8]) -> heed::Result<()> {
        let index_key = index_key(namespace, key);
        let old = self.forget(namespace, key, &index_key, None)?;
        self.leave(namespace, old)?;
        self.tables.entries.delete(&mut self.txn, &index_key).map(drop)
    }

    /// Takes the place of an entry away that is no more.
    fn leave(&mut self, namespace: u32, old: Option<Birth>) -> heed::Result<()> {
        let Some((places, old)) = self.tables.places.zip(old) else { return Ok(()) };
        places.leave(&mut self.txn, namespace, old).map(drop)
    }

    /// Gives an entry another place, if it is still the one that was meant.
    fn keep(&mut self, operation: &Operation<'_>) -> heed::Result<()> {
        let Some((places, (birth, place))) = self.tables.places.zip(decode_keep(operation.body)) else { return Ok(()) };
        let Operation { namespace, key, seq, .. } = *operation;
        let index_key = index_key(namespace, key);
        let row = self.tables.entries.get(&self.txn, &index_key)?;
        let record = row.and_then(|row| Record::decode(row, KeyHash::of(namespace, key).to_bits()).ok());
        let Some(record) = record.filter(|record| record.birth.seq == birth) else { return Ok(()) };
        let charge = self.tables.counts_of(namespace, key, &record).charge;
        let (entry, given) = ((namespace, record.birth), (place, seq));
        places.keep(&mut self.txn, entry, given, (&index_key, charge))
    }

    /// Removes what is derived from the record of a key, but for its place; returns its birth. Leases of its version stay if `next`,
    /// which takes its place, goes on with it.
    fn forget(
        &mut self,
        namespace: u32,
        key: &[u8],
        index_key: &[u8],
        next: Option<&Record<'_>>,
    ) -> heed::Result<Option<Birth>> {
        let Some(row) = self.tables.entries.get(&self.txn, index_key)?.map(<[u8]>::to_vec) else { return Ok(None) };
        let Ok(old) = Record::decode(&row, KeyHash::of(namespace, key).to_bits()) else {
            // Its other rows can't be told; plans that meet them find that they hold for nothing.
            self.count(namespace, Change::less(Counts::of_damaged()))?;
            return self.birth_of_damaged(namespace, index_key, &row);
        };
        if let Some(expires) = old.expires {
            self.tables.by_expiry.delete(&mut self.txn, &expiry_key(namespace, expires, old.version))?;
        }
        self.weight += beyond_usual(&old);
        for tag in old.tags.iter() {
            self.tables.by_tag.delete(&mut self.txn, &tag_key(namespace, tag, old.version))?;
        }
        if let Some(digest) = old.value.digest() {
            self.refer(digest, -1, old.value.len())?;
        }
        if old.bound && !next.is_some_and(|next| next.bound && next.version == old.version) {
            self.drop_leases(old.version)?;
        }
        self.count(namespace, Change::less(self.tables.counts_of(namespace, key, &old)))?;
        Ok(Some(old.birth))
    }

    /// Returns the birth of an entry whose record is damaged, where its place bears it out.
    fn birth_of_damaged(&self, namespace: u32, index_key: &[u8], row: &[u8]) -> heed::Result<Option<Birth>> {
        let Some((places, birth)) = self.tables.places.zip(Record::unchecked_birth(row)) else { return Ok(None) };
        let Some(standing) = places.standing(&self.txn, namespace, birth)? else { return Ok(None) };
        let place = places.row(&self.txn, standing)?;
        Ok(place.filter(|place| place.birth == birth.seq && place.index_key == index_key).map(|_| birth))
    }

    fn refer(&mut self, digest: Digest, change: i64, length: u64) -> heed::Result<()> {
        let row = self.tables.blobs.get(&self.txn, &digest.0)?.and_then(BlobRow::decode);
        let was_there = row.is_some();
        let mut row = row.unwrap_or(BlobRow { references: 0, length, verified: false });
        row.references = row.references.saturating_add_signed(change);
        let is_there = row.references > 0;
        if is_there {
            self.tables.blobs.put(&mut self.txn, &digest.0, &row.encode())?;
            self.dropped.remove(&digest);
        } else {
            self.tables.blobs.delete(&mut self.txn, &digest.0)?;
            self.dropped.insert(digest);
        }
        let blob = self.tables.counts_of_blob(row.length);
        match (was_there, is_there) {
            (false, true) => self.count(BLOBS_COUNTED, Change::more(blob)),
            (true, false) => self.count(BLOBS_COUNTED, Change::less(blob)),
            _ => Ok(()),
        }
    }

    fn drop_leases(&mut self, version: u64) -> heed::Result<()> {
        let mut keys = Vec::new();
        for row in self.tables.leases.prefix_iter(&self.txn, &lease_prefix(version))? {
            keys.push(row?.0.to_vec());
        }
        for key in keys {
            self.tables.leases.delete(&mut self.txn, &key)?;
        }
        Ok(())
    }

    fn lease(&mut self, operation: &Operation<'_>) -> heed::Result<()> {
        let Some((version, holder)) = decode_lease(operation.body) else { return Ok(()) };
        let mut row = operation.namespace.to_le_bytes().to_vec();
        row.extend_from_slice(operation.key);
        self.tables.leases.put(&mut self.txn, &lease_key(version, &holder), &row)
    }

    fn release(&mut self, operation: &Operation<'_>) -> heed::Result<()> {
        let Some((version, holder)) = decode_lease(operation.body) else { return Ok(()) };
        self.tables.leases.delete(&mut self.txn, &lease_key(version, &holder)).map(drop)
    }

    fn verified(&mut self, operation: &Operation<'_>) -> heed::Result<()> {
        let Some(digest) = decode_digest(operation.body) else { return Ok(()) };
        let row = self.tables.blobs.get(&self.txn, &digest.0)?.and_then(BlobRow::decode);
        let Some(row) = row else { return Ok(()) };
        self.tables.blobs.put(&mut self.txn, &digest.0, &BlobRow { verified: true, ..row }.encode())
    }

    fn reply(&mut self, operation: &Operation<'_>) -> heed::Result<()> {
        let Some((call, reply)) = decode_reply(operation.body) else { return Ok(()) };
        if !self.replies.contains_key(&call.client) {
            let row = self.tables.replies.get(&self.txn, &call.client.to_le_bytes())?;
            self.replies.insert(call.client, row.map(ClientReplies::decode).unwrap_or_default());
        }
        self.replies.entry(call.client).or_default().add(call.number, operation.seq, reply);
        Ok(())
    }

    fn count(&mut self, namespace: u32, change: Change) -> heed::Result<()> {
        if !self.counts.contains_key(&namespace) {
            let row = self.tables.counters.get(&self.txn, &namespace_prefix(namespace))?;
            self.counts.insert(namespace, row.and_then(Counts::decode).unwrap_or_default());
        }
        self.counts.entry(namespace).or_default().change(change);
        Ok(())
    }

    /// Makes the slice durable; `first_segment` is the first one that still matters afterwards.
    pub(super) fn commit(mut self, first_segment: u64, next_segment: u64) -> heed::Result<Committed> {
        for (namespace, counts) in &self.counts {
            self.tables.put_counts(&mut self.txn, *namespace, *counts)?;
        }
        self.write_replies()?;
        self.tables.set_meta(&mut self.txn, Meta::Applied, self.applied)?;
        self.tables.set_meta(&mut self.txn, Meta::FirstSegment, first_segment)?;
        let known = self.tables.meta(&self.txn, Meta::NextSegment)?.unwrap_or(0);
        self.tables.set_meta(&mut self.txn, Meta::NextSegment, known.max(next_segment))?;
        self.txn.commit()?;
        let dropped = self.dropped.into_iter().collect();
        Ok(Committed { applied: self.applied, dropped, took: self.begun.elapsed() })
    }

    fn write_replies(&mut self) -> heed::Result<()> {
        for (client, replies) in &self.replies {
            self.tables.replies.put(&mut self.txn, &client.to_le_bytes(), &replies.encode())?;
        }
        let rows = self.tables.replies.len(&self.txn)?;
        let excess = usize::try_from(rows).unwrap_or(usize::MAX).saturating_sub(replies::CLIENTS);
        if excess == 0 {
            return Ok(());
        }
        let mut clients = Vec::new();
        for row in self.tables.replies.iter(&self.txn)? {
            let (client, row) = row?;
            clients.push((ClientReplies::decode(row).seq, client.to_vec()));
        }
        clients.sort_unstable();
        for (_, client) in &clients[..excess] {
            self.tables.replies.delete(&mut self.txn, client)?;
        }
        Ok(())
    }
}

/// Returns how many more tags a record has than what an operation changes besides them.
fn beyond_usual(record: &Record<'_>) -> usize {
    record.tags.iter().count().saturating_sub(2)
}

/// Writes the rows of the expiry and tag index that are derived from a record.
pub(super) fn derive_rows(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    namespace: u32,
    index_key: &[u8],
    record: &Record<'_>,
) -> heed::Result<()> {
    if let Some(expires) = record.expires {
        tables.by_expiry.put(txn, &expiry_key(namespace, expires, record.version), index_key)?;
    }
    for tag in record.tags.iter() {
        tables.by_tag.put(txn, &tag_key(namespace, tag, record.version), index_key)?;
    }
    Ok(())
}
