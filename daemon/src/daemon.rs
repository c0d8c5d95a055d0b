//! What every part of a running daemon shares. All of it lives on the runtime's one thread.

use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use datacache_proto::process::Process;
use datacache_proto::time::Timestamp;
use tokio::sync::watch;

use crate::Config;
use crate::activity::Activity;
use crate::callers::Callers;
use crate::gauge::Gauge;
use crate::inspection::Inspecting;
use crate::leases::Leases;
use crate::lifecycle::Lifecycle;
use crate::long_calls::LongCalls;
use crate::scopes::ConnectionId;
use crate::stats::{EventCounts, Events, FallbackCounts};
use crate::store::{Adopter, BlobStore, Reader, Store};
use crate::tasks::Tasks;
use crate::writer::{WriteError, Writer};

/// A running daemon.
pub(crate) struct Daemon {
    /// The settings; they change when the configuration is read again.
    pub(crate) config: watch::Receiver<Config>,
    /// The only way to change the store.
    pub(crate) writer: Writer,
    /// Looks into the index from the blocking pool.
    pub(crate) reader: Reader,
    /// Reaches the files of large values from the blocking pool.
    pub(crate) blobs: BlobStore,
    /// Adopts the files of batches on the blocking pool.
    pub(crate) adopter: Adopter,
    /// Who holds leases, and how it is noticed that they end.
    pub(crate) leases: Leases,
    /// Calls that outlive a lost connection.
    pub(crate) long_calls: LongCalls,
    /// Whose turn it is to look at the whole store.
    pub(crate) inspecting: Inspecting,
    /// Counters of the namespaces.
    pub(crate) events: EventCounts,
    /// Why reads came by call.
    pub(crate) fallbacks: FallbackCounts,
    /// Calls that were begun.
    pub(crate) activity: Activity,
    /// Whose calls came lately.
    pub(crate) callers: Callers,
    /// What runs beside the calls.
    pub(crate) tasks: Tasks,
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Calls under way, until their answer is on the wire.
    pub(crate) calls: Gauge,
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
    pub(crate) fn new(config: watch::Receiver<Config>, writer: Writer) -> io::Result<Self> {
        let process = Process::current()?;
        let adopter = writer.read(Store::adopter).map_err(io::Error::other)?;
        let shared = writer.read(|store| (store.reader(), store.blobs(), store.path().to_owned(), store.id()));
        let (reader, blobs, store_path, store_id) = shared.map_err(io::Error::other)?;
        Ok(Self {
            config,
            writer,
            reader,
            blobs,
            adopter,
            leases: Leases::default(),
            long_calls: LongCalls::default(),
            inspecting: Inspecting::default(),
            events: EventCounts::default(),
            fallbacks: FallbackCounts::default(),
            activity: Activity::default(),
            callers: Callers::default(),
            tasks: Tasks::default(),
            connections: Gauge::default(),
            calls: Gauge::default(),
            batch_was_alone: Cell::new(true),
            foreseeing: Arc::new(()),
            refused: Cell::new(0),
            lifecycle: Lifecycle::new(),
            process,
            started: Timestamp::now(),
            store_path,
            store_id,
        })
    }

    /// Fails once the daemon is on its way to the end: long work stops where it is.
    pub(crate) fn check_serving(&self) -> Result<(), WriteError> {
        if self.lifecycle.is_serving() { Ok(()) } else { Err(WriteError::Closed) }
    }

    /// Notes a call over a connection.
    pub(crate) fn note_call(&self, caller: ConnectionId) {
        self.activity.note();
        if let Some(callers) = self.callers.note(caller, Instant::now()) {
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

/// Does on the blocking pool what may wait for the disk or for another process.
///
/// # Errors
/// [`WriteError::Closed`] where the pool is gone.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, WriteError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "work on the blocking pool ended without a result");
        WriteError::Closed
    })
}
