//! The walk over the places of the eviction's queues: those of the log and those of the index, as one queue, and the entry of each.

use std::ops::Bound;

use datacache_proto::key::Key;
use datacache_proto::recent::KeyHash;

use super::error::StoreError;
use super::lookup::{Lookup, Snapshot};
use super::placing::{PlaceRow, number_of, place_key};
use super::queues::Queues;
use super::rows::key_in;
use crate::eviction::{Head, Note, Queue, State};

/// The first place of a queue, before its entry was looked at.
#[derive(Debug)]
pub(super) struct First {
    pub(super) number: u64,
    pub(super) birth: u64,
    pub(super) charge: u64,
    pub(super) note: Note,
    /// `None` where nothing is there any more.
    pub(super) key: Option<Key>,
}

/// Walks the queues of a pool.
pub(super) struct PlaceWalk<'s> {
    pub(super) lookup: &'s Lookup,
    pub(super) snapshot: Snapshot<'s>,
    pub(super) queues: &'s Queues,
}

impl PlaceWalk<'_> {
    /// Returns the first place of a namespace's queue whose number is at least `from`.
    pub(super) fn first(&self, namespace: u32, queue: Queue, from: u64) -> Result<Option<(u64, First)>, StoreError> {
        let (in_log, in_index) = (self.queues.first(namespace, queue, from), self.in_index(namespace, queue, from)?);
        let in_log = in_log.filter(|(queued, _)| in_index.as_ref().is_none_or(|first| queued.number < first.number));
        let first = in_log.map(|(queued, at)| First {
            number: queued.number,
            birth: queued.birth,
            charge: queued.charge,
            note: queued.note,
            key: self.lookup.key_at(at).map(|(_, key)| key),
        });
        Ok(first.or(in_index).map(|first| (first.number, first)))
    }

    fn in_index(&self, namespace: u32, queue: Queue, from: u64) -> Result<Option<First>, StoreError> {
        let Some(places) = self.lookup.tables.places else { return Ok(None) };
        let read = |source| StoreError::Read { source };
        let txn = self.snapshot.txn().map_err(read)?;
        let (begin, end) = (place_key(namespace, from), place_key(namespace, u64::MAX));
        let rows =
            places.of(queue).range(txn, &(Bound::Included(&begin[..]), Bound::Excluded(&end[..]))).map_err(read)?;
        for row in rows {
            let (key, row) = row.map_err(read)?;
            // What is damaged is left to `verify`.
            let Some((number, row)) = number_of(key).zip(PlaceRow::decode(row)) else { continue };
            let PlaceRow { note, birth, charge, index_key } = row;
            let key = key_in(&self.lookup.tables, txn, index_key).map_err(read)?;
            return Ok(Some(First { number, birth, charge, note, key }));
        }
        Ok(None)
    }

    /// Looks at the entry of a place.
    pub(super) fn look(
        &self,
        namespace: u32,
        first: &First,
        frequency: impl Fn(KeyHash) -> u8,
    ) -> Result<Head, StoreError> {
        let &First { birth, charge, note, ref key, .. } = first;
        let Some(key) = key else {
            let (hash, state) = (KeyHash::from_bits(0), State::Gone);
            return Ok(Head { hash, note, placed: charge, bytes: 0, frequency: 0, state });
        };
        let hash = KeyHash::of(namespace, key.encoded());
        let before = self.lookup.before(&self.snapshot, namespace, key.encoded(), hash)?;
        let before = before.filter(|before| before.was_born_at(birth));
        let state = match before {
            None => State::Gone,
            Some(before) if before.pinned || before.bound => State::Held,
            Some(_) => State::Free,
        };
        let bytes = before.map_or(0, |before| before.counts.charge);
        Ok(Head { hash, note, placed: charge, bytes, frequency: frequency(hash), state })
    }
}
