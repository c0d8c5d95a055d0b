//! Sparse pages of the index, as the writer deals with them: before it evicts what they take, it has them filled up (`packing`).
//!
//! That is the affair of the thread that applies, step by step, a tenth of a second each: a segment waits for one step at most. What evicts
//! beside the calls waits for all of them. A call that has no room below the limit evicts a slice and goes on; but where the store is above its
//! limit as it is, because that was lowered or the index has grown by more than it was reckoned to, calls wait for a step too: what they would
//! evict then is far more than what they bring. Where much is written calls make room all the time, and what evicts beside them has nothing
//! to do and would never have anything packed: so a step is also done each time that a segment was applied and hardly any room is left
//! ([`Store::pack_between`]), which nobody waits for but the next segment.
//!
//! A whole round that brings little is the last one until much was written again. Nothing is packed either where room is short, for it takes
//! room at first; nor beside a read that goes on for long, since pages that it may look at are not free for others.

use std::sync::Arc;

use super::index_size::IndexSize;
use super::marks::Marks;
use super::packing::{Packed, PackedTo};
use super::store::Store;
use super::threads::{IndexJob, PackJob};

/// A round brought little where it freed a smaller part of the index than this.
const LITTLE: u64 = 64;
/// As large a part of the entries changes before it is tried again, and at least so many. Each round reads all leaves: after one in vain
/// that follows on another it is twice the part, up to all of them.
const CHANGED: u64 = 16;
const CHANGED_LEAST: u64 = 1_000;
/// A store that is above its limit by a larger part of it than this is too large for a slice to help.
const MUCH: u64 = 32;
/// As large a part of the limit is freed by a step, if it can.
const AHEAD: u64 = 16;
/// How many transactions a read may be behind.
const BEHIND: u64 = 16;

/// What the writer knows of sparse pages.
#[derive(Debug, Default)]
pub(super) struct Sparseness {
    /// How far the round has come.
    at: PackedTo,
    /// Bytes of pages that it has freed.
    freed: u64,
    /// Whether a step is under way.
    pub(super) is_under_way: bool,
    /// Whether eviction waits for what comes of it.
    pub(super) is_waited_for: bool,
    /// The sequence number from which on it is tried again.
    rests_until: u64,
    /// The part of the entries that changes before, in units of the least; 0 after a round that brought something.
    rest: u64,
}

impl Store {
    /// Has a step of packing done, for the store is too large; tells whether eviction is to wait for what comes of it.
    pub(super) fn pack_first(&mut self) -> bool {
        if self.sparseness.is_under_way {
            return true;
        }
        let is_short = self.is_short() || self.apply_failed();
        if is_short || self.last_seq < self.sparseness.rests_until {
            return false;
        }
        if self.applied < self.sparseness.rests_until {
            // What was evicted is on its pages until then.
            self.request_checkpoint();
        }
        // The index is measured when the segment that is being applied is retired.
        self.checkpoint || self.lookup.applying.is_some() || self.begin_packing()
    }

    /// Has a step of packing done for a call that has no room in the store unless `least` bytes go; tells whether it is to wait for what
    /// comes of it. Little is evicted for.
    pub(super) fn packs_for_call(&mut self, least: u64) -> bool {
        let Some(Marks { limit, .. }) = self.limits().bytes else { return false };
        let lacking = if least > limit / MUCH { least } else { 0 };
        let above = self.level().lasting.bytes.saturating_sub(limit).max(lacking);
        let is_applying = self.checkpoint || self.lookup.applying.is_some();
        // A segment takes its time: for a little that is too much nobody waits for that.
        let is_worth_it = self.sparseness.is_under_way || !is_applying || above > limit / MUCH;
        above > 0 && is_worth_it && self.pack_first()
    }

    /// Begins with a step of packing before another segment is applied, if there is hardly any room now that one is in the index. Where
    /// much is written calls evict all the time, and what evicts beside them finds nothing to do.
    pub(super) fn pack_between(&mut self) {
        let (level, limits) = (self.level(), self.limits());
        let is_tight = limits.bytes.is_some_and(|marks| level.lasting.bytes + level.passing > marks.low);
        let is_due = self.last_seq >= self.sparseness.rests_until && self.applied >= self.sparseness.rests_until;
        if is_tight && is_due && !self.is_short() && !self.sparseness.is_under_way {
            self.begin_packing();
        }
    }

    fn begin_packing(&mut self) -> bool {
        // Somewhat more than what is too much, so that there is some time until the next step.
        let Marks { limit, low, .. } = self.limits().bytes.unwrap_or(Marks { limit: 0, high: 0, low: 0 });
        let wanted = self.level().lasting.bytes.saturating_sub(low).max(limit / AHEAD);
        if self.reader_stats().is_ok_and(|readers| readers.behind_transactions <= BEHIND) {
            let (from, tables) = (std::mem::take(&mut self.sparseness.at), Arc::clone(&self.lookup.tables));
            self.applier.send(IndexJob::Pack(PackJob { from, wanted, tables }));
            self.sparseness.is_under_way = true;
        }
        self.sparseness.is_under_way
    }

    /// Tells whether eviction beside the calls waits for sparse pages to be filled up, as of the last look at the limits.
    #[must_use]
    pub fn is_packing(&self) -> bool {
        self.sparseness.is_waited_for
    }

    /// Takes in what came of a step; `None` where it failed.
    pub(super) fn note_packed(&mut self, packed: Option<Packed>) {
        self.sparseness.is_under_way = false;
        let (freed, is_round) = packed.as_ref().map_or((0, false), |packed| (packed.freed, packed.is_round));
        self.counters.packings += u64::from(freed > 0);
        let was_in_vain = match packed {
            Some(Packed { to, is_round, freed, filled }) => {
                self.sparseness.at = to;
                self.index_size.swelling.fill(filled);
                self.sparseness.freed += freed;
                is_round && std::mem::take(&mut self.sparseness.freed) * LITTLE < self.usage().index
            }
            None => true,
        };
        if was_in_vain {
            self.sparseness.rest = (2 * self.sparseness.rest).clamp(1, CHANGED);
            let changed = (self.memory.total().entries / CHANGED).max(CHANGED_LEAST);
            self.sparseness.rests_until = self.last_seq + changed * self.sparseness.rest;
        } else if is_round {
            self.sparseness.rest = 0;
        }
        if self.lookup.applying.is_none() {
            self.measure(IndexSize::measure);
        } else {
            // It is measured when that segment is retired, which is applied behind it.
            self.index_size.free(freed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Batch, Command, NewValue, Put};
    use super::super::error::StoreError;
    use super::super::rules::{Reserve, Rule, Rules};
    use super::super::store::Next;
    use super::super::testing::{NOW, put_of, store, wait};
    use super::super::threads::Event;
    use super::*;
    use datacache_proto::key::Key;

    /// Returns a store of sparse pages that takes more than it may, whose threads have nothing to do.
    fn sparse(folder: &tempfile::TempDir) -> Store {
        let mut store = store(folder);
        for number in 0..4_000_u64 {
            let key = Key::from(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[..]);
            let put = Put { key: key.into(), ..put_of(NewValue::Inline(vec![7; 300].into())) };
            store.write(&mut [Batch::of(Command::Put(put), None)].into(), NOW, &mut Vec::new());
        }
        let target = store.request_checkpoint();
        wait(&mut store, |store| store.applied() >= target && matches!(store.next, Next::Ready(_)));
        wait(&mut store, |store| store.scarcity.asked == 0);
        let all = Rule { limit: Some(store.usage().total() * 9 / 10), ..Rule::default() };
        store.set_rules(Rules { all, reserve: Reserve::Bytes(0), ..Rules::default() });
        store
    }

    #[test]
    fn what_is_too_much_is_packed_first_and_not_evicted() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = sparse(&folder);
        let before = store.usage().index;
        assert!(!store.has_surplus() && store.is_packing() && store.sparseness.is_under_way);
        assert!(!store.evict_surplus(NOW).unwrap());
        wait(&mut store, |store| !store.sparseness.is_under_way);
        assert!(store.usage().index < before, "{:?} {before} {:?}", store.usage(), store.sparseness);
        assert_eq!(store.memory.total().entries, 4_000 + 1);
    }

    #[test]
    fn what_is_too_much_in_a_namespace_goes_whatever_is_packed() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = sparse(&folder);
        assert!(!store.has_surplus() && store.is_packing());
        let few = Rule { limit_entries: Some(100), ..Rule::default() };
        let namespaces = [("n".to_owned(), few)].into();
        store.set_rules(Rules { namespaces, reserve: Reserve::Bytes(0), ..Rules::default() });
        assert!(store.has_surplus() && !store.is_packing());
    }

    #[test]
    fn where_room_is_short_or_a_read_goes_on_for_long_nothing_is_packed() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = sparse(&folder);
        store.scarcity.shortage = Some(StoreError::NoSpace { folder: store.path().to_owned() });
        assert!(store.has_surplus() && !store.is_packing());
        store.scarcity.shortage = None;
        let env = store.lookup.tables.env.clone();
        let reading = env.read_txn().unwrap();
        for _ in 0..=BEHIND {
            let mut txn = env.write_txn().unwrap();
            store.lookup.tables.replies.put(&mut txn, b"any", b"row").unwrap();
            txn.commit().unwrap();
        }
        assert!(store.has_surplus() && !store.is_packing());
        drop(reading);
        assert!(!store.has_surplus() && store.is_packing());
    }

    #[test]
    fn a_step_that_failed_and_a_round_in_vain_let_eviction_go_on_until_much_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = sparse(&folder);
        let in_vain = || Packed { is_round: true, ..Packed::default() };
        for packed in [None, Some(in_vain())] {
            store.sparseness.is_under_way = true;
            assert!(!store.has_surplus());
            store.take(Event::Packed(packed), NOW);
            assert!(store.has_surplus() && !store.is_packing());
            store.sparseness.rests_until = 0;
        }
    }

    #[test]
    fn each_round_in_vain_doubles_the_rest_until_one_brings_something() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = sparse(&folder);
        let mut rest_after = |freed| {
            store.note_packed(Some(Packed { is_round: true, freed, ..Packed::default() }));
            store.sparseness.rests_until.saturating_sub(store.last_seq) / CHANGED_LEAST
        };
        assert_eq!([0; 6].map(&mut rest_after), [1, 2, 4, 8, 16, 16]);
        rest_after(1 << 30);
        assert_eq!(rest_after(0), 1);
    }
}
