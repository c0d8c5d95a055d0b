//! How often clients found what they looked up themselves: counters of each namespace, in shards.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Access;
use super::layout::{COUNTERS_AT, ROW_WORDS, ROWS, SHARDS};

/// The row of all namespaces that have none of their own.
const SHARED_ROW: usize = ROWS - 1;

/// What became of reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Reads that found a live entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
}

impl<'a> Access<'a> {
    /// Counts a read in `namespace`; `u32::MAX` for one that does not exist.
    ///
    /// A process, or a thread, keeps to one `shard`, any number: those that share one only slow each other down.
    #[inline]
    pub fn count(self, shard: usize, namespace: u32, hit: bool) {
        self.counter(shard % SHARDS, row(namespace), hit).fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the reads in `namespace`: of it alone where it [has a row of its own](has_row), else of all that have none.
    pub fn reads(self, namespace: u32) -> Reads {
        self.of_row(row(namespace))
    }

    /// Returns the reads in all namespaces together.
    pub fn all_reads(self) -> Reads {
        (0..ROWS).map(|row| self.of_row(row)).fold(Reads::default(), Reads::and)
    }

    fn of_row(self, row: usize) -> Reads {
        let of = |hit| {
            (0..SHARDS).map(|shard| self.counter(shard, row, hit).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
        };
        Reads { hits: of(true), misses: of(false) }
    }

    #[inline]
    fn counter(self, shard: usize, row: usize, hit: bool) -> &'a AtomicU64 {
        &self.0[COUNTERS_AT + (shard * ROWS + row) * ROW_WORDS + usize::from(!hit)]
    }
}

impl Reads {
    /// Adds two counts; they wrap around, which only counters that somebody spoiled ever do.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { hits: self.hits.wrapping_add(other.hits), misses: self.misses.wrapping_add(other.misses) }
    }
}

/// Tells whether reads in `namespace` are counted apart from those in others: all but the last of [`ROWS`].
pub const fn has_row(namespace: u32) -> bool {
    (namespace as usize) < SHARED_ROW
}

#[inline]
fn row(namespace: u32) -> usize {
    (namespace as usize).min(SHARED_ROW)
}

#[cfg(test)]
mod tests {
    use super::super::testing::fresh;
    use super::*;

    #[test]
    fn reads_of_several_threads_are_counted_exactly() {
        const EACH: u64 = 10_000;
        let words = fresh();
        let access = Access::new(&words).unwrap();
        std::thread::scope(|scope| {
            // Two threads a shard, so that some meet.
            for thread in 0..2 * SHARDS {
                scope.spawn(move || {
                    for number in 0..EACH {
                        access.count(thread, 5, number % 4 == 0);
                        access.count(thread, 6, true);
                    }
                });
            }
        });
        let threads = 2 * SHARDS as u64;
        assert_eq!(access.reads(5), Reads { hits: threads * EACH / 4, misses: threads * EACH / 4 * 3 });
        assert_eq!(access.reads(6), Reads { hits: threads * EACH, misses: 0 });
        let all = Reads { hits: threads * EACH / 4 * 5, misses: threads * EACH / 4 * 3 };
        assert_eq!(access.all_reads(), all);
    }

    #[test]
    fn every_counter_has_a_word_of_its_own_between_callers_and_marks() {
        let words = fresh();
        let access = Access::new(&words).unwrap();
        for shard in 0..SHARDS {
            for namespace in 0..ROWS as u32 {
                access.count(shard, namespace, true);
                access.count(shard, namespace, false);
            }
        }
        let counters = COUNTERS_AT..COUNTERS_AT + SHARDS * ROWS * ROW_WORDS;
        for (at, word) in words.iter().enumerate() {
            assert_eq!(word.load(Ordering::Relaxed), u64::from(counters.contains(&at)), "word {at}");
        }
    }

    #[test]
    fn namespaces_beyond_the_table_and_unknown_ones_share_the_last_row() {
        let words = fresh();
        let access = Access::new(&words).unwrap();
        for namespace in [1_022, 1_023, 1_024, u32::MAX] {
            access.count(0, namespace, false);
        }
        assert_eq!([1_022, 1_023, 9_000, u32::MAX].map(|namespace| access.reads(namespace).misses), [1, 3, 3, 3]);
        assert_eq!([0, 1_022, 1_023, u32::MAX].map(has_row), [true, true, false, false]);
        assert_eq!(access.all_reads(), Reads { hits: 0, misses: 4 });
    }
}
