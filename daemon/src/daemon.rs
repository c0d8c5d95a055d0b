//! What every part of a running daemon shares. All of it lives on the runtime's one thread.

use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use datacache_proto::process::Process;
use datacache_proto::time::Timestamp;
use tokio::sync::{Semaphore, watch};

use crate::Config;
use crate::activity::Activity;
use crate::call_spans::CallSpans;
use crate::callers::Callers;
use crate::gauge::Gauge;
use crate::inspection::Inspecting;
use crate::laggards::Laggards;
use crate::leases::Leases;
use crate::lifecycle::Lifecycle;
use crate::load::Load;
use crate::long_calls::LongCalls;
use crate::oldest::Oldest;
use crate::scopes::ConnectionId;
use crate::settings::Settings;
use crate::stats::{EventCounts, Events, FallbackCounts};
use crate::store::{Adopter, BlobStore, Reader, Store};
use crate::suspicions::Suspicions;
use crate::tag_survey::TagSurvey;
use crate::tasks::Tasks;
use crate::writer::{WriteError, Writer};

/// A running daemon.
pub(crate) struct Daemon {
    /// The settings; they change when the configuration is read again.
    pub(crate) config: watch::Receiver<Config>,
    /// How they are read again.
    pub(crate) settings: Settings,
    /// The only way to change the store.
    pub(crate) writer: Writer,
    /// Reaches the files of large values from the blocking pool.
    pub(crate) blobs: BlobStore,
    /// Adopts the files of batches on the blocking pool.
    pub(crate) adopter: Adopter,
    /// Who holds leases, and how it is noticed that they end.
    pub(crate) leases: Leases,
    /// Who does not come to the end of a read.
    pub(crate) laggards: Laggards,
    /// Calls that outlive a lost connection.
    pub(crate) long_calls: LongCalls,
    /// Whose turn it is to look at the whole store.
    pub(crate) inspecting: Inspecting,
    /// Who looks at values that clients found to be damaged.
    pub(crate) suspicions: Suspicions,
    /// What is known of tags.
    pub(crate) tag_survey: TagSurvey,
    /// Counters of the namespaces.
    pub(crate) events: EventCounts,
    /// Why reads came by call.
    pub(crate) fallbacks: FallbackCounts,
    /// How long calls took.
    pub(crate) spans: CallSpans,
    /// The oldest entries.
    pub(crate) oldest: Oldest,
    /// Calls that were begun.
    pub(crate) activity: Activity,
    /// Clients that left.
    pub(crate) departures: Activity,
    /// Whose calls came lately.
    pub(crate) callers: Callers,
    /// What runs beside the calls.
    pub(crate) tasks: Tasks,
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Calls under way, until their answer is on the wire.
    pub(crate) calls: Gauge,
    /// The bytes of the messages of those calls.
    pub(crate) load: Load,
    /// Whether no other call was under way when the last large batch came.
    pub(crate) batch_was_alone: Cell<bool>,
    /// Held for each batch whose keys are looked up ahead.
    pub(crate) foreseeing: Arc<()>,
    /// Connections that were turned away.
    pub(crate) refused: Cell<u64>,
    /// Serving, or on the way to the end.
    pub(crate) lifecycle: Lifecycle,
    /// Who this daemon is.
    pub(crate) process: Process,
    /// Since when it runs.
    pub(crate) started: Timestamp,
    /// The same moment by a clock that nobody sets.
    pub(crate) began: Instant,
    /// The store's folder.
    pub(crate) store_path: PathBuf,
    /// The store's identity.
    pub(crate) store_id: u128,
}

impl Daemon {
    /// Puts a daemon together that does nothing yet.
    ///
    /// # Errors
    /// Where the system does not tell who this process is.
    pub(crate) fn new(settings: Settings, writer: Writer) -> io::Result<Self> {
        let process = Process::current()?;
        let adopter = writer.read(Store::adopter).map_err(io::Error::other)?;
        let shared = writer.read(|store| (store.blobs(), store.path().to_owned(), store.id()));
        let (blobs, store_path, store_id) = shared.map_err(io::Error::other)?;
        Ok(Self {
            config: settings.current(),
            settings,
            writer,
            blobs,
            adopter,
            leases: Leases::default(),
            laggards: Laggards::default(),
            long_calls: LongCalls::default(),
            inspecting: Inspecting::default(),
            suspicions: Suspicions::default(),
            tag_survey: TagSurvey::default(),
            events: EventCounts::default(),
            fallbacks: FallbackCounts::default(),
            spans: CallSpans::default(),
            oldest: Oldest::default(),
            activity: Activity::default(),
            departures: Activity::default(),
            callers: Callers::default(),
            tasks: Tasks::default(),
            connections: Gauge::default(),
            calls: Gauge::default(),
            load: Load::default(),
            batch_was_alone: Cell::new(true),
            foreseeing: Arc::new(()),
            refused: Cell::new(0),
            lifecycle: Lifecycle::new(),
            process,
            started: Timestamp::now(),
            began: Instant::now(),
            store_path,
            store_id,
        })
    }

    /// Returns what looks into the index from the blocking pool. Not to be kept: another index may come in its place.
    pub(crate) fn reader(&self) -> Result<Reader, WriteError> {
        self.writer.read(Store::reader)
    }

    /// Fails once the daemon is on its way to the end: long work stops where it is.
    pub(crate) fn check_serving(&self) -> Result<(), WriteError> {
        if self.lifecycle.is_serving() { Ok(()) } else { Err(WriteError::Closed) }
    }

    /// Notes a call over a connection that is begun now.
    pub(crate) fn note_call(&self, caller: ConnectionId, now: Instant) {
        self.activity.note();
        if let Some(callers) = self.callers.note(caller, now) {
            // A store that is closed tells nobody anything.
            self.writer.read(|store| store.tell_callers(callers)).ok();
        }
    }

    /// Counts what happened in the namespace of this name.
    pub(crate) fn count(&self, namespace: &str, change: impl FnOnce(&mut Events)) {
        if let Ok(Some(number)) = self.writer.read(|store| store.namespace(namespace)) {
            self.events.count(number, change);
        }
    }
}

/// The threads for what calls have done that may block.
const FOR_CALLS: usize = 4;
/// The threads for what is done beside them, each at most so often at once: two batches that are looked up ahead, the two kinds of
/// housekeeping, one look at the whole store, one for its oldest entries, and the end of what is dropped. They may hang on another
/// process that is stopped where it looks into the index, and calls are not to wait for them.
const ASIDE: usize = 7;
/// The threads of the blocking pool.
pub(crate) const THREADS: usize = FOR_CALLS + ASIDE;

thread_local! {
    /// Those of [`FOR_CALLS`] that are free. The daemon has one thread.
    static FREE: Arc<Semaphore> = Arc::new(Semaphore::new(FOR_CALLS));
}

/// Does on the blocking pool what a call wants that may wait for the disk. What is given up before it has its turn is not done.
///
/// # Errors
/// [`WriteError::Closed`] where the pool is gone.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, WriteError> {
    let turn = FREE.with(Arc::clone).acquire_owned().await.map_err(|_| WriteError::Closed)?;
    aside(move || {
        let done = work();
        drop(turn);
        done
    })
    .await
}

/// The same for what is done beside the calls, which never wait for it: see [`ASIDE`].
///
/// # Errors
/// Those of [`blocking`].
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, WriteError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "work on the blocking pool ended without a result");
        WriteError::Closed
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Uploads kept batches from being looked up ahead, and those kept uploads from half of the threads.
    #[tokio::test(flavor = "local")]
    async fn what_is_done_aside_and_what_calls_have_done_never_wait_for_each_other() {
        let (held, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let stuck = || {
            let gate = Arc::clone(&gate);
            move || drop(gate.lock().map(|gate| gate.recv()))
        };
        let calls: Vec<_> = (0..2 * FOR_CALLS).map(|_| tokio::task::spawn_local(blocking(stuck()))).collect();
        tokio::task::yield_now().await;
        assert_eq!(FREE.with(|free| free.available_permits()), 0, "calls have all that is theirs");
        aside(|| ()).await.unwrap();
        drop(held);
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(FREE.with(|free| free.available_permits()), FOR_CALLS);
    }
}
