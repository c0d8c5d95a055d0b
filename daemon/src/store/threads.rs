//! The store's helpers: what the threads have in common that apply segments, sync them (`syncer`) and hash blobs (`verifier`), and
//! the first of them. They are sent jobs, and what they did is heard of as events; nothing else is shared.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use datacache_proto::types::Digest;
use tracing::{debug, error, info};

use super::apply::Committed;
use super::blob::BlobStore;
use super::command::Command;
use super::damage::Lost;
use super::error::StoreError;
use super::failpoint::failpoint;
use super::lmdb_damage::is_damage_in_use;
use super::packing::{Packed, PackedTo};
use super::position::Position;
use super::replay::{LEAST_SLICE, Replay, ReplayError, SLICE};
use super::segment::{ReadError, Segment};
use super::tables::Tables;

/// How long the threads wait before they try again what failed.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// What a helper did.
#[derive(Debug)]
pub(super) enum Event {
    /// A slice is in the index: up to this sequence number.
    Slice(Committed),
    /// The whole segment is in the index.
    Applied { segment: u64 },
    /// A segment could not be applied, for this reason; it is tried again.
    ApplyFailed(StoreError),
    /// A step of packing is done; `None` where it failed.
    Packed(Option<Packed>),
    /// Nothing goes on before a new start: a thread panicked, or LMDB refuses everything, reads too.
    Broken,
    /// The next segment can become active.
    Prepared(Arc<Segment>),
    /// It could not be made; it is tried again.
    PrepareFailed(io::Error),
    /// Whether there is room for the log and what becomes of it; why not, where there is none.
    Room(Option<StoreError>),
    /// Everything before this position survives a power cut.
    Synced(Position),
    /// What was appended to this segment can't be made to.
    SyncFailed { segment: u64 },
    /// A blob has the content its name says.
    Verified(Digest),
    /// A blob has not: this file.
    Damaged { digest: Digest, file: File },
    /// Entries that name damaged blobs.
    Condemned { lost: Lost, commands: Vec<Command> },
    /// The file of a blob that nothing named any more is removed; it took `charge` bytes.
    Discarded { charge: u64 },
    /// Files among the blobs that the index does not know.
    Orphans(Vec<Digest>),
}

/// Where the helpers' events go.
#[derive(Clone)]
pub(super) struct Outbox {
    events: Sender<Event>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Outbox {
    pub(super) fn new(wake: Arc<dyn Fn() + Send + Sync>) -> (Self, Receiver<Event>) {
        let (events, inbox) = channel();
        (Self { events, wake }, inbox)
    }

    /// The store may be gone already; then nobody wants to know.
    pub(super) fn send(&self, event: Event) {
        if self.events.send(event).is_ok() {
            (self.wake)();
        }
    }
}

/// Whether somebody waits for a helper's end: it leaves undone then what takes long and can be done another day.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending(Arc<AtomicBool>);

impl Ending {
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A helper thread that ends, once it has done the jobs it was handed, when this is dropped.
#[derive(Debug)]
pub(super) struct Helper<J> {
    jobs: Option<Sender<J>>,
    ending: Ending,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static> Helper<J> {
    /// Starts a thread with a lower priority than the writer's. Should it panic, `outbox` hears of it.
    pub(super) fn start(
        name: &str,
        outbox: Outbox,
        body: impl FnOnce(Receiver<J>, Ending) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, inbox) = channel();
        let ending = Ending::default();
        let told = ending.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _last_words = LastWords(outbox);
            // On Linux a thread has a priority of its own. It is a courtesy: without it things only get slower.
            rustix::process::nice(5).ok();
            body(inbox, told);
        })?;
        Ok(Self { jobs: Some(jobs), ending, thread: Some(thread) })
    }

    /// Hands a job over. A helper that is gone has said why.
    pub(super) fn send(&self, job: J) {
        if let Some(jobs) = &self.jobs {
            jobs.send(job).ok();
        }
    }
}

impl<J> Helper<J> {
    /// Ends the thread, once it has done the jobs it was handed.
    pub(super) fn stop(&mut self) {
        self.ending.begin();
        drop(self.jobs.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("a thread of the store panicked");
        }
    }
}

impl<J> Drop for Helper<J> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells the writer, who would wait for ever, that a thread panicked.
struct LastWords(Outbox);

impl Drop for LastWords {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send(Event::Broken);
        }
    }
}

/// A segment to be applied up to `end`.
#[derive(Debug)]
pub(super) struct ApplyJob {
    pub(super) segment: Arc<Segment>,
    pub(super) end: u64,
    /// The index that it goes into.
    pub(super) tables: Arc<Tables>,
}

/// A step of packing: several runs, each in a transaction of its own.
#[derive(Debug)]
pub(super) struct PackJob {
    /// Where the step before ended.
    pub(super) from: PackedTo,
    /// It ends when as many bytes of pages are free.
    pub(super) wanted: u64,
    pub(super) tables: Arc<Tables>,
}

/// What the thread does to the index.
#[derive(Debug)]
pub(super) enum IndexJob {
    Apply(ApplyJob),
    Pack(PackJob),
}

/// Starts the thread that applies segments.
pub(super) fn applier(blobs: BlobStore, outbox: Outbox) -> io::Result<Helper<IndexJob>> {
    Helper::start("datacache-apply", outbox.clone(), move |jobs: Receiver<IndexJob>, _| {
        while let Ok(job) = jobs.recv() {
            let job = match job {
                IndexJob::Apply(job) => job,
                IndexJob::Pack(job) => {
                    outbox.send(pack(job));
                    continue;
                }
            };
            let (tables, mut tries) = (&*job.tables, 1);
            let mut replay = Replay { tables, blobs: &blobs, check_blobs: false, salvage: false, slice: SLICE };
            while let Err(error) = apply(&replay, &job, &outbox) {
                let cause = &error as &dyn std::error::Error;
                match tries {
                    1 => error!(error = cause, "the log can't be applied to the index; it is tried again and again"),
                    _ => debug!(error = cause, tries, "the log still can't be applied to the index"),
                }
                tries += 1;
                let is_fatal = is_fatal(&error);
                outbox.send(if is_fatal { Event::Broken } else { Event::ApplyFailed(replay.told(error)) });
                // The less a transaction changes, the less room it needs.
                replay.slice = (replay.slice / 8).max(LEAST_SLICE);
                // Nobody sends a job before this one is done: what ends the wait is the store's end, or the time.
                if !matches!(jobs.recv_timeout(RETRY), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
            if tries > 1 {
                info!(tries, "the log is applied to the index again");
            }
        }
    })
}

/// Tells whether only a new start helps: LMDB could not write what all its transactions begin with, or found damage; or the log is
/// damaged, and what the writer knows by heart will not be what the index gets.
fn is_fatal(error: &ReplayError) -> bool {
    match error {
        ReplayError::Index { source } => is_damage_in_use(source),
        ReplayError::Segment { source, .. } => matches!(source, ReadError::Bytes { .. }),
        ReplayError::Blob { .. } => false,
    }
}

/// Does a step of packing. A run that fails has changed nothing, and there is no need to try it again.
fn pack(job: PackJob) -> Event {
    match pack_for_a_while(job) {
        Ok(packed) => Event::Packed(Some(packed)),
        Err(error) if is_damage_in_use(&error) => {
            error!(error = &error as &dyn std::error::Error, "the index can't be packed");
            Event::Broken
        }
        Err(error) => {
            debug!(error = &error as &dyn std::error::Error, "the index can't be packed now");
            Event::Packed(None)
        }
    }
}

/// Packs run by run, until enough is free, the round is over, or others have waited for long enough.
fn pack_for_a_while(PackJob { from, wanted, tables }: PackJob) -> heed::Result<Packed> {
    /// For how long a segment and those who wait for room wait, but for the last run.
    const WHILE: Duration = Duration::from_millis(100);
    let (begun, mut all) = (Instant::now(), Packed { to: from, ..Packed::default() });
    loop {
        let Packed { to, is_round, freed, filled } = tables.pack(all.to)?;
        all = Packed { to, is_round, freed: all.freed + freed, filled: all.filled + filled };
        if is_round || all.freed >= wanted || begun.elapsed() >= WHILE {
            return Ok(all);
        }
    }
}

fn apply(replay: &Replay<'_>, job: &ApplyJob, outbox: &Outbox) -> Result<(), ReplayError> {
    let segment = job.segment.number();
    replay.segment(&job.segment, Some(job.end), segment + 1, |committed| {
        outbox.send(Event::Slice(committed));
    })?;
    failpoint!(SegmentApplied);
    outbox.send(Event::Applied { segment });
    Ok(())
}
