//! From a process that has just begun to a daemon that runs: what `datacache daemon` does.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use datacache_proto::layout::SOCKET_LINK;
use datacache_proto::paths::{Paths, check_folder_of};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use tokio::runtime::{Builder, LocalOptions};

use crate::config::{Config, ConfigError, Flags};
use crate::daemon::THREADS;
use crate::listener::{ListenError, Listener};
use crate::logging::{Logging, LoggingError};
use crate::open_store::OpenStore;
use crate::run::{RunError, run};
use crate::settings::Settings;
use crate::store::OpenError;
use crate::{notify, signals};

/// How long work that blocks may hold up the end of the process.
const BLOCKING_END: Duration = Duration::from_millis(500);
/// How long to wait for a daemon that is ending to give up the store, and how often to look.
const PREDECESSOR_WAIT: Duration = Duration::from_secs(30);
const PREDECESSOR_LOOK: Duration = Duration::from_millis(50);

/// Why the daemon could not start, or did not end in good order.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings can't be taken.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no log.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// There is no socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The runtime or the signals can't be set up.
    #[error("failed to set up {what}")]
    Runtime {
        /// What it is about.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It ran, and ended badly.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Runs the daemon in this process until it is told to end: by SIGTERM, SIGINT, a client, or idleness. SIGHUP has it read its
/// configuration again.
///
/// # Errors
/// [`StartError`] says what it could not do, and what to do about it.
pub fn start(flags: &Flags) -> Result<(), StartError> {
    let config = Config::load(flags)?;
    if flags.overrides.choose_socket() {
        check_folder_of(&config.paths.socket).map_err(ConfigError::from)?;
    }
    let logging = Logging::install(&config.log)?;
    config.unknown().iter().for_each(|unknown| tracing::warn!("{unknown}"));
    forget_the_caller();
    // IMPORTANT: the store, with its lock, before the socket: a socket that is in the way is a dead daemon's only then.
    let store = notify::patiently("opening the store", || open(&config))?;
    let listener = Listener::acquire(&config.paths.socket)?;
    let mut builder = Builder::new_current_thread();
    builder.enable_io().enable_time().max_blocking_threads(THREADS);
    let setup = |what| move |source| StartError::Runtime { what, source };
    let runtime = builder.build_local(LocalOptions::default()).map_err(setup("the runtime"))?;
    let ended = runtime.block_on(async {
        let signals = signals::register().map_err(setup("signals"))?;
        let settings = Settings::of_process(config, flags.clone(), logging);
        let told_to_end = signals::obey(signals, &settings);
        Ok(run(settings.clone(), store, listener, told_to_end).await?)
    });
    runtime.shutdown_timeout(BLOCKING_END);
    ended
}

/// Opens the store. One whose daemon is just ending is waited for.
fn open(config: &Config) -> Result<OpenStore, OpenError> {
    let mut opened = OpenStore::open(config);
    let deadline = Instant::now() + PREDECESSOR_WAIT;
    if is_in_use(&opened) && !is_served(&config.paths) {
        tracing::info!("waiting for the daemon that has the store to end");
    }
    while is_in_use(&opened) && !is_served(&config.paths) && Instant::now() < deadline {
        std::thread::sleep(PREDECESSOR_LOOK);
        opened = OpenStore::open(config);
    }
    opened
}

fn is_in_use(opened: &Result<OpenStore, OpenError>) -> bool {
    matches!(opened, Err(OpenError::InUse { .. }))
}

/// Tells whether a daemon takes connections, here or wherever the store says: one that ends has given its socket up.
fn is_served(paths: &Paths) -> bool {
    [&paths.socket, &paths.store.join(SOCKET_LINK)].into_iter().any(|socket| UnixStream::connect(socket).is_ok())
}

/// Gives up what the caller had set for itself, as far as it can be given up: what new files are, and the limits of open files
/// (each connection is one, and each process with leases), of the length of a file and of time.
fn forget_the_caller() {
    umask(Mode::RWXG | Mode::RWXO);
    for resource in [Resource::Nofile, Resource::Fsize, Resource::Cpu] {
        let limit = getrlimit(resource);
        if let Err(error) = setrlimit(resource, Rlimit { current: limit.maximum, ..limit }) {
            tracing::debug!(?resource, %error, "a limit stays as it is");
        }
    }
}
