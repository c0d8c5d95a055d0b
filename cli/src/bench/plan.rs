//! What a run does: how many entries and operations, and which keys and values.

use serde::{Deserialize, Serialize};

/// The length of a large value in bytes, far above what rides in a call.
pub(crate) const LARGE: usize = 1 << 20;
/// How many large entries a process has; it goes around them, so that the disk holds no more.
const LARGE_ENTRIES: u64 = 16;

/// The most entries that are only in the log, and about how many bytes: far from having it applied.
const RECENT_ENTRIES: u64 = 10_000;
const RECENT_BYTES: u64 = 8 << 20;

/// What a run does; the same for all its processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Where the entries lie.
    pub(crate) namespace: String,
    /// How many small entries all processes share.
    pub(crate) entries: u64,
    /// The length of their values in bytes.
    pub(crate) value_size: usize,
    /// How many operations each process does for a row of small values.
    pub(crate) ops: u64,
}

impl Plan {
    /// Returns how many entries and about how many bytes of the disk it may come to, with what goes only later.
    pub(crate) fn most(&self, processes: u32) -> (u64, u64) {
        /// What the rows of an entry take, and its part of pages that are not full.
        const BESIDES: u64 = 512;
        let (processes, size) = (u64::from(processes), u64::try_from(self.value_size).unwrap_or(u64::MAX));
        let small = self.entries.saturating_add(processes.saturating_mul(self.recent_entries() + self.ops));
        let large = processes * LARGE_ENTRIES;
        let bytes = small.saturating_mul(size.saturating_add(BESIDES)).saturating_mul(2);
        (small.saturating_add(large), bytes.saturating_add(2 * large * LARGE as u64))
    }

    /// Returns the key of one of the entries that all share.
    pub(crate) fn key(number: u64) -> String {
        format!("entry-{number}")
    }

    /// Returns the key of an entry that a process makes to delete it.
    pub(crate) fn doomed(process: u32, number: u64) -> String {
        format!("doomed-{process}-{number}")
    }

    /// Returns the key of an entry that a process adds right before it reads it.
    pub(crate) fn recent(process: u32, number: u64) -> String {
        format!("recent-{process}-{number}")
    }

    /// Returns how many of those a process has.
    pub(crate) fn recent_entries(&self) -> u64 {
        let length = u64::try_from(self.value_size).unwrap_or(u64::MAX).max(1);
        self.entries.min(RECENT_ENTRIES).min(RECENT_BYTES / length).max(1)
    }

    /// Returns the key of one of the large entries of a process.
    pub(crate) fn large(process: u32, number: u64) -> String {
        format!("large-{process}-{}", number % LARGE_ENTRIES)
    }

    /// Returns the keys of all large entries of a process.
    pub(crate) fn all_large(process: u32) -> impl Iterator<Item = String> {
        (0..LARGE_ENTRIES).map(move |number| Self::large(process, number))
    }

    /// Returns a small value; another number, another value.
    pub(crate) fn value(&self, number: u64) -> Vec<u8> {
        content(self.value_size, number)
    }

    /// Returns a large value; the same holds.
    pub(crate) fn large_value(number: u64) -> Vec<u8> {
        content(LARGE, number)
    }
}

/// Stamps a number onto plain bytes: equal contents would be one file of the store.
fn content(length: usize, number: u64) -> Vec<u8> {
    let mut bytes = vec![b'.'; length];
    let stamp = number.to_le_bytes();
    let stamped = length.min(stamp.len());
    bytes[..stamped].copy_from_slice(&stamp[..stamped]);
    bytes
}

/// A course through numbers below a bound that hits them at random and evenly, the same for a seed.
#[derive(Debug)]
pub(crate) struct Course {
    state: u64,
    below: u64,
}

impl Course {
    /// Begins one.
    pub(crate) fn new(seed: u32, below: u64) -> Self {
        Self { state: u64::from(seed), below }
    }
}

impl Iterator for Course {
    type Item = u64;

    /// Never ends.
    fn next(&mut self) -> Option<u64> {
        // splitmix64: a counter, well mixed.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some((mixed ^ (mixed >> 31)) % self.below.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_plan_knows_what_it_comes_to_at_most() {
        let plan = Plan { namespace: "n".into(), entries: 100, value_size: 88, ops: 50 };
        assert_eq!(plan.most(2), (100 + 2 * 150 + 32, 400 * 600 * 2 + (64 << 20)));
        assert_eq!(Plan { entries: u64::MAX, ..plan }.most(64).1, u64::MAX);
    }

    #[test]
    fn a_course_reaches_every_number_and_none_beyond() {
        let reached: BTreeSet<u64> = Course::new(7, 100).take(2_000).collect();
        assert_eq!(reached, (0..100).collect());
    }

    #[test]
    fn processes_take_different_courses() {
        let [one, other] = [1, 2].map(|seed| Course::new(seed, 1 << 40).take(10).collect::<Vec<_>>());
        assert_ne!(one, other);
    }

    #[test]
    fn values_differ_as_far_as_their_length_allows() {
        let plan = Plan { namespace: "n".into(), entries: 1, value_size: 100, ops: 1 };
        assert_eq!(plan.value(1).len(), 100);
        assert_ne!(plan.value(1), plan.value(256));
        assert!(content(0, 1).is_empty());
        assert_eq!(content(2, 0x0102), [2, 1]);
    }

    #[test]
    fn recent_entries_are_some_but_neither_too_many_nor_too_large() {
        let recent = |entries, value_size| Plan { namespace: "n".into(), entries, value_size, ops: 1 }.recent_entries();
        assert_eq!([recent(7, 100), recent(1 << 30, 0), recent(1 << 30, 1 << 20)], [7, 10_000, 8]);
        assert_eq!(recent(5, 16 << 20), 1);
    }

    #[test]
    fn large_entries_are_few_however_many_operations_there_are() {
        let keys: BTreeSet<_> = (0..1_000).map(|number| Plan::large(3, number)).collect();
        assert_eq!(keys, Plan::all_large(3).collect());
    }
}
