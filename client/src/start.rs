//! Reaching a daemon: at its socket, at the one its store points to, or by starting one, once for all who wait.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use datacache_proto::holder::Holder;
use datacache_proto::layout::{DAEMON_LOG, LOCK, SOCKET_LINK};
use datacache_proto::listening::is_listening;
use datacache_proto::paths::check_folder_of;
use datacache_proto::process::{Process, is_stopped};

use crate::connection::{Attempt, Connection};
use crate::error::{Error, IoContext};
use crate::options::Settings;
use crate::pause::Pause;
use crate::scopes::Scopes;
use crate::spawn::{Spawned, spawn};

/// A daemon that we started and that still runs may be at its recovery for this long on top of the timeout.
const RECOVERY: Duration = Duration::from_secs(120);
/// How long to wait before another daemon is started where one found the store taken, and the most that grows to.
const RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// How hard to try to reach a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Look once whether one is there.
    Once,
    /// Wait for one that somebody else starts.
    Patient,
    /// Start one.
    Starting,
}

/// Connects to the daemon.
///
/// # Errors
/// Where there is none after this effort, or the one that is there is none for us.
pub(crate) async fn reach(settings: &Settings, effort: Effort, scopes: &Scopes) -> Result<Connection, Error> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(Error::NoRuntime);
    }
    let begun = Instant::now();
    let mut starter =
        Starter { settings, lock: None, daemon: None, has_spawned: false, is_warned: false, again: (begun, RETRY) };
    let mut pause = Pause::new();
    let deadline = |starter: &Starter<'_>| begun + settings.connect_timeout + starter.extension();
    loop {
        match attempt(settings, scopes, deadline(&starter)).await? {
            Attempt::Met(connection) => return Ok(*connection),
            Attempt::Absent if effort == Effort::Once => return Err(starter.absent()),
            Attempt::Absent if effort == Effort::Starting => starter.go_on()?,
            Attempt::Absent | Attempt::Later => {}
        }
        if Instant::now() >= deadline(&starter) {
            return Err(not_ready(settings, begun.elapsed()));
        }
        pause.wait(deadline(&starter)).await;
    }
}

fn not_ready(settings: &Settings, waited: Duration) -> Error {
    let Settings { paths, .. } = settings;
    let linked = || paths.store_link.canonicalize().ok().filter(|_| settings.store_is_guessed);
    let store = linked().unwrap_or_else(|| paths.store.clone());
    let (socket, log) = (paths.socket.clone(), store.join(DAEMON_LOG));
    // Not who listens: that may be systemd.
    match Holder::of(&store) {
        Some(Process { pid, .. }) => Error::Silent { socket, pid, is_stopped: is_stopped(pid), waited, log },
        None => Error::NotReady { socket, waited, log },
    }
}

/// Tries the socket, then the one of the daemon that has the store: it may listen elsewhere, as its environment had it.
async fn attempt(settings: &Settings, scopes: &Scopes, deadline: Instant) -> Result<Attempt, Error> {
    let first = match Connection::attempt(settings, &settings.paths.socket, scopes.to_renew(), deadline).await {
        // The default socket, which the daemon of another `HOME` took meanwhile: ours gets a socket of its own.
        Err(Error::WrongStore { .. }) if settings.paths.is_default && !settings.socket_is_chosen => Attempt::Absent,
        outcome => outcome?,
    };
    let Some(other) = other_socket(settings).filter(|_| matches!(first, Attempt::Absent)) else {
        return Ok(first);
    };
    match Connection::attempt(settings, &other, scopes.to_renew(), deadline).await {
        // The link came here with a copy of that daemon's store: this one has none.
        Err(Error::WrongStore { .. }) => Ok(Attempt::Absent),
        Ok(Attempt::Met(connection)) if !connection.may_serve(&settings.paths.store) => Ok(Attempt::Absent),
        outcome => outcome,
    }
}

fn other_socket(settings: &Settings) -> Option<PathBuf> {
    if settings.named.socket {
        return None;
    }
    let socket = std::fs::read_link(settings.paths.store.join(SOCKET_LINK)).ok()?;
    (socket.is_absolute() && socket != settings.paths.socket).then_some(socket)
}

/// One process's part in starting a daemon.
struct Starter<'s> {
    settings: &'s Settings,
    /// The socket's folder, locked from before the last look for a daemon until it answers, so that only one is started.
    lock: Option<File>,
    daemon: Option<Spawned>,
    has_spawned: bool,
    /// Whether the last one was ended by a signal.
    is_warned: bool,
    /// When a daemon may be started again after one found the store taken, and how long to wait the next time.
    again: (Instant, Duration),
}

impl Starter<'_> {
    /// Does what comes next; called whenever nobody listens.
    fn go_on(&mut self) -> Result<(), Error> {
        match (&self.lock, &mut self.daemon) {
            // IMPORTANT: no daemon is started in the step that got the lock. The one who had it may have started one, so
            // the caller looks once more.
            (None, _) => self.lock = self.try_lock()?,
            (Some(_), None) if Instant::now() < self.again.0 => {}
            (Some(_), None) => {
                self.daemon = Some(spawn(self.settings)?);
                self.has_spawned = true;
            }
            (Some(_), Some(daemon)) => {
                if let Some(ended) = daemon.ended() {
                    self.daemon = None;
                    // One that dies of a damaged page has the next one look at the index first.
                    if !std::mem::replace(&mut self.is_warned, ended_by_signal(&ended)) && self.is_warned {
                        return Ok(());
                    }
                    self.check_owner(ended)?;
                    self.again = (Instant::now() + self.again.1, (self.again.1 * 2).min(LONGEST_RETRY));
                }
            }
        }
        Ok(())
    }

    fn try_lock(&self) -> Result<Option<File>, Error> {
        let socket = &self.settings.paths.socket;
        if self.settings.socket_is_chosen {
            check_folder_of(socket)?;
        }
        let folder = socket.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).during("create the socket's folder", folder)?;
        // The folder itself: a file would be left beside a socket that may lie anywhere.
        let file = File::open(folder).during("open", folder)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).during("lock", folder),
        }
    }

    /// Our daemon ended. That is an error, unless another one has the store: one that is starting or stopping, which
    /// is waited for.
    fn check_owner(&self, ended: Error) -> Result<(), Error> {
        let lock = File::open(self.settings.paths.store.join(LOCK));
        let is_owned = lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
        match self.absent() {
            _ if !is_owned => Err(ended),
            elsewhere @ Error::ServedElsewhere { .. } => Err(elsewhere),
            _ => Ok(()),
        }
    }

    fn absent(&self) -> Error {
        let Settings { paths, .. } = self.settings;
        let (store, socket) = (paths.store.clone(), paths.socket.clone());
        match self.served_elsewhere() {
            Some(served) => Error::ServedElsewhere { store, served, socket },
            None => Error::NoDaemon { socket },
        }
    }

    /// Returns the socket at which another daemon serves the store, where the caller insists on one of its own.
    fn served_elsewhere(&self) -> Option<PathBuf> {
        let Settings { paths, named, .. } = self.settings;
        let served = std::fs::read_link(paths.store.join(SOCKET_LINK)).ok().filter(|_| named.socket)?;
        (served != paths.socket && is_listening(&served)).then_some(served)
    }

    /// Who holds the lock starts a daemon, however late it is, and waits for it while it runs.
    fn extension(&self) -> Duration {
        let is_next = self.lock.is_some() && !self.has_spawned;
        if is_next || self.daemon.is_some() { RECOVERY } else { Duration::ZERO }
    }
}

fn ended_by_signal(error: &Error) -> bool {
    matches!(error, Error::StartFailed { status, .. } if status.signal().is_some())
}
