//! What a process has open: its connection to the daemon, made anew when it breaks, its way to the store without one, the number
//! of its next call, and its scopes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use datacache_proto::polling::Polling;
use datacache_proto::types::CallId;
use tokio::sync::{Mutex, Semaphore};

use crate::connection::Connection;
use crate::direct::Direct;
use crate::error::Error;
use crate::fork::Inherited;
use crate::options::Settings;
use crate::random::random;
use crate::scopes::Scopes;
use crate::start::{Effort, reach};

/// The most calls of a process that are under way at once; more wait here. It stays below the daemon's limit for a
/// connection (64), and below the number of replies that it keeps for a client (128), which repeated calls rely on.
const CALLS_AT_ONCE: usize = 60;

/// A process's dealings with the daemon.
pub(crate) struct Session {
    pub(crate) settings: Arc<Settings>,
    pub(crate) direct: Arc<Direct>,
    pub(crate) scopes: Scopes,
    pub(crate) permits: Semaphore,
    /// Names this process in its calls.
    client: u64,
    /// Counts the changing calls.
    calls: AtomicU64,
    connection: RwLock<Option<Arc<Connection>>>,
    /// Held while one task connects; the others wait for its connection.
    connecting: Mutex<()>,
}

impl Session {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self {
            direct: Arc::new(Direct::new(&settings)),
            settings,
            scopes: Scopes::default(),
            permits: Semaphore::new(CALLS_AT_ONCE),
            client: random(),
            calls: AtomicU64::new(0),
            connection: RwLock::new(None),
            connecting: Mutex::new(()),
        }
    }

    /// Names a call that changes something, and all repetitions of it.
    pub(crate) fn next_call(&self) -> CallId {
        CallId { client: self.client, number: self.calls.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Returns the connection, and makes one where there is none.
    ///
    /// # Errors
    /// Where no daemon could be reached with this effort.
    pub(crate) async fn connection(&self, effort: Effort) -> Result<Arc<Connection>, Error> {
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        let _turn = self.connecting.lock().await;
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        let connection = Arc::new(reach(&self.settings, effort, &self.scopes).await?);
        self.direct.learn(connection.introduced.store_id, connection.store());
        self.watch(&connection);
        self.put(Some(Arc::clone(&connection)));
        self.release_ended(&connection).await;
        Ok(connection)
    }

    /// Has calls look for their answers before their thread sleeps, where threads wait for them and do nothing else.
    fn watch(&self, connection: &Connection) {
        let Settings { waits, busy_poll, .. } = *self.settings;
        let polling = Polling::new(busy_poll.unwrap_or(Duration::from_micros(connection.introduced.busy_poll.into())));
        let direct = Arc::clone(&self.direct);
        if waits {
            // Those who only write have not opened it yet, and are to be able to count the others.
            let _fallback = direct.open();
            // Who was told how long to look does so even where the others can't be counted.
            connection.exchange.watch(polling, move || direct.callers().or(busy_poll.map(|_| 0)));
        }
    }

    /// Returns the connection, and makes one with the effort that the options allow.
    ///
    /// # Errors
    /// Those of [`Session::connection`].
    pub(crate) async fn connect(&self) -> Result<Arc<Connection>, Error> {
        self.connection(if self.settings.start { Effort::Starting } else { Effort::Once }).await
    }

    /// Forgets a connection that is of no further use, unless another one has taken its place.
    pub(crate) fn lose(&self, lost: &Arc<Connection>) {
        let mut connection = self.connection.write().unwrap_or_else(PoisonError::into_inner);
        if connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, lost)) {
            *connection = None;
        }
    }

    /// Looks whether the daemon has hung up, for what goes by the connection and makes no call, or none that is repeated.
    pub(crate) fn look(&self) {
        if let Some(connection) = self.current().filter(|connection| connection.is_hung_up()) {
            self.lose(&connection);
        }
    }

    /// Returns the connection if it is not known to be over.
    ///
    /// Whether the daemon has hung up since is not looked at, which would cost every call a call of the system: the call
    /// finds out itself. A socket whose other end is closed takes nothing, so that the call is known not to have been sent,
    /// and is made again with another connection as if this one had never been there. If the daemon hangs up later than that,
    /// a look beforehand would have been of no use either; then the call is repeated with its id.
    fn live(&self) -> Option<Arc<Connection>> {
        let connection = self.current()?;
        if !connection.is_over() {
            return Some(connection);
        }
        self.lose(&connection);
        None
    }

    fn current(&self) -> Option<Arc<Connection>> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, connection: Option<Arc<Connection>>) {
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

impl Inherited for Arc<Session> {
    /// Another thread may have held the lock at the fork; then nobody will ever open it, and the descriptors stay.
    fn abandon(&self) {
        match self.connection.try_read() {
            Ok(connection) => connection.iter().for_each(|connection| connection.abandon()),
            Err(TryLockError::Poisoned(connection)) => {
                connection.get_ref().iter().for_each(|connection| connection.abandon());
            }
            Err(TryLockError::WouldBlock) => {}
        }
    }
}
