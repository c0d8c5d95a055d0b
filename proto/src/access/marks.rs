//! How often keys were read lately: two bits for each of many cells, in which several keys may meet.
//!
//! Of the cells only as many are in use as the entries are worth, so that those of a small store fit the processor's caches: over 4 MiB
//! a mark was the dearest part of a read of one of 10,000 entries. When more are taken into use, keys move to cells of their
//! own, and what was marked for them is left behind.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Access;
use super::layout::{BITS_A_CELL, CELLS, CELLS_A_WORD, MARKS, SPREAD_AT};
use crate::recent::KeyHash;

/// As much as a cell holds.
const FULL: u64 = (1 << BITS_A_CELL) - 1;

/// The highest [frequency](Access::frequency): a key that has it is not marked any more.
pub const FREQUENCY_MAX: u8 = FULL as u8;

/// The fewest cells that are in use, and the most, as powers of two.
const FEWEST: u64 = 16;
const MOST: u64 = CELLS.ilog2() as u64;
/// How many cells an entry is worth.
const CELLS_AN_ENTRY: u64 = 4;

impl<'a> Access<'a> {
    /// Takes as many cells into use as so many entries are worth; never fewer than before. The daemon alone does.
    pub fn spread_over(self, entries: u64) {
        let wanted = entries.saturating_mul(CELLS_AN_ENTRY).clamp(1 << FEWEST, 1 << MOST);
        let spread = u64::from(wanted.next_power_of_two().ilog2());
        if spread > self.spread() {
            self.0[SPREAD_AT].store(spread, Ordering::Relaxed);
        }
    }

    /// Returns how many cells are in use, as a power of two.
    #[inline]
    fn spread(self) -> u64 {
        self.0[SPREAD_AT].load(Ordering::Relaxed).clamp(FEWEST, MOST)
    }

    /// Marks the key as read once more, up to three times. A key that is marked in full costs a load.
    ///
    /// Of two processes that mark keys of one word at the same time, one may do it in vain: that is a mark less.
    #[inline]
    pub fn mark(self, hash: KeyHash) {
        let (word, shift) = self.cell(hash);
        let found = word.load(Ordering::Relaxed);
        if found >> shift & FULL != FULL {
            let marked = found + (1 << shift);
            let _ = word.compare_exchange(found, marked, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Returns how often the key was marked, from 0 to [`FREQUENCY_MAX`]: or more seldom, and another that shares its cell the other times.
    #[inline]
    pub fn frequency(self, hash: KeyHash) -> u8 {
        let (word, shift) = self.cell(hash);
        (word.load(Ordering::Relaxed) >> shift & FULL) as u8
    }

    /// Lowers how often the key counts as marked, where it is more. The daemon alone does, when it looks whether to evict.
    ///
    /// A reader that marks a key of the same word at the same time may undo it: that is a look more for the key.
    #[inline]
    pub fn lower(self, hash: KeyHash, frequency: u8) {
        let (word, shift) = self.cell(hash);
        let found = word.load(Ordering::Relaxed);
        let marked = found >> shift & FULL;
        let lowered = found - (marked.saturating_sub(frequency.into()) << shift);
        if lowered != found {
            let _ = word.compare_exchange(found, lowered, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Returns the word with the key's cell, and the cell's lowest bit in it.
    #[inline]
    fn cell(self, hash: KeyHash) -> (&'a AtomicU64, usize) {
        let cell = hash.to_bits() as usize & ((1 << self.spread()) - 1);
        (&self.0[MARKS + cell / CELLS_A_WORD], cell % CELLS_A_WORD * BITS_A_CELL)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::fresh;
    use super::*;

    fn frequency_after(times: u8, hash: KeyHash) -> u8 {
        let words = fresh();
        let access = Access::new(&words).unwrap();
        (0..times).for_each(|_| access.mark(hash));
        access.frequency(hash)
    }

    #[test]
    fn marks_add_up_to_three_and_stay_there() {
        let hash = KeyHash::of(1, b"key");
        assert_eq!([0, 1, 2, 3, 4, 100].map(|times| frequency_after(times, hash)), [0, 1, 2, 3, 3, 3]);
    }

    #[test]
    fn a_cell_never_spills_into_its_neighbours() {
        let words = fresh();
        let access = Access::new(&words).unwrap();
        access.spread_over(u64::MAX);
        let cells = [0, 1, 31, 32, 33, CELLS as u64 - 1].map(KeyHash::from_bits);
        for hash in [cells[1], cells[2], cells[5]] {
            (0..9).for_each(|_| access.mark(hash));
        }
        assert_eq!(cells.map(|hash| access.frequency(hash)), [0, 3, 3, 0, 0, 3]);
        assert_eq!(words[MARKS].load(Ordering::Relaxed), 3 << 2 | 3 << 62);
        assert_eq!(words.last().unwrap().load(Ordering::Relaxed), 3 << 62);
        assert_eq!(words[MARKS..].iter().filter(|word| word.load(Ordering::Relaxed) != 0).count(), 2);
    }

    #[test]
    fn a_mark_is_lowered_and_its_neighbours_are_not() {
        let words = fresh();
        let access = Access::new(&words).unwrap();
        let cells = [0, 1, 2].map(KeyHash::from_bits);
        (0..3).for_each(|_| cells.iter().for_each(|hash| access.mark(*hash)));
        access.lower(cells[1], 1);
        assert_eq!(cells.map(|hash| access.frequency(hash)), [3, 1, 3]);
        access.lower(cells[1], 2);
        assert_eq!(access.frequency(cells[1]), 1, "it is never raised");
        access.lower(cells[1], 0);
        assert_eq!(cells.map(|hash| access.frequency(hash)), [3, 0, 3]);
    }

    #[test]
    fn keys_meet_in_a_cell_only_if_their_hashes_end_alike() {
        let words = fresh();
        let access = Access::new(&words).unwrap();
        access.spread_over(u64::MAX);
        access.mark(KeyHash::from_bits(5));
        access.mark(KeyHash::from_bits(5 | 1 << 24));
        assert_eq!(access.frequency(KeyHash::from_bits(5)), 2);
    }

    #[test]
    fn marks_are_spread_over_as_many_cells_as_the_entries_are_worth() {
        let words = fresh();
        let access = Access::new(&words).unwrap();
        let spread_after = |entries| {
            access.spread_over(entries);
            access.spread()
        };
        assert_eq!([0, 10_000, 20_000, 1_000_000].map(spread_after), [16, 16, 17, 22]);
        assert_eq!(spread_after(5), 22, "cells that are in use stay so");
        assert_eq!(spread_after(u64::MAX), 24);
        words[SPREAD_AT].store(u64::MAX, Ordering::Relaxed);
        access.mark(KeyHash::from_bits(u64::MAX));
        assert_eq!(access.frequency(KeyHash::from_bits(u64::MAX)), 1, "nonsense does no harm");
    }
}
