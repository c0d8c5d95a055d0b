//! Sparse pages of the index, as the writer deals with them: before it evicts what they take, it has them filled up (`packing`).
//!
//! That is the affair of the thread that applies, step by step: a segment waits for one step at most. Writers wait for none: where there
//! is no room below the limit they evict a slice and go on. What is waited for is what evicts beside the calls.
//!
//! A whole round that brings little is the last one until much was written again. Nothing is packed either where room is short, for it takes
//! room at first; nor beside a read that goes on for long, since pages that it may look at are not free for others.

use std::sync::Arc;

use super::packing::{Packed, PackedTo};
use super::store::Store;
use super::threads::{IndexJob, PackJob};

/// A round brought little where it freed a smaller part of the index than this.
const LITTLE: u64 = 64;
/// As large a part of the entries changes before it is tried again, and at least so many.
const CHANGED: u64 = 16;
const CHANGED_LEAST: u64 = 1_000;
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
}

impl Store {
    /// Has a step of packing done, for the store is too large; tells whether eviction is to wait for what comes of it.
    pub(super) fn pack_first(&mut self) -> bool {
        if self.sparseness.is_under_way {
            return true;
        }
        let is_short = self.is_short() || self.headroom.is_short || self.apply_failed();
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

    fn begin_packing(&mut self) -> bool {
        if self.reader_stats().is_ok_and(|readers| readers.behind_transactions <= BEHIND) {
            let (from, tables) = (std::mem::take(&mut self.sparseness.at), Arc::clone(&self.lookup.tables));
            self.applier.send(IndexJob::Pack(PackJob { from, tables }));
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
        let was_in_vain = match packed {
            Some(Packed { to, is_round, freed }) => {
                self.sparseness.at = to;
                self.sparseness.freed += freed;
                is_round && std::mem::take(&mut self.sparseness.freed) * LITTLE < self.usage().index
            }
            None => true,
        };
        if was_in_vain {
            let changed = (self.memory.total().entries / CHANGED).max(CHANGED_LEAST);
            self.sparseness.rests_until = self.last_seq + changed;
        }
        // Else it is measured when that segment is retired.
        if self.lookup.applying.is_none() {
            self.measure();
        }
    }
}
