//! The thread that syncs the log, and makes and removes its segments.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use datacache_proto::layout::segment_name;
use datacache_proto::log::SegmentHeader;
use datacache_proto::recent::clear_free;
use datacache_proto::types::Digest;
use rustix::rand::{GetRandomFlags, getrandom};
use tracing::{error, warn};

use super::blob::BlobStore;
use super::expiring::SegmentExpiring;
use super::failpoint::failpoint;
use super::index::Index;
use super::position::Position;
use super::queues::SegmentPlaces;
use super::room::HEAD;
use super::segment::Segment;
use super::tables::Tables;
use super::threads::{Event, Helper, Outbox, RETRY};

/// The end of the log, as the writer last left it.
#[derive(Debug)]
pub(super) struct Tail(Mutex<End>);

#[derive(Debug)]
struct End {
    segment: Arc<Segment>,
    offset: u64,
    /// Blobs that operations before the end brought and that no sync has taken yet, each with its operation's segment.
    blobs: Vec<(u64, Digest)>,
}

impl Tail {
    pub(super) fn new(segment: Arc<Segment>, offset: u64) -> Self {
        Self(Mutex::new(End { segment, offset, blobs: Vec::new() }))
    }

    /// Moves to the beginning of the next segment.
    pub(super) fn rotate(&self, segment: Arc<Segment>, offset: u64) {
        let mut end = self.lock();
        (end.segment, end.offset) = (segment, offset);
    }

    /// Moves behind a frame, which brought `blobs`.
    pub(super) fn advance(&self, offset: u64, blobs: impl Iterator<Item = Digest>) {
        let mut end = self.lock();
        let segment = end.segment.number();
        end.offset = offset;
        end.blobs.extend(blobs.map(|digest| (segment, digest)));
    }

    /// Returns the end, and the blobs that must be durable before anything before it is said to be.
    fn take(&self) -> (Arc<Segment>, u64, Vec<(u64, Digest)>) {
        let mut end = self.lock();
        (Arc::clone(&end.segment), end.offset, std::mem::take(&mut end.blobs))
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the next segment is to be.
#[derive(Debug)]
pub(super) struct Prepare {
    /// Whose free table is to be its own.
    pub(super) index: Arc<Index>,
    pub(super) folder: PathBuf,
    pub(super) number: u64,
    pub(super) store_id: u128,
}

/// A job of the thread that syncs.
#[derive(Debug)]
pub(super) enum SyncJob {
    /// Sync the end of the log when the interval is over.
    Later,
    /// Sync the end of the log.
    Now,
    /// Sync a segment that nothing more is appended to.
    Whole { segment: Arc<Segment>, end: u64 },
    /// Clear the free table and make the next segment.
    Prepare(Prepare),
    /// See to it that there is room for an unapplied log of so many bytes and for the index that it becomes.
    MakeRoom { backlog: u64, tables: Arc<Tables> },
    /// Remove a segment that the index has, and free what was known of it: that takes the writer too long.
    Remove { segment: Arc<Segment>, expiring: SegmentExpiring, places: SegmentPlaces },
}

/// Starts the thread that syncs and prepares segments.
pub(super) fn syncer(
    blobs: BlobStore,
    tail: Arc<Tail>,
    interval: Duration,
    outbox: Outbox,
) -> io::Result<Helper<SyncJob>> {
    Helper::start("datacache-sync", outbox.clone(), move |jobs, _| {
        let mut syncer =
            Syncer { blobs, tail, interval, outbox, sync_at: None, prepare_at: None, room_at: None, spare: None };
        loop {
            let job = match syncer.next_due() {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => jobs.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match job {
                Ok(job) => once(job, &jobs).into_iter().for_each(|job| syncer.job(job)),
                Err(RecvTimeoutError::Timeout) => syncer.do_what_is_due(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    })
}

/// Returns a job and those that wait behind it. Syncs that were asked for one after the other become one: it takes the end
/// of the log when it begins, and so speaks for all who asked by then.
fn once(first: SyncJob, waiting: &Receiver<SyncJob>) -> Vec<SyncJob> {
    let mut jobs = vec![first];
    for job in waiting.try_iter() {
        if !matches!((jobs.last(), &job), (Some(SyncJob::Now), SyncJob::Now)) {
            jobs.push(job);
        }
    }
    jobs
}

struct Syncer {
    blobs: BlobStore,
    tail: Arc<Tail>,
    interval: Duration,
    outbox: Outbox,
    /// When the end of the log is synced, if nobody asks for it before.
    sync_at: Option<Instant>,
    /// When a segment that could not be made is tried again.
    prepare_at: Option<(Instant, Prepare)>,
    /// When room that could not be made is looked for again.
    room_at: Option<(Instant, u64, Arc<Tables>)>,
    /// A segment that the index has, kept for its blocks while there are no others: what is given back on a full disk, another
    /// process takes.
    spare: Option<Arc<Segment>>,
}

impl Syncer {
    fn next_due(&self) -> Option<Instant> {
        let prepare_at = self.prepare_at.as_ref().map(|(at, _)| *at);
        let room_at = self.room_at.as_ref().map(|(at, ..)| *at);
        [self.sync_at, prepare_at, room_at].into_iter().flatten().min()
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        if self.sync_at.take_if(|at| *at <= now).is_some() {
            self.job(SyncJob::Now);
        }
        if let Some((_, prepare)) = self.prepare_at.take_if(|(at, _)| *at <= now) {
            self.job(SyncJob::Prepare(prepare));
        }
        if let Some((_, backlog, tables)) = self.room_at.take_if(|(at, ..)| *at <= now) {
            self.job(SyncJob::MakeRoom { backlog, tables });
        }
    }

    fn job(&mut self, job: SyncJob) {
        match job {
            SyncJob::Later => self.sync_at = self.sync_at.or_else(|| Some(Instant::now() + self.interval)),
            SyncJob::Now => {
                // IMPORTANT: the end is noted before the call; what is appended meanwhile may or may not be synced.
                let (segment, end, blobs) = self.tail.take();
                self.sync(&segment, end, &blobs);
            }
            SyncJob::Whole { segment, end } => {
                let (_, _, blobs) = self.tail.take();
                self.sync(&segment, end, &blobs);
            }
            SyncJob::Prepare(prepare) => match self.prepare(&prepare) {
                Ok(segment) => self.outbox.send(Event::Prepared(segment)),
                Err(error) => {
                    self.prepare_at = Some((Instant::now() + RETRY, prepare));
                    self.outbox.send(Event::PrepareFailed(error));
                }
            },
            SyncJob::MakeRoom { backlog, tables } => {
                let shortage = tables.make_room(backlog, self.blobs.folder());
                self.room_at = shortage.as_ref().map(|_| (Instant::now() + RETRY, backlog, tables));
                self.outbox.send(Event::Room(shortage));
                if self.room_at.is_none() {
                    self.spare.take().into_iter().for_each(|spare| remove(&spare));
                }
            }
            SyncJob::Remove { segment, expiring, places } => {
                drop(places);
                drop(expiring);
                let is_kept = self.room_at.is_some() && self.spare.is_none() && segment.keep_head(HEAD).is_ok();
                if is_kept { self.spare = Some(segment) } else { remove(&segment) }
            }
        }
    }

    /// Syncs blobs, then the segment that is to have `offset` bytes by now.
    fn sync(&self, segment: &Segment, offset: u64, blobs: &[(u64, Digest)]) {
        let number = segment.number();
        if let Err(error) = self.blobs.sync(blobs.iter().map(|(_, digest)| digest)) {
            error!(%error, "blobs can't be written through to the disk");
            // No later sync hears of these blobs again, so none may speak for the segments that name them.
            let segments: BTreeSet<u64> = blobs.iter().map(|(segment, _)| *segment).chain([number]).collect();
            return segments.into_iter().for_each(|segment| self.outbox.send(Event::SyncFailed { segment }));
        }
        failpoint!(BlobsSynced);
        match segment.sync() {
            Ok(()) => {
                failpoint!(LogSynced);
                self.outbox.send(Event::Synced(Position { segment: number, offset }));
            }
            Err(error) => {
                error!(segment = number, %error, "the log can't be written through to the disk");
                self.outbox.send(Event::SyncFailed { segment: number });
            }
        }
    }

    fn prepare(&mut self, next: &Prepare) -> io::Result<Arc<Segment>> {
        clear_free(&next.index.words()).map_err(io::Error::other)?;
        failpoint!(TableCleared);
        if let Some(spare) = &self.spare {
            let made = spare.succeed(&next.folder, new_header(next.number, next.store_id)?)?;
            self.spare = None;
            File::open(&next.folder)?.sync_all()?;
            return Ok(Arc::new(made));
        }
        create_segment(&next.folder, next.number, next.store_id, HEAD).map(Arc::new)
    }
}

fn remove(segment: &Segment) {
    failpoint!(SegmentLeft);
    if let Err(error) = segment.remove() {
        warn!(segment = segment.number(), %error, "a segment of the log can't be removed");
    }
    failpoint!(SegmentRemoved);
}

fn new_header(number: u64, store_id: u128) -> io::Result<SegmentHeader> {
    let mut salt = [0; 8];
    getrandom(&mut salt, GetRandomFlags::empty())?;
    Ok(SegmentHeader { number, store_id, salt: u64::from_le_bytes(salt) })
}

/// Makes the file of a segment, so that it survives a power cut, with room for `head` bytes. One that is there from a failed attempt is
/// replaced.
pub(super) fn create_segment(folder: &Path, number: u64, store_id: u128, head: u64) -> io::Result<Segment> {
    let header = new_header(number, store_id)?;
    let segment = match Segment::create(folder, header) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // No view ever named it, or it would not be made.
            std::fs::remove_file(folder.join(segment_name(number)))?;
            Segment::create(folder, header)?
        }
        outcome => outcome?,
    };
    failpoint!(SegmentMade);
    if let Err(error) = segment.allocate(head) {
        // What it got is for others.
        segment.remove()?;
        return Err(error);
    }
    failpoint!(SegmentAllocated);
    File::open(folder)?.sync_all()?;
    failpoint!(SegmentDurable);
    Ok(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_wait_for_a_sync_share_one() {
        let (sender, waiting) = std::sync::mpsc::channel();
        for job in [SyncJob::Now, SyncJob::Now, SyncJob::Later, SyncJob::Now, SyncJob::Now] {
            sender.send(job).unwrap();
        }
        let jobs = once(SyncJob::Now, &waiting);
        assert!(matches!(jobs[..], [SyncJob::Now, SyncJob::Later, SyncJob::Now]), "{jobs:?}");
        assert!(matches!(once(SyncJob::Later, &waiting)[..], [SyncJob::Later]));
    }
}
