//! Taking in what the store's threads did. On the writer's thread, so that the view, the counters and the fate of blobs are
//! decided in one place.

use std::sync::Arc;

use datacache_proto::layout::LOG;
use datacache_proto::log::SEGMENT_HEADER;
use datacache_proto::recent::{View, Word, Words, retire};
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;
use tracing::{error, warn};

use super::apply::Committed;
use super::command::{Batch, Command};
use super::counts::Counts;
use super::error::StoreError;
use super::failpoint::failpoint;
use super::index_size::IndexSize;
use super::position::Position;
use super::store::{Next, Store};
use super::syncer::{Prepare, SyncJob};
use super::threads::Event;
use super::verifier::BlobJob;

/// How many blobs are removed in one turn: each is a rename.
const REMOVALS: usize = 64;

impl Store {
    /// Takes in what the threads did; tells whether there was anything. Call it after each `wake`.
    pub fn progress(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while let Ok(event) = self.events.try_recv() {
            self.take(event, now);
            any = true;
        }
        if self.checkpoint {
            any |= self.rotate_for_checkpoint();
        }
        any |= self.remove_damaged(now);
        any |= self.condemn_damaged();
        any |= self.remove_condemned(now);
        self.date_shortage(now);
        any | self.remove_dropped()
    }

    pub(super) fn take(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Slice(Committed { applied, dropped, took }) => {
                debug_assert!(applied <= self.applying_seq, "only what was rotated out is applied");
                self.apply_failure = None;
                self.timings.note_transaction(took);
                self.dropped.extend(dropped);
            }
            Event::Applied { segment } => self.retire(segment),
            Event::ApplyFailed(error) => self.apply_failure = Some(error),
            Event::Packed(packed) => self.note_packed(packed),
            Event::Broken => {
                error!("the store's threads can't go on; the daemon has to start anew");
                self.deaths.suspect();
                self.poisoned = true;
            }
            Event::Prepared(segment) => {
                self.next = Next::Ready(segment);
                self.timings.end_wait();
            }
            Event::PrepareFailed(error) => {
                if !matches!(self.next, Next::Failed(_)) {
                    warn!(%error, "the next segment of the log can't be made");
                }
                self.next = Next::Failed(StoreError::append(error, &self.options.path));
            }
            Event::Room(shortage) => self.hear_of_room(shortage),
            Event::Synced(position) => self.note_synced(position),
            Event::SyncFailed { segment } => self.note_unsynced(segment),
            Event::Verified(digest) => self.write_own(Command::Verified { digest }, now),
            Event::Damaged { digest, file } => self.condemn(digest, Some(file)),
            Event::Condemned { lost, commands } => self.condemned.push(lost, commands),
            Event::Orphans(digests) => self.dropped.extend(digests),
            Event::Discarded { charge } => self.memory.leaving_mut().removed(charge),
        }
    }

    /// The index has a whole segment: readers no longer look into it.
    fn retire(&mut self, segment: u64) {
        let Some(applying) = self.lookup.applying.take_if(|applying| applying.number() == segment) else {
            return error!(segment, "a segment was applied that nobody waited for");
        };
        failpoint!(RetirementBegun);
        retire(&self.lookup.index.words());
        failpoint!(RetirementViewed);
        debug_assert_eq!(
            View::from_word(self.lookup.index.words().load(Word::View)).used(),
            View::alone(self.lookup.active.number()).used(),
            "after a segment is retired the active one is alone"
        );
        self.applied = self.applying_seq;
        self.applying_since = None;
        self.apply_failure = None;
        self.counters.segments += 1;
        self.named.applying.clear();
        self.memory.retire();
        self.dropped.extend(self.dropped_later.drain(..));
        self.check_counts();
        self.spread_marks();
        self.measure(IndexSize::retire);
        self.pack_between();
        let (expiring, places) = (self.expiring.retire(), self.queues.retire());
        self.note_expiring(&expiring);
        self.syncer.send(SyncJob::Remove { segment: applying, expiring, places });
        self.prepare_next();
        self.ask_for_room();
        // What is in the index is durable, whatever became of the segment's own syncs.
        let behind = Position { segment: segment + 1, offset: SEGMENT_HEADER as u64 };
        self.note_synced(behind.max(self.synced_later));
    }

    /// What the writer knows by heart must be what the index counts.
    pub(super) fn check_counts(&self) {
        if cfg!(debug_assertions) {
            let tables = &self.lookup.tables;
            let counted = tables.env.read_txn().and_then(|txn| tables.all_counts(&txn)).unwrap_or_default();
            let counted = counted.into_iter().filter(|(_, counts)| *counts != Counts::default());
            debug_assert_eq!(counted.collect::<std::collections::BTreeMap<_, _>>(), self.memory.expected_in_index());
        }
    }

    /// Has the segment after the active one made, unless one is being applied: its table is in use.
    pub(super) fn prepare_next(&mut self) {
        if self.lookup.applying.is_some() {
            self.next = Next::Later;
            return;
        }
        self.next = Next::Preparing;
        self.syncer.send(SyncJob::Prepare(Prepare {
            index: Arc::clone(&self.lookup.index),
            folder: self.generation.join(LOG),
            number: self.lookup.active.number() + 1,
            store_id: self.id,
        }));
    }

    /// Has everything that was acknowledged applied to the index; returns the sequence number to wait for, see [`Store::applied`].
    pub fn request_checkpoint(&mut self) -> u64 {
        if self.end > SEGMENT_HEADER as u64 && self.last_seq > self.applied {
            self.checkpoint = true;
            self.rotate_for_checkpoint();
        }
        self.last_seq
    }

    fn rotate_for_checkpoint(&mut self) -> bool {
        if self.end > SEGMENT_HEADER as u64 {
            return self.rotate();
        }
        // The segment that somebody wanted applied was rotated out by the writer in the meantime.
        self.checkpoint = false;
        false
    }

    /// Returns the last sequence number that the index has, as readers see it.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Tells whether the log can't be applied at the moment, or not be rotated, which comes before that. It is tried
    /// again and again.
    #[must_use]
    pub fn apply_failed(&self) -> bool {
        self.apply_failure.is_some() || self.poisoned || matches!(self.next, Next::Failed(_))
    }

    /// Returns why the log can't be applied at the moment, or not be rotated; `None` where it can.
    #[must_use]
    pub fn apply_failure(&self) -> Option<StoreError> {
        match (&self.apply_failure, &self.next) {
            (Some(failure), _) | (None, Next::Failed(failure)) => Some(failure.again()),
            _ if self.poisoned => Some(StoreError::Restarting),
            _ => None,
        }
    }

    /// Tells whether log and shared index disagree, or a thread is gone. Nothing is written then until a new start has put that
    /// right.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned || self.damage.needs_restart()
    }

    /// Writes a command of the store's own. If it can't be written now it is not worth waiting for: a blob stays
    /// unverified until the next start, a damaged entry is found by its next reader.
    pub(super) fn write_own(&mut self, command: Command, now: Timestamp) {
        let mut results = Vec::new();
        self.write(&mut [Batch::of(command, None)].into(), now, &mut results);
        if let Some(Err(error)) = results.pop() {
            warn!(error = &error as &dyn std::error::Error, "a note about a blob can't be written");
        }
    }

    /// Removes blobs that belong to nobody: no record of the index and no operation of the log names them *now*.
    fn remove_dropped(&mut self) -> bool {
        let turn: Vec<Digest> = self.dropped.drain(..self.dropped.len().min(REMOVALS)).collect();
        for digest in &turn {
            if self.named.active.contains(digest) {
                // Once that segment is applied, a row of the index says whose it is, or it is dropped again.
                continue;
            }
            if self.named.applying.contains(digest) {
                // The slice that dropped it may be this very segment's: nothing will drop it again.
                self.dropped_later.push(*digest);
                continue;
            }
            match self.is_unknown(digest) {
                Ok(true) => self.remove_blob(digest),
                Ok(false) => drop(self.memory.leaving_mut().end(digest)),
                Err(error) => warn!(%digest, error = &error as &dyn std::error::Error, "a blob's fate can't be told"),
            }
        }
        if !self.dropped.is_empty() {
            (self.options.wake)();
        }
        !turn.is_empty()
    }

    /// Tells whether the next turn has something to remove, whatever comes until then.
    #[must_use]
    pub fn has_more_to_remove(&self) -> bool {
        !self.dropped.is_empty() || self.condemned.can_go_on() && self.has_room_for_bulk()
    }

    /// Tells whether no record of the index names a blob.
    pub(super) fn is_unknown(&self, digest: &Digest) -> Result<bool, StoreError> {
        let read = |source| StoreError::Read { source };
        let txn = self.lookup.tables.env.read_txn().map_err(read)?;
        Ok(self.lookup.tables.blobs.get(&txn, &digest.0).map_err(read)?.is_none())
    }

    fn remove_blob(&mut self, digest: &Digest) {
        failpoint!(BlobDropped);
        // One that is held is looked at again when it no longer is.
        match self.adopter.unless_held(digest, || self.blobs.set_aside(digest)) {
            Some(Ok(Some(aside))) => {
                failpoint!(BlobSetAside);
                let charge = self.memory.leaving_mut().set_aside(digest);
                self.verifier.send(BlobJob::Discard { path: aside, charge });
            }
            None => {}
            Some(Ok(None)) => drop(self.memory.leaving_mut().end(digest)),
            Some(Err(error)) => warn!(%digest, %error, "a blob can't be removed"),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Store");
        out.field("path", &self.options.path).field("last_seq", &self.last_seq).field("applied", &self.applied);
        out.field("segment", &self.lookup.active.number()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Condition, NewValue};
    use super::super::testing::{DEADLINE, NOW, put, stage, store, wait};
    use super::super::threads::{Helper, Outbox};
    use super::*;
    use datacache_proto::key::Key;
    use datacache_proto::layout::blob_path;
    use sha2::Digest as _;
    use std::path::PathBuf;

    /// Returns a store that can't make its next segment but has something to apply, and where its folder of segments went.
    fn unable_to_rotate(folder: &tempfile::TempDir) -> (Store, PathBuf) {
        let mut store = store(folder);
        let log = store.generation.join(LOG);
        let away = log.with_extension("away");
        std::fs::rename(&log, &away).unwrap();
        put(&mut store, NewValue::Inline(vec![7].into()));
        store.request_checkpoint();
        wait(&mut store, |store| matches!(store.next, Next::Failed(_)));
        put(&mut store, NewValue::Inline(vec![8].into()));
        (store, away)
    }

    /// Each attempt had the next one made at once, without end, as long as somebody waited for the log to be applied; and
    /// who waited was not told.
    #[test]
    fn a_segment_that_can_not_be_made_is_told_of_and_made_later() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, away) = unable_to_rotate(&folder);
        let target = store.request_checkpoint();
        assert!(matches!(store.next, Next::Failed(_)), "it is not tried again on the spot");
        assert!(store.apply_failed());

        std::fs::rename(away, store.generation.join(LOG)).unwrap();
        wait(&mut store, |store| store.applied() >= target);
        assert!(!store.apply_failed());
        store.close(NOW).unwrap();
    }

    /// Whoever waited for something that only the thread could do waited for ever, the end of the daemon among them.
    #[test]
    fn a_thread_that_panics_makes_the_store_ask_for_a_new_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let (outbox, events) = Outbox::new(Arc::new(|| ()));
        store.events = events;
        store.applier =
            Helper::start("panics", outbox, |jobs, _| panic!("at its first job: {:?}", jobs.recv())).unwrap();
        put(&mut store, NewValue::Inline(vec![7].into()));
        store.request_checkpoint();
        wait(&mut store, Store::is_poisoned);
        assert!(matches!(store.close(NOW), Err(StoreError::Restarting)));
    }

    /// The good file was set aside in the place of the damaged one, and its entry was left without a value.
    #[test]
    fn content_that_is_added_again_while_its_damage_is_dealt_with_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let digest = Digest(sha2::Sha256::digest(b"right").into());
        let value = stage(&store.blobs(), digest);
        put(&mut store, value);
        while store.damaged.is_empty() {
            let event = store.events.recv_timeout(DEADLINE).expect("the blob is hashed in time");
            store.take(event, NOW);
        }

        std::fs::write(store.blobs().staging().join("again"), b"right").unwrap();
        let value = NewValue::Blob(store.blobs().receive("again", 5, digest, false).unwrap());
        put(&mut store, value);
        wait(&mut store, |store| store.damaged.is_empty());
        let target = store.request_checkpoint();
        wait(&mut store, |store| store.applied() >= target);
        assert_eq!(std::fs::read(blob_path(store.path(), &digest)).unwrap(), b"right");
        assert_eq!(store.len(store.namespace("n").unwrap(), NOW).unwrap(), 1);
    }

    #[test]
    fn an_index_that_fills_its_map_is_named_and_what_removes_is_taken_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        put(&mut store, NewValue::Inline(vec![7].into()));
        let target = store.request_checkpoint();
        wait(&mut store, |store| store.applied() >= target && matches!(store.next, Next::Ready(_)));
        // The thread that syncs looks at the index to see whether there is room.
        wait(&mut store, |store| store.scarcity.asked == 0);
        let limit = 256 * 1024;
        store.verifier.stop();
        // SAFETY: no transaction is under way: one thread has ended, the others have nothing to do, the writer is in no turn.
        #[expect(unsafe_code, reason = "a map that is nearly full")]
        unsafe {
            store.lookup.tables.env.resize(limit).unwrap();
        }
        put(&mut store, NewValue::Inline(vec![8; 1 << 20].into()));
        store.request_checkpoint();
        wait(&mut store, Store::apply_failed);
        let told = store.apply_failure();
        assert!(matches!(told, Some(StoreError::IndexFull { limit: told }) if told == limit as u64), "{told:?}");
        let (namespace, key) = (store.namespace("n").unwrap(), Key::from("k"));
        let touch = Command::Touch { namespace, key: key.clone(), expires: None };
        let delete = Command::Delete { namespace, key, when: Condition::Live };
        let mut results = Vec::new();
        store.write(&mut [touch, delete].map(|command| Batch::of(command, None)).into(), NOW, &mut results);
        assert!(matches!(results[..], [Err(StoreError::IndexFull { .. }), Ok(_)]), "{results:?}");
    }

    #[test]
    fn a_store_that_can_not_rotate_is_closed_without_waiting_for_that() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = unable_to_rotate(&folder);
        assert!(matches!(store.close(NOW), Err(StoreError::Append { .. })));
    }
}
