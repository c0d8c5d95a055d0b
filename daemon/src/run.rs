//! A daemon's life, from an open store and a socket to the store's close.

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::task::JoinHandle;

use crate::daemon::Daemon;
use crate::deadlines::Deadlines;
use crate::lifecycle::Stage;
use crate::links::Links;
use crate::listener::Listener;
use crate::open_store::OpenStore;
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use crate::vanish::Vanishing;
use crate::writer::Writer;
use crate::{compaction, laggards, leases, limits, maintenance, notify, server};

/// Why a daemon did not end in good order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The socket can't be used.
    #[error("failed to listen on {}", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system does not tell who this process is.
    #[error("failed to look at the own process")]
    Process {
        /// Why.
        source: io::Error,
    },
    /// The store's folder was removed or replaced.
    #[error("the store {} is gone: it was removed or moved while the daemon ran; the next call begins a new one", .path.display())]
    StoreGone {
        /// Where it was.
        path: PathBuf,
    },
    /// The writer can't go on: log and shared index disagree, or it died of a panic; the log has said which. What it
    /// had acknowledged is there for the next daemon, which puts it right.
    #[error("the store can't be written any more; the daemon has to be started again")]
    WriterEnded,
    /// One of the daemon's own tasks died of a panic; the log has said of which.
    #[error("the daemon can't go on without what died of a fault of its own: {what}; it has to be started again")]
    TaskDied {
        /// What it did.
        what: &'static str,
    },
    /// The log can't be applied; nothing is lost, the next daemon tries it again.
    #[error("failed to close the store")]
    Close {
        /// Why.
        source: StoreError,
    },
}

/// Serves the store until `shutdown` is over, a client says so, or nobody has needed the daemon for as long as the settings
/// say; then ends in good order.
///
/// Must run on a [`tokio::runtime::LocalRuntime`] with I/O and time enabled. What changes in the settings meanwhile holds from
/// then on, but for what the store was opened with.
///
/// # Errors
/// [`RunError`] where it could not begin, or not end in good order.
pub async fn run(
    settings: impl Into<Settings>,
    store: OpenStore,
    listener: Listener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let deadlines = Deadlines::default();
    let writer = Writer::new(store, deadlines.clone());
    let daemon = Daemon::new(settings.into(), writer.clone()).map_err(|source| RunError::Process { source })?;
    let daemon = Rc::new(daemon);
    let mut writing = tokio::task::spawn_local(async move { writer.work().await });
    begin(&daemon, deadlines);
    let links = Links::put(&daemon.config.borrow().paths, &listener);
    tracing::info!(store = %daemon.store_path.display(), socket = %listener.address().display(), "serving");
    notify::ready("serving");

    let ended = serve(&daemon, &listener, shutdown, &mut writing).await;
    notify::stopping();
    daemon.lifecycle.advance(Stage::Draining);
    // The socket goes first: who comes now is to find the next daemon.
    links.remove(&listener, matches!(ended, Err(RunError::StoreGone { .. })));
    listener.remove();
    drop(listener);
    finish(&daemon, ended, writing).await
}

/// Starts everything that goes on beside the calls.
fn begin(daemon: &Rc<Daemon>, deadlines: Deadlines) {
    let tasks = &daemon.tasks;
    tasks.keep("feeding the watchdog", feed_watchdog(daemon.writer.clone()));
    tasks.keep("removing what has expired", maintenance::expire(Rc::clone(daemon), deadlines));
    tasks.keep("applying the log", maintenance::apply_log(Rc::clone(daemon)));
    tasks.keep("keeping limits", limits::keep(Rc::clone(daemon)));
    tasks.keep("looking at the disk", limits::look_at_disk(Rc::clone(daemon)));
    tasks.keep("following the rules", limits::follow_rules(Rc::clone(daemon)));
    tasks.keep("keeping what was learned", limits::keep_learned(Rc::clone(daemon)));
    tasks.keep("clearing dead readers", maintenance::clear_dead_readers(Rc::clone(daemon)));
    tasks.keep("watching readers", laggards::watch(Rc::clone(daemon)));
    tasks.keep("sweeping uploads", maintenance::sweep_staging(Rc::clone(daemon)));
    tasks.keep("giving space back", compaction::compact_when_quiet(Rc::clone(daemon)));
    tasks.keep("leaving when idle", maintenance::leave_when_idle(Rc::clone(daemon)));
    let holders = daemon.writer.read(|store| store.holders()).unwrap_or_default();
    let grace = daemon.config.borrow().lease_grace;
    leases::adopt(daemon, holders, grace);
}

/// Takes connections until there is a reason to end.
async fn serve(
    daemon: &Rc<Daemon>,
    listener: &Listener,
    shutdown: impl Future<Output = ()>,
    writing: &mut JoinHandle<()>,
) -> Result<(), RunError> {
    tokio::select! {
        served = server::serve(daemon, listener.socket()) => {
            served.map_err(|source| RunError::Socket { path: listener.address().to_owned(), source })
        }
        () = store_gone(&daemon.store_path) => Err(RunError::StoreGone { path: daemon.store_path.clone() }),
        _ = writing => Err(RunError::WriterEnded),
        what = daemon.tasks.died() => Err(RunError::TaskDied { what }),
        () = shutdown => Ok(()),
    }
}

/// Answers what is under way, then closes the store.
async fn finish(daemon: &Daemon, ended: Result<(), RunError>, writing: JoinHandle<()>) -> Result<(), RunError> {
    if matches!(ended, Err(RunError::StoreGone { .. } | RunError::WriterEnded)) {
        daemon.tasks.end().await;
        if matches!(ended, Err(RunError::StoreGone { .. })) {
            daemon.writer.read(Store::part_with_readers).ok();
        }
        daemon.writer.abandon();
        return ended;
    }
    server::drain(daemon).await;
    daemon.tasks.end().await;
    writing.abort();
    let closed = notify::patiently("applying the log", || daemon.writer.close());
    ended.and(closed.map_err(|source| RunError::Close { source }))
}

/// Waits until the store's folder is not where it was.
async fn store_gone(store: &Path) {
    let happened = match Vanishing::begin(store) {
        Ok(vanishing) => vanishing.happened().await,
        Err(error) => Err(error),
    };
    if let Err(error) = happened {
        tracing::warn!(%error, "the store's folder can't be watched, its removal would go unnoticed");
        pending::<()>().await;
    }
}

/// Tells the service manager that the daemon is alive, each time after the writer has proved it.
async fn feed_watchdog(writer: Writer) {
    let Some(interval) = notify::watchdog_interval() else { return };
    while writer.turn().await.is_ok() {
        notify::alive();
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use datacache_proto::paths::Paths;
    use std::time::Duration;
    use tokio::sync::watch;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// It went on without: nothing expired any more, or no lease was given back.
    #[tokio::test(flavor = "local")]
    async fn the_death_of_a_task_of_its_own_ends_the_daemon_in_good_order_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let [store, socket, store_link, config] = ["c", "sock", "store", "f"].map(|name| folder.path().join(name));
        let config = Config::defaults(Paths { store, socket, store_link, config, is_default: false });
        let writer = Writer::new(OpenStore::open(&config).unwrap(), Deadlines::default());
        let (listener, (_sender, receiver)) =
            (Listener::bind(&config.paths.socket).unwrap(), watch::channel(config.clone()));
        let daemon = Rc::new(Daemon::new(receiver.into(), writer.clone()).unwrap());
        let mut writing = tokio::task::spawn_local(async move { writer.work().await });
        daemon.tasks.keep("a task", async { panic!("a fault") });

        let serving = tokio::time::timeout(PATIENCE, serve(&daemon, &listener, pending(), &mut writing));
        let ended = serving.await.expect("it ends");
        daemon.lifecycle.advance(Stage::Draining);
        let ended = finish(&daemon, ended, writing).await;
        assert!(matches!(ended, Err(RunError::TaskDied { what: "a task" })), "{ended:?}");
        assert!(daemon.writer.read(|_| ()).is_err(), "the store is closed");
        drop(daemon);
        OpenStore::open(&config).unwrap();
    }
}
