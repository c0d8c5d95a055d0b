//! Writing: what waits is decided on, appended to the log as one frame, and made visible, in this order.

use std::collections::VecDeque;
use std::time::Instant;

use datacache_proto::log::{Kind, SEGMENT_HEADER};
use datacache_proto::recent::{Location, Offset, Published, ROTATE_AT, approach, publish, rotate};
use datacache_proto::time::Timestamp;
use datacache_proto::types::CallId;
use tracing::error;

use super::command::{Batch, Command, NewValue, Outcome};
use super::error::StoreError;
use super::failpoint::failpoint;
use super::position::Position;
use super::store::{Next, Store};
use super::syncer::SyncJob;
use super::threads::{ApplyJob, IndexJob};
use super::turn::Turn;
use super::verifier::BlobJob;

/// What comes of a batch.
pub type BatchResult = Result<Vec<Outcome>, StoreError>;

impl Store {
    /// Returns what came of a call that was done already, as far back as replies are kept.
    #[must_use]
    pub fn reply(&self, call: CallId) -> Option<Vec<Outcome>> {
        self.memory.reply(call)
    }

    /// Takes batches from the front as far as they fit one frame, does them, and pushes a result for each.
    ///
    /// Takes none where it has to wait for a segment to be applied: `wake` will be called, the caller then calls
    /// [`Store::progress`] and tries again. Nor where the first of them has no room below a limit, see [`Store::blocked_by`].
    pub fn write(&mut self, batches: &mut VecDeque<Batch>, now: Timestamp, results: &mut Vec<BatchResult>) {
        while let Some(refused) = batches.front().and_then(|batch| self.refusal(batch)) {
            batches.pop_front();
            results.push(Err(refused));
        }
        self.crowding.blocked_by = None;
        if batches.is_empty() {
            return;
        }
        match self.make_room() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                batches.pop_front();
                return results.push(Err(error));
            }
        }
        if self.end == SEGMENT_HEADER as u64 {
            self.active_since = Some(now);
        }
        let (begun, mut done) = (Instant::now(), Vec::new());
        let decided = self.decide(batches, now, &mut done);
        match self.append(begun, decided.iter().filter(|result| result.is_ok()).count()) {
            Ok(()) => {
                for (batch, result) in done.iter().zip(&decided) {
                    self.settle(batch, result.is_ok());
                }
                results.extend(decided);
            }
            Err(error) if self.note_append_failed(&error) => {
                // Once more: what makes room has to wait for the next segment, all else is refused now.
                done.iter().for_each(|batch| self.settle(batch, false));
                done.into_iter().rev().for_each(|batch| batches.push_front(batch));
                self.write(batches, now, results);
            }
            // One of many may be what does not fit: a small one can still go.
            Err(_) if done.len() > 1 => {
                for batch in done {
                    results.push(self.write_alone(&batch, now));
                }
            }
            Err(error) => {
                done.iter().for_each(|batch| self.settle(batch, false));
                results.extend(decided.into_iter().map(|decided| decided.and(Err(error.again()))));
            }
        }
    }

    /// Decides on batches until the frame is full. `done` gets those that were taken.
    fn decide(&mut self, batches: &mut VecDeque<Batch>, now: Timestamp, done: &mut Vec<Batch>) -> Vec<BatchResult> {
        self.draft.begin(self.last_seq + 1);
        let mut results = Vec::new();
        while let Some(batch) = batches.front() {
            if !done.is_empty() && (self.refusal(batch).is_some() || self.is_short()) {
                break;
            }
            if let Some(owner) = self.lacks_room(batch, now) {
                self.crowding.blocked_by = done.is_empty().then_some(owner);
                break;
            }
            let result = self.turn(now).batch(batch);
            let result = result.map_err(|failure| self.pass_on(failure));
            if matches!(result, Err(StoreError::TooLarge { .. })) && self.draft.frame.operations() > 0 {
                break;
            }
            results.push(result);
            done.extend(batches.pop_front());
        }
        results
    }

    fn write_alone(&mut self, batch: &Batch, now: Timestamp) -> BatchResult {
        let begun = Instant::now();
        self.draft.begin(self.last_seq + 1);
        let decided = self.turn(now).batch(batch);
        let result = decided.map_err(|failure| self.pass_on(failure));
        let result = result.and_then(|outcomes| self.append(begun, 1).map(|()| outcomes));
        self.settle(batch, result.is_ok());
        result
    }

    pub(super) fn turn(&mut self, now: Timestamp) -> Turn<'_> {
        let Self { lookup, memory, pools, draft, blobs, damage, counters, .. } = self;
        let (snapshot, segments) = (lookup.snapshot(), counters.segments);
        Turn { lookup, snapshot, memory, pools, draft, blobs, damage, now, segments }
    }

    /// Appends the draft, on which was decided since `begun` for so many `batches`, and publishes what it decides. After an error
    /// nothing has happened.
    pub(super) fn append(&mut self, begun: Instant, batches: usize) -> Result<(), StoreError> {
        if self.draft.frame.operations() == 0 {
            self.memory.commit();
            self.pools.commit();
            return Ok(());
        }
        let segment = &self.lookup.active;
        let frame = self.draft.seal(segment.header(), self.end);
        let length = frame.len() as u64;
        failpoint!(FrameDecided);
        if let Err((error, spoilt)) = segment.append(frame, self.end) {
            self.memory.undo_all();
            self.pools.undo_all();
            if let Some(spoilt) = spoilt {
                // The place can't be made to hold no frame, so nothing may come behind it.
                error!(error = %spoilt, "the log's segment is spoilt and is left");
                self.checkpoint = true;
            }
            self.draft.begin(self.last_seq + 1);
            return Err(StoreError::append(error, &self.options.path));
        }
        failpoint!(FrameWritten);
        self.lookup.trail.append(segment.number(), self.end, frame);
        self.publish();
        failpoint!(FramePublished);
        self.queue_places();
        self.memory.commit();
        self.pools.commit();
        self.timings.note_frame(begun, self.draft.frame.operations(), batches);
        self.last_seq = self.draft.frame.next_seq() - 1;
        self.counters.frames += 1;
        self.counters.operations += self.draft.frame.operations() as u64;
        self.counters.log_bytes += length;
        self.end += length;
        let brought = self.draft.decided().iter().filter(|decided| decided.decision.kind == Kind::Put);
        self.tail.advance(self.end, brought.filter_map(|decided| decided.decision.digest));
        self.index_size.swelling.note(self.draft.scattered(), self.draft.frame.operations());
        self.keep_room();
        self.draft.begin(self.last_seq + 1);
        self.keep_log_short();
        if !self.sync_scheduled {
            self.sync_scheduled = true;
            self.syncer.send(SyncJob::Later);
        }
        Ok(())
    }

    /// Makes the frame at the end of the log visible.
    fn publish(&mut self) {
        let segment = self.lookup.active.number();
        approach(&self.lookup.index.words(), self.draft.decided().iter().map(|decided| decided.decision.hash));
        for decided in self.draft.decided() {
            self.named.active.extend(decided.decision.digest);
            if decided.superseded {
                continue;
            }
            let offset = Offset::from_bytes(self.end + u64::from(decided.start));
            let at = Location { segment, offset: offset.expect("operations are aligned, segments below 32 GiB") };
            let decision = decided.decision;
            match publish(&self.lookup.index.words(), decision.hash, at, decision.replaces.map(|old| old.at)) {
                Ok(Published::Added) => self.used += 1,
                Ok(Published::Replaced) => {}
                Err(error) => {
                    error!(%error, "log and shared index disagree; the daemon has to start anew");
                    self.poisoned = true;
                }
            }
            failpoint!(SlotPublished);
            self.expiring.publish(at, decision.namespace, decision.expires, decision.replaces);
        }
    }

    /// Does what follows from a batch. Is it in the log, its staged names go and its blobs are hashed; else what it had
    /// adopted belongs to nobody, and its staged names stay for another attempt.
    fn settle(&mut self, batch: &Batch, is_done: bool) {
        for command in &batch.commands {
            let Command::Put(put) = command else { continue };
            let NewValue::Blob(incoming) = &put.value else { continue };
            if is_done {
                self.verifier.send(BlobJob::Remove(incoming.path().to_owned()));
                self.verifier.send(BlobJob::Verify { digest: incoming.digest(), equal: incoming.equal() });
            } else {
                self.dropped.push_back(incoming.digest());
            }
        }
    }

    /// Sees to it that a frame fits the active segment; `false` where that has to wait for a thread.
    pub(super) fn make_room(&mut self) -> Result<bool, StoreError> {
        let is_full = self.used >= ROTATE_AT || self.end >= self.options.segment_bytes;
        if !is_full && !self.checkpoint {
            self.timings.end_wait();
            return Ok(true);
        }
        let failure = match &self.next {
            Next::Failed(error) => Some(error.again()),
            _ => None,
        };
        if self.rotate() {
            self.timings.end_wait();
            return Ok(true);
        }
        // A frame more than half full the table bears; after that it is too crowded to be quick.
        let is_crowded = self.used >= ROTATE_AT || self.end >= 2 * self.options.segment_bytes;
        let must_wait = is_crowded || self.scarcity.is_cramped;
        if must_wait && self.timings.begin_wait() {
            self.counters.waits += 1;
        }
        // Waiting has an end: what failed is tried again, but whoever comes meanwhile is told.
        failure.filter(|_| must_wait).map_or(Ok(!must_wait), Err)
    }

    /// Tells whether a clean-up may go on: while a segment is being applied it leaves three quarters of the next one to
    /// its neighbours, who would have to wait for the end of that if it filled it.
    #[must_use]
    pub fn has_room_for_bulk(&self) -> bool {
        let is_little = self.used < ROTATE_AT / 4 && self.end < self.options.segment_bytes / 4;
        self.lookup.applying.is_none() || is_little || self.apply_failed()
    }

    /// Makes the next segment the active one, if it is there and the one before the active is applied.
    pub(super) fn rotate(&mut self) -> bool {
        if !matches!(self.next, Next::Ready(_)) {
            return false;
        }
        failpoint!(RotationBegun);
        if let Err(error) = rotate(&self.lookup.index.words()) {
            error!(%error, "the next segment was made too early");
            self.poisoned = true;
            return false;
        }
        failpoint!(RotationViewed);
        let Next::Ready(next) = std::mem::replace(&mut self.next, Next::Later) else { return false };
        let full = std::mem::replace(&mut self.lookup.active, next);
        self.applier.send(IndexJob::Apply(ApplyJob {
            segment: std::sync::Arc::clone(&full),
            end: self.end,
            tables: std::sync::Arc::clone(&self.lookup.tables),
        }));
        self.syncer.send(SyncJob::Whole { segment: std::sync::Arc::clone(&full), end: self.end });
        failpoint!(RotationHandedOver);
        self.applying_end = Position { segment: full.number(), offset: self.end };
        self.lookup.applying = Some(full);
        self.named.applying = std::mem::take(&mut self.named.active);
        self.lookup.trail.clear();
        self.expiring.rotate();
        self.memory.rotate();
        self.queues.rotate();
        self.index_size.rotate(self.memory.rows());
        self.applying_seq = self.last_seq;
        self.applying_since = self.active_since.take();
        self.end = SEGMENT_HEADER as u64;
        self.used = 0;
        self.checkpoint = false;
        self.tail.rotate(std::sync::Arc::clone(&self.lookup.active), self.end);
        self.note_rotated();
        true
    }

    /// Returns the end of the log.
    #[must_use]
    pub fn end(&self) -> Position {
        Position { segment: self.lookup.active.number(), offset: self.end }
    }
}
