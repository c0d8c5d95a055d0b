//! One connection to a daemon: who is at its other end, and what was agreed on. It never repeats anything.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use datacache_proto::codec::until;
use datacache_proto::error::WireError;
use datacache_proto::layout::STAGING;
use datacache_proto::process::Process;
use datacache_proto::types::{Hello, Introduced, Introduction, Welcome};
use datacache_proto::{BUILD, PROTOCOL};
use tarpc::context::Context;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use crate::descriptors::Descriptors;
use crate::error::Error;
use crate::exchange::{Client, Exchange, by};
use crate::fault::{Fault, settle};
use crate::options::{Settings, Transfer};

/// The oldest protocol that this build speaks.
const PROTOCOL_MIN: u32 = 5;
/// The most values that are sent or fetched in chunks at once; more wait. It stays below the daemon's limits.
pub(crate) const TRANSFERS_AT_ONCE: usize = 12;

/// An introduced connection.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) exchange: Exchange,
    pub(crate) socket: PathBuf,
    pub(crate) welcome: Welcome,
    pub(crate) introduced: Introduced,
    pub(crate) transfers: Semaphore,
    descriptors: Descriptors,
    store: Option<PathBuf>,
    /// The most bytes of a value, as the daemon told last; the highest number where it has no such limit.
    value_max: AtomicU64,
    /// Set when the folder that we see turned out not to be the daemon's store.
    is_elsewhere: AtomicBool,
}

/// What came of an attempt to connect.
pub(crate) enum Attempt {
    /// A daemon answered.
    Met(Box<Connection>),
    /// Nobody listens.
    Absent,
    /// Somebody listens who can't answer now.
    Later,
}

impl Connection {
    /// Connects to `socket` and introduces this process and its open `scopes`.
    ///
    /// # Errors
    /// Where trying again is of no use.
    pub(crate) async fn attempt(
        settings: &Settings,
        socket: &Path,
        scopes: Vec<u64>,
        deadline: Instant,
    ) -> Result<Attempt, Error> {
        let stream = match UnixStream::connect(socket).await {
            Ok(stream) => stream,
            Err(error) => return unconnected(socket, error),
        };
        let peer = stream.peer_cred().map_err(|source| Error::Connect { socket: socket.to_owned(), source })?;
        check_peer(socket, peer.uid(), own_uid())?;
        match Self::introduce(settings, socket, stream, scopes, deadline).await? {
            Ok(connection) => Ok(Attempt::Met(Box::new(connection))),
            Err(Fault::Garbled | Fault::Aborted) => Err(Error::Garbled { socket: socket.to_owned() }),
            Err(Fault::Refused(WireError::Stopping | WireError::Busy { .. })) => Ok(Attempt::Later),
            Err(Fault::Refused(error)) => Err(error.into()),
            Err(_) => Ok(Attempt::Later),
        }
    }

    async fn introduce(
        settings: &Settings,
        socket: &Path,
        stream: UnixStream,
        scopes: Vec<u64>,
        deadline: Instant,
    ) -> Result<Result<Self, Fault>, Error> {
        let system = |action| move |source| Error::System { action, source };
        let process = Process::current().map_err(system("tell which process this is"))?;
        let stream = stream.into_std().map_err(system("take a connection"))?;
        let descriptors = Descriptors::of(&stream).map_err(io::Error::from);
        let descriptors = descriptors.map_err(system("look at the connection"))?;
        let exchange = Exchange::new(stream).map_err(system("wait for the connection"))?;
        let client = Client::from(exchange.clone());
        let introduction = Introduction { process, scopes };
        let (welcome, introduced) = match agree(&client, introduction, deadline).await {
            Ok(agreed) => agreed,
            Err(fault) => return Ok(Err(fault)),
        };
        tracing::debug!(?socket, build = welcome.build, daemon = introduced.daemon.pid, "connected to the daemon");
        let visible = visible_store(settings, &introduced);
        check_store(settings, socket, visible.as_deref())?;
        let store = visible.filter(|_| settings.transfer != Transfer::Chunks);
        let value_max = AtomicU64::new(introduced.value_max.unwrap_or(u64::MAX));
        let is_elsewhere = AtomicBool::new(false);
        let (socket, transfers) = (socket.to_owned(), Semaphore::new(TRANSFERS_AT_ONCE));
        Ok(Ok(Self {
            client,
            exchange,
            socket,
            welcome,
            introduced,
            transfers,
            descriptors,
            store,
            value_max,
            is_elsewhere,
        }))
    }

    /// Returns the store's folder where this process can reach it.
    pub(crate) fn store(&self) -> Option<&Path> {
        self.store.as_deref().filter(|_| !self.is_elsewhere.load(Ordering::Relaxed))
    }

    /// Tells whether this may be the folder of the daemon's store, as far as that can be seen from here.
    pub(crate) fn may_serve(&self, store: &Path) -> bool {
        self.store.as_deref().is_none_or(|actual| is_same(actual, store))
    }

    /// Returns the store's folder as the daemon sees it.
    pub(crate) fn told_store(&self) -> PathBuf {
        told(&self.introduced)
    }

    /// Returns the most bytes of a value, as the daemon told last.
    pub(crate) fn value_max(&self) -> u64 {
        self.value_max.load(Ordering::Relaxed)
    }

    /// Has the daemon tell the most bytes of a value anew: its settings may have changed since this process was introduced.
    pub(crate) async fn renew_value_max(&self, context: Context, process: Process) -> Result<(), Fault> {
        // No scopes: those that this connection holds stay held.
        let introduction = Introduction { process, scopes: Vec::new() };
        let introduced = settle(self.client.introduce(context, introduction).await)?;
        self.value_max.store(introduced.value_max.unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(())
    }

    /// Notes that what looks like the store's folder from here is another one.
    pub(crate) fn store_is_elsewhere(&self) {
        tracing::debug!(store = ?self.store, "the folder is not the daemon's store; values travel by socket");
        self.is_elsewhere.store(true, Ordering::Relaxed);
    }

    /// Tells whether the daemon has hung up, as far as is known without a call of the system.
    pub(crate) fn is_over(&self) -> bool {
        self.exchange.is_over()
    }

    /// Looks whether the daemon has hung up.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.exchange.is_hung_up()
    }

    /// Leaves the connection to the parent, see [`crate::fork`].
    pub(crate) fn abandon(&self) {
        self.descriptors.close_in_child(&self.exchange);
    }
}

/// Tells an absent daemon from one that has too many waiting, and from a socket that is out of reach.
fn unconnected(socket: &Path, error: io::Error) -> Result<Attempt, Error> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
            Ok(Attempt::Absent)
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => Ok(Attempt::Later),
        _ => Err(Error::Connect { socket: socket.to_owned(), source: error }),
    }
}

/// Refuses a daemon of another user, which could read and forge what we cache.
fn check_peer(socket: &Path, owner: u32, own: u32) -> Result<(), Error> {
    if owner == own { Ok(()) } else { Err(Error::Foreign { socket: socket.to_owned(), owner }) }
}

fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

async fn agree(client: &Client, introduction: Introduction, deadline: Instant) -> Result<(Welcome, Introduced), Fault> {
    let hello = Hello { protocol_min: PROTOCOL_MIN, protocol_max: PROTOCOL, build: BUILD.to_owned() };
    let welcome = settle(by(deadline, client.hello(until(deadline), hello)).await)?;
    if !(PROTOCOL_MIN..=PROTOCOL).contains(&welcome.protocol) {
        let Welcome { protocol, build } = welcome;
        return Err(Fault::Refused(WireError::Version { min: protocol, max: protocol, build }));
    }
    let introduced = settle(by(deadline, client.introduce(until(deadline), introduction)).await)?;
    Ok((welcome, introduced))
}

/// Finds the store's folder as this process sees it: where the daemon says, else behind the link beside the socket.
fn visible_store(settings: &Settings, introduced: &Introduced) -> Option<PathBuf> {
    let linked = std::fs::canonicalize(&settings.paths.store_link).ok();
    let found = [Some(told(introduced)), linked].into_iter().flatten().find(|folder| is_ours(&folder.join(STAGING)));
    if found.is_none() {
        tracing::debug!("the store's folder can't be reached; values travel by socket");
    }
    found
}

fn told(introduced: &Introduced) -> PathBuf {
    OsStr::from_bytes(&introduced.store).into()
}

fn is_ours(folder: &Path) -> bool {
    std::fs::symlink_metadata(folder).is_ok_and(|folder| folder.is_dir() && folder.uid() == own_uid())
}

/// Refuses a daemon that serves another store than the one that is meant, unless only its socket was named.
fn check_store(settings: &Settings, socket: &Path, actual: Option<&Path>) -> Result<(), Error> {
    let (false, Some(actual)) = (settings.store_is_guessed, actual) else {
        return Ok(());
    };
    let expected = &settings.paths.store;
    if is_same(expected, actual) {
        return Ok(());
    }
    Err(Error::WrongStore { socket: socket.to_owned(), expected: expected.clone(), actual: actual.to_owned() })
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |folder: &Path| std::fs::metadata(folder).map(|folder| (folder.dev(), folder.ino())).ok();
    identity(one) == identity(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_of_another_user_is_refused() {
        let error = check_peer(Path::new("/r/sock"), 1_001, 1_000).unwrap_err();
        assert!(error.is_refused() && error.to_string().starts_with("user 1001 serves the socket"), "{error}");
        assert!(check_peer(Path::new("/r/sock"), 1_000, 1_000).is_ok());
    }

    #[test]
    fn a_socket_that_is_out_of_reach_is_told_from_one_that_nobody_serves() {
        let tried = |kind: io::ErrorKind| unconnected(Path::new("/r/sock"), kind.into());
        assert!(matches!(tried(io::ErrorKind::NotFound), Ok(Attempt::Absent)));
        assert!(matches!(tried(io::ErrorKind::ConnectionRefused), Ok(Attempt::Absent)));
        assert!(matches!(tried(io::ErrorKind::WouldBlock), Ok(Attempt::Later)));
        assert!(matches!(tried(io::ErrorKind::PermissionDenied), Err(Error::Connect { .. })));
    }

    #[test]
    fn only_a_folder_of_ours_counts_as_the_staging_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_ours(folder.path()));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(!is_ours(&link) && !is_ours(&folder.path().join("none")));
    }
}
