//! Eviction, slice by slice: the policy says who goes and who is kept, by the first places of the queues, and both go the way of every
//! other change, as one frame of the log.

use std::time::Instant;

use datacache_proto::key::Key;
use datacache_proto::layout::index_key;
use datacache_proto::recent::KeyHash;
use datacache_proto::time::Timestamp;

use super::before::Before;
use super::command::{Batch, Command, Outcome};
use super::error::StoreError;
use super::lookup::{Lookup, Snapshot};
use super::placing::{PlaceRow, number_of, place_key};
use super::pools::{Pool, PoolId};
use super::queues::Queues;
use super::rows::key_in;
use super::store::Store;
use crate::eviction::{Ending, Head, Note, Plan, Queue, State, Verdict, Volume};

/// How many places are looked at in one go: as many of the longest keys fit a frame.
const SLICE: usize = 96;

/// A place that a plan looked at.
#[derive(Debug)]
struct Looked {
    namespace: u32,
    key: Key,
    hash: KeyHash,
    birth: u64,
}

/// The first place of a queue, before its entry was looked at.
#[derive(Debug)]
struct First {
    number: u64,
    birth: u64,
    charge: u64,
    note: Note,
    /// `None` where nothing is there any more.
    key: Option<Key>,
}

/// Walks the queues of a pool.
struct Walk<'s> {
    lookup: &'s Lookup,
    snapshot: Snapshot<'s>,
    queues: &'s Queues,
}

impl Walk<'_> {
    /// Returns the first place of a namespace's queue whose number is at least `from`.
    fn first(&self, namespace: u32, queue: Queue, from: u64) -> Result<Option<(u64, First)>, StoreError> {
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
        let mut rows = places.of(queue).range(txn, &(&begin[..]..&end[..])).map_err(read)?;
        for row in &mut rows {
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
    fn look(&self, namespace: u32, first: &First, frequency: impl Fn(KeyHash) -> u8) -> Result<Head, StoreError> {
        let &First { birth, charge, note, ref key, .. } = first;
        let Some(key) = key else {
            let (hash, state) = (KeyHash::from_bits(0), State::Gone);
            return Ok(Head { hash, note, placed: charge, bytes: 0, frequency: 0, state });
        };
        let hash = KeyHash::of(namespace, key.encoded());
        let before = self.lookup.see(&self.snapshot, namespace, key.encoded(), hash, |seen, _| {
            let count = |record: &_| self.lookup.tables.counts_of(namespace, key.encoded(), record);
            Before::of(seen, count, |_| false).0
        })?;
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

impl Store {
    /// Evicts from a pool until `wanted` is gone, after a look at a bounded number of places; `false` where that has to wait for a
    /// segment to be applied.
    pub(super) fn evict_slice(&mut self, id: PoolId, wanted: Volume, now: Timestamp) -> Result<bool, StoreError> {
        if !self.make_room()? {
            return Ok(false);
        }
        let begun = Instant::now();
        let (plan, looked) = match self.plan_slice(id, wanted) {
            Ok(planned) => planned,
            Err(error) => {
                self.begin_anew(id);
                return Err(self.pass_on(error));
            }
        };
        let done = self.carry_out(begun, &plan, &looked, now);
        let failed = done.is_err();
        let is_fruitless = plan.ending == Ending::Nothing && plan.evicted.entries == 0;
        if failed || is_fruitless {
            self.begin_anew(id);
        }
        let pool = self.pools.get_mut(id);
        // The sums are right from now on: if that changes nothing, nothing will.
        pool.is_stuck = is_fruitless && !failed && std::mem::replace(&mut pool.is_fruitless, is_fruitless);
        done.map(|()| true)
    }

    fn plan_slice(&mut self, id: PoolId, wanted: Volume) -> Result<(Plan, Vec<Looked>), StoreError> {
        let end = self.last_seq + 1;
        let Self { pools, lookup, queues, access, .. } = self;
        let (walk, access) = (Walk { lookup, snapshot: lookup.snapshot(), queues }, access.access());
        let Pool { evictor, lines, .. } = pools.get_mut(id);
        let (mut looked, mut failure) = (Vec::new(), None);
        let mut next = |queue| -> Result<Option<Head>, StoreError> {
            let taken = lines.of(queue).take(end, |namespace, from| walk.first(namespace, queue, from))?;
            let Some((namespace, first)) = taken else { return Ok(None) };
            let head = walk.look(namespace, &first, |hash| access.frequency(hash))?;
            looked.push(first.key.map(|key| Looked { namespace, key, hash: head.hash, birth: first.birth }));
            Ok(Some(head))
        };
        let plan = evictor.plan(wanted, SLICE, |queue| {
            next(queue).unwrap_or_else(|error| {
                failure = Some(error);
                None
            })
        });
        match failure {
            Some(error) => Err(error),
            // Of what is gone no step is carried out.
            None => Ok((plan, looked)),
        }
    }
}
