//! How many records name a blob, as of the last operation in the log: what the index says, and what the two unapplied segments
//! change. Kept only for blobs that these touch; of all others the index knows.

use std::collections::HashMap;

use datacache_proto::types::Digest;

/// The references of blobs that unapplied operations touch.
#[derive(Debug, Default)]
pub(super) struct References(HashMap<Digest, Count>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// What the index says without the unapplied segments. Read before any operation of them touched the blob, so that
    /// it does not matter how far the one that is being applied has got.
    index: i64,
    applying: Change,
    active: Change,
}

/// What one segment does to a blob.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    references: i64,
    operations: u32,
}

/// A blob came into being, went, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    Born,
    Gone,
    Same,
}

impl References {
    /// Tells whether the index must be asked about a blob before [`References::change`] can be called.
    pub(super) fn is_unknown(&self, digest: &Digest) -> bool {
        !self.0.contains_key(digest)
    }

    /// Returns how many records name a blob, `None` where the index must be asked.
    pub(super) fn total(&self, digest: &Digest) -> Option<i64> {
        self.0.get(digest).map(Count::total)
    }

    /// Takes in what the index says of a blob that no unapplied operation touches.
    pub(super) fn learn(&mut self, digest: Digest, references: u64) {
        let index = i64::try_from(references).unwrap_or(i64::MAX);
        self.0.entry(digest).or_insert(Count { index, ..Count::default() });
    }

    /// Notes that an operation of the active segment adds or removes references.
    pub(super) fn change(&mut self, digest: Digest, change: i64) -> Turned {
        self.update(digest, change, |operations| operations + 1)
    }

    /// Takes a change back.
    pub(super) fn undo(&mut self, digest: Digest, change: i64) -> Turned {
        self.update(digest, -change, |operations| operations.saturating_sub(1))
    }

    fn update(&mut self, digest: Digest, change: i64, count: impl FnOnce(u32) -> u32) -> Turned {
        let entry = self.0.entry(digest).or_default();
        let was_there = entry.total() > 0;
        entry.active.references += change;
        entry.active.operations = count(entry.active.operations);
        match (was_there, entry.total() > 0) {
            (false, true) => Turned::Born,
            (true, false) => Turned::Gone,
            _ => Turned::Same,
        }
    }

    /// Notes that a new segment is active.
    pub(super) fn rotate(&mut self) {
        for count in self.0.values_mut() {
            count.applying = std::mem::take(&mut count.active);
        }
    }

    /// Notes that the index has all but the active segment.
    pub(super) fn retire(&mut self) {
        self.0.retain(|_, count| {
            count.index += std::mem::take(&mut count.applying).references;
            count.active.operations > 0
        });
    }
}

impl Count {
    fn total(&self) -> i64 {
        self.index + self.applying.references + self.active.references
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: Digest = Digest([7; 32]);

    #[test]
    fn a_blob_is_born_with_its_first_reference_and_gone_with_its_last() {
        let mut references = References::default();
        references.learn(BLOB, 0);
        assert_eq!(references.change(BLOB, 1), Turned::Born);
        assert_eq!(references.change(BLOB, 1), Turned::Same);
        references.rotate();
        assert_eq!(references.change(BLOB, -1), Turned::Same);
        references.retire();
        assert!(!references.is_unknown(&BLOB), "the active segment touches it");
        assert_eq!(references.change(BLOB, -1), Turned::Gone);
    }

    #[test]
    fn what_the_index_has_alone_is_forgotten() {
        let mut references = References::default();
        references.learn(BLOB, 3);
        references.change(BLOB, -1);
        references.rotate();
        references.retire();
        assert!(references.is_unknown(&BLOB));
    }

    #[test]
    fn a_change_that_came_to_nothing_leaves_no_trace() {
        let mut references = References::default();
        references.learn(BLOB, 1);
        references.change(BLOB, -1);
        references.undo(BLOB, -1);
        assert_eq!(references.change(BLOB, -1), Turned::Gone);
    }
}
