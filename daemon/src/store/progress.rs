//! Taking in what the store's threads did. On the writer's thread, so that the view, the counters and the fate of blobs are
//! decided in one place.

use datacache_proto::layout::LOG;
use datacache_proto::log::SEGMENT_HEADER;
use datacache_proto::recent::{View, Word, Words, retire};
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;
use tracing::{error, warn};

use super::command::{Batch, Command};
use super::error::StoreError;
use super::position::Position;
use super::store::{Next, Store};
use super::threads::{Event, SyncJob};
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
        any |= self.condemn_damaged();
        any | self.remove_dropped()
    }

    pub(super) fn take(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Slice { applied, dropped } => {
                debug_assert!(applied <= self.applying_seq, "only what was rotated out is applied");
                self.apply_failed = false;
                self.dropped.extend(dropped);
            }
            Event::Applied { segment } => self.retire(segment),
            Event::ApplyFailed => self.apply_failed = true,
            Event::Prepared(segment) => self.next = Next::Ready(segment),
            Event::PrepareFailed(error) => {
                warn!(%error, "the next segment of the log can't be made");
                self.next = Next::Failed(StoreError::append(error));
            }
            Event::Synced(position) => self.note_synced(position),
            Event::SyncFailed { segment } => self.note_unsynced(segment),
            Event::Verified(digest) => self.write_own(Command::Verified { digest }, now),
            Event::Damaged(digest) => self.damaged(digest),
            Event::Condemned(commands) => commands.into_iter().for_each(|command| self.write_own(command, now)),
            Event::Orphans(digests) => self.dropped.extend(digests),
        }
    }

    /// The index has a whole segment: readers no longer look into it.
    fn retire(&mut self, segment: u64) {
        let Some(applying) = self.lookup.applying.take_if(|applying| applying.number() == segment) else {
            return error!(segment, "a segment was applied that nobody waited for");
        };
        retire(&self.lookup.index.words());
        debug_assert_eq!(
            View::from_word(self.lookup.index.words().load(Word::View)),
            View::alone(self.lookup.active.number()),
            "after a segment is retired the active one is alone"
        );
        self.applied = self.applying_seq;
        self.apply_failed = false;
        self.counters.segments += 1;
        self.named.applying.clear();
        self.memory.retire();
        self.dropped.extend(self.dropped_later.drain(..));
        self.swept = Timestamp::default();
        self.check_counts();
        self.syncer.send(SyncJob::Remove { segment: applying, expiring: self.expiring.retire() });
        self.prepare_next();
        // What is in the index is durable, whatever became of the segment's own syncs.
        let behind = Position { segment: segment + 1, offset: SEGMENT_HEADER as u64 };
        self.note_synced(behind.max(self.synced_later));
    }

    /// What the writer knows by heart must be what the index counts.
    fn check_counts(&self) {
        if cfg!(debug_assertions) {
            let tables = &self.lookup.tables;
            let counted = tables.env.read_txn().and_then(|txn| tables.all_counts(&txn)).unwrap_or_default();
            let counted = counted.into_iter().filter(|(_, counts)| counts.entries > 0 || counts.bytes > 0);
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
        self.syncer.send(SyncJob::Prepare {
            folder: self.generation.join(LOG),
            number: self.lookup.active.number() + 1,
            store_id: self.id,
        });
    }

    fn note_synced(&mut self, position: Position) {
        let blocked = self.sync_failed.iter().any(|&failed| {
            failed < position.segment && self.lookup.applying.as_ref().is_some_and(|s| s.number() == failed)
        });
        if blocked {
            self.synced_later = self.synced_later.max(position);
        } else if !self.sync_failed.contains(&position.segment) {
            self.synced = self.synced.max(position);
        }
        let behind = self.synced < self.end() && self.end > SEGMENT_HEADER as u64;
        self.sync_scheduled = behind && !self.sync_failed.contains(&self.lookup.active.number());
        if self.sync_scheduled {
            self.syncer.send(SyncJob::Later);
        }
    }

    /// No call for durability is ever answered from a segment whose sync failed: the kernel may have dropped the pages and
    /// report the next sync as done. The segment is left; applying it to the index heals what it holds.
    fn note_unsynced(&mut self, segment: u64) {
        self.sync_failed.insert(segment);
        self.sync_scheduled = false;
        if segment == self.lookup.active.number() {
            self.checkpoint = true;
        }
    }

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
        self.syncer.send(SyncJob::Now { blobs: std::mem::take(&mut self.unsynced_blobs) });
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

    /// Tells whether the log can't be applied at the moment. It is tried again and again.
    #[must_use]
    pub fn apply_failed(&self) -> bool {
        self.apply_failed || self.poisoned
    }

    /// Tells whether log and shared index disagree. Nothing is written then until a new start has put them right.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Writes a command of the store's own. If it can't be written now it is not worth waiting for: a blob stays
    /// unverified until the next start, a condemned entry is found by its reader.
    fn write_own(&mut self, command: Command, now: Timestamp) {
        let mut results = Vec::new();
        self.write(&mut [Batch::of(command, None)].into(), now, &mut results);
        if let Some(Err(error)) = results.pop() {
            warn!(error = &error as &dyn std::error::Error, "a note about a blob can't be written");
        }
    }

    /// The entries that name it are looked for in the index, once that has everything that may name it.
    fn damaged(&mut self, digest: Digest) {
        let target = self.request_checkpoint();
        self.damaged.push((target, digest));
    }

    fn condemn_damaged(&mut self) -> bool {
        let applied = self.applied;
        let ready: Vec<_> = self.damaged.extract_if(.., |(target, _)| *target <= applied).collect();
        for (_, digest) in &ready {
            match self.blobs.set_aside(digest) {
                Ok(Some(aside)) => self.verifier.send(BlobJob::Remove(aside)),
                Ok(None) => {}
                Err(error) => warn!(%digest, %error, "a damaged blob can't be set aside"),
            }
            self.verifier.send(BlobJob::Condemn(*digest));
        }
        !ready.is_empty()
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
                Ok(false) => {}
                Err(error) => warn!(%digest, error = &error as &dyn std::error::Error, "a blob's fate can't be told"),
            }
        }
        if !self.dropped.is_empty() {
            (self.options.wake)();
        }
        !turn.is_empty()
    }

    /// Tells whether no record of the index names a blob.
    pub(super) fn is_unknown(&self, digest: &Digest) -> Result<bool, StoreError> {
        let read = |source| StoreError::Read { source };
        let txn = self.lookup.tables.env.read_txn().map_err(read)?;
        Ok(self.lookup.tables.blobs.get(&txn, &digest.0).map_err(read)?.is_none())
    }

    fn remove_blob(&mut self, digest: &Digest) {
        match self.blobs.set_aside(digest) {
            Ok(Some(aside)) => self.verifier.send(BlobJob::Remove(aside)),
            Ok(None) => {}
            Err(error) => warn!(%digest, %error, "a blob can't be removed"),
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
