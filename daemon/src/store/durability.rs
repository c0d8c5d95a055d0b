//! What survives a loss of power, as far as the syncs of the log have told, and who may be answered because of it.

use datacache_proto::log::SEGMENT_HEADER;

use super::position::Position;
use super::store::Store;
use super::syncer::SyncJob;

impl Store {
    /// Returns the place before which everything survives a loss of power.
    #[must_use]
    pub fn synced(&self) -> Position {
        self.synced
    }

    /// Tells whether what ends at `position` was appended to a segment that could not be synced.
    #[must_use]
    pub fn sync_failed(&self, position: Position) -> bool {
        self.sync_failed.contains(&position.segment)
    }

    /// Has everything up to [`Store::end`] synced soon; `wake` is called when [`Store::synced`] moved.
    pub fn request_sync(&mut self) {
        self.syncer.send(SyncJob::Now);
    }

    /// Takes in that a sync reached `position`.
    pub(super) fn note_synced(&mut self, position: Position) {
        if !self.sync_failed.contains(&position.segment) {
            let behind_a_gap = self.is_behind_unsynced(position);
            let synced = if behind_a_gap { &mut self.synced_later } else { &mut self.synced };
            *synced = position.max(*synced);
        }
        if !self.is_behind_unsynced(self.synced_later) {
            self.synced = self.synced.max(self.synced_later);
        }
        let behind = self.synced < self.end() && self.end > SEGMENT_HEADER as u64;
        self.sync_scheduled = behind && !self.sync_failed.contains(&self.lookup.active.number());
        if self.sync_scheduled {
            self.syncer.send(SyncJob::Later);
        }
    }

    /// Tells whether the segment before `position`'s is neither applied nor wholly synced: a power cut would end the log there.
    fn is_behind_unsynced(&self, position: Position) -> bool {
        let is_applying = self.lookup.applying.is_some() && self.applying_end.segment < position.segment;
        is_applying && self.synced < self.applying_end
    }

    /// No call for durability is ever answered from a segment whose sync failed: the kernel may have dropped the pages and
    /// report the next sync as done. The segment is left; applying it to the index heals what it holds.
    pub(super) fn note_unsynced(&mut self, segment: u64) {
        self.sync_failed.insert(segment);
        self.sync_scheduled = false;
        if segment == self.lookup.active.number() {
            self.checkpoint = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::NewValue;
    use super::super::testing::{NOW, put, stage, store, wait};
    use super::super::threads::Event;
    use datacache_proto::layout::blob_path;
    use datacache_proto::types::Digest;
    use sha2::Digest as _;

    /// The thread that syncs may come to the new segment before it comes to the old one: nothing in the new one survives a
    /// power cut that takes the end of the old one, and durable writes of the old one were answered by it.
    #[test]
    fn a_synced_segment_does_not_speak_for_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        put(&mut store, NewValue::Inline(vec![7].into()));
        let written = store.end();
        store.request_checkpoint();
        assert!(store.lookup.applying.is_some(), "the next segment was ready");

        store.take(Event::Synced(store.end()), NOW);
        assert!(store.synced() < written);
        store.take(Event::Synced(written), NOW);
        assert_eq!(store.synced(), store.end(), "both are synced now");
    }

    #[test]
    fn what_was_synced_behind_a_segment_counts_once_that_is_applied() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        put(&mut store, NewValue::Inline(vec![7].into()));
        let segment = store.end().segment;
        store.take(Event::SyncFailed { segment }, NOW);
        store.request_checkpoint();
        let end = store.end();
        store.take(Event::Synced(end), NOW);
        assert!(store.synced() < end);
        wait(&mut store, |store| store.synced() >= end);
        assert!(store.lookup.applying.is_none());
    }

    /// Syncs that nobody had asked for took the log alone, and said of additions that waited for durability that they had it.
    #[test]
    fn no_segment_counts_as_synced_whose_blobs_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let digest = Digest(sha2::Sha256::digest(b"value").into());
        let value = stage(&store.blobs(), digest);
        put(&mut store, value);
        let end = store.end();
        // A link that leads to itself can't be opened, whoever we are.
        let path = blob_path(store.path(), &digest);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();

        store.request_checkpoint();
        wait(&mut store, |store| store.synced() >= end || store.sync_failed(end));
        assert!(store.synced() < end);
    }
}
