//! One client's connection: what is known of the client, and the conversation with it. Calls run side by side; whatever the
//! client does or fails to do, only its own connection suffers.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::{Duration, Instant};

use datacache_proto::error::WireError;
use datacache_proto::service::{Cache, CacheRequest};
use datacache_proto::types::Introduction;
use datacache_proto::wire::Wire;
use tarpc::Request;
use tarpc::server::Serve;
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use crate::call_spans::CallClass;
use crate::conversation::{Conversation, Done, Host, Work};
use crate::daemon::Daemon;
use crate::leases;
use crate::peer::Peer;
use crate::polling::Looks;
use crate::scopes::ConnectionId;
use crate::service::Service;
use crate::store::Holder;
use crate::transfer::Transfers;

/// What is kept for a connection as long as it is open.
pub(crate) struct Connection {
    /// The daemon it is a connection to.
    pub(crate) daemon: Rc<Daemon>,
    /// Its uploads and open values.
    pub(crate) transfers: Transfers,
    /// Whose turn it is, of the calls that look many keys up.
    pub(crate) looking: Mutex<()>,
    id: ConnectionId,
    /// The number of the process that opened it, as the kernel tells it.
    opened_by: Option<i32>,
    acquaintance: Cell<Acquaintance>,
    /// Told when the client has said who it is.
    introduced: Notify,
}

/// How far the two sides know each other.
#[derive(Clone, Copy, Debug)]
enum Acquaintance {
    Stranger,
    /// A protocol is agreed on.
    Greeted,
    /// The client has told who it is.
    Introduced(Peer),
}

impl Connection {
    /// Makes the state of a new connection that was opened by the process `opened_by`.
    pub(crate) fn new(daemon: Rc<Daemon>, id: ConnectionId, opened_by: Option<i32>) -> Self {
        let acquaintance = Cell::new(Acquaintance::Stranger);
        let (transfers, looking, introduced) = (Transfers::default(), Mutex::default(), Notify::new());
        Self { daemon, transfers, looking, id, opened_by, acquaintance, introduced }
    }

    /// Notes that a protocol is agreed on.
    pub(crate) fn greet(&self) {
        if matches!(self.acquaintance.get(), Acquaintance::Stranger) {
            self.acquaintance.set(Acquaintance::Greeted);
        }
    }

    /// Notes who the client is, and renews the leases of its scopes.
    ///
    /// # Errors
    /// [`WireError::NotIntroduced`] before a protocol is agreed on.
    pub(crate) fn introduce(&self, introduction: &Introduction) -> Result<(), WireError> {
        if matches!(self.acquaintance.get(), Acquaintance::Stranger) {
            return Err(WireError::NotIntroduced);
        }
        let peer = Peer::identify(self.opened_by, &introduction.process);
        for &scope in &introduction.scopes {
            if let Err(reason) = leases::hold(&self.daemon, peer, self.id, scope) {
                tracing::debug!(scope, %reason, "a scope is not renewed");
            }
        }
        self.acquaintance.set(Acquaintance::Introduced(peer));
        self.introduced.notify_one();
        Ok(())
    }

    /// Waits until `span` is over and the client has not said who it is; for ever where it does.
    pub(crate) async fn stays_unknown(&self, span: Duration) {
        unless_told(&self.introduced, span).await;
    }

    /// Returns who is at the other end.
    ///
    /// # Errors
    /// [`WireError::NotIntroduced`] where it has not said so yet.
    pub(crate) fn peer(&self) -> Result<Peer, WireError> {
        match self.acquaintance.get() {
            Acquaintance::Introduced(peer) => Ok(peer),
            _ => Err(WireError::NotIntroduced),
        }
    }

    /// Returns who holds the leases of a scope of the client, and sees to it that their end is noticed.
    ///
    /// # Errors
    /// Where the client can hold none, or the scope has ended.
    pub(crate) fn holder(&self, scope: Option<u64>) -> Result<Option<Holder>, WireError> {
        let Some(scope) = scope else { return Ok(None) };
        let held = leases::hold(&self.daemon, self.peer()?, self.id, scope);
        held.map(Some).map_err(|reason| WireError::Unbindable { reason })
    }

    /// Talks with the client until it hangs up, breaks the protocol, or the daemon ends.
    pub(crate) async fn converse(self: Rc<Self>, wire: Wire) {
        let limit = self.daemon.config.borrow().calls_per_connection;
        let (id, connection) = (self.id, self);
        let host = Attendant { connection, looks: Looks::new() };
        let conversation = Conversation::new(wire, limit, host);
        if let Err(error) = conversation.run().await {
            tracing::debug!(connection = id, %error, "a connection broke");
        }
    }
}

/// Who talks with a client for the daemon.
struct Attendant {
    connection: Rc<Connection>,
    looks: Looks,
}

impl Host for Attendant {
    fn begin(&mut self, request: Request<CacheRequest>, bytes: usize) -> Work {
        Box::pin(do_call(Rc::clone(&self.connection), request, bytes))
    }

    fn is_laden(&self) -> bool {
        self.connection.daemon.load.is_full()
    }

    /// Where others call too, their additions and this client's are to share a frame of the log.
    fn hurries(&self) -> bool {
        self.connection.daemon.callers.count() <= 1
    }

    fn hurry(&mut self) {
        self.connection.daemon.writer.hurry();
    }

    fn tries(&mut self, is_fresh: bool) -> usize {
        let daemon = &self.connection.daemon;
        if is_fresh {
            self.looks.begin(daemon.config.borrow().busy_poll, daemon.callers.count());
        }
        self.looks.tries(daemon.callers.count())
    }
}

/// Does a call. It counts as under way until its answer is on the wire.
fn do_call(connection: Rc<Connection>, request: Request<CacheRequest>, bytes: usize) -> impl Future<Output = Done> {
    let (counted, load) = (connection.daemon.calls.enter(), connection.daemon.load.take(bytes));
    let (begun, class) = (Instant::now(), CallClass::of(&request.message));
    connection.daemon.note_call(connection.id, begun);
    let daemon = Rc::clone(&connection.daemon);
    let answer = Service::new(connection).serve().serve(request.context, request.message);
    async move {
        let answer = answer.await;
        daemon.spans.note(class, begun);
        drop(load);
        (answer, counted)
    }
}

async fn unless_told(told: &Notify, span: Duration) {
    if timeout(span, told.notified()).await.is_ok() {
        pending::<()>().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.daemon.departures.note();
        leases::connection_ended(&self.daemon, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;
    use std::pin::pin;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn only_who_stays_unknown_is_hung_up_on() {
        const SPAN: Duration = Duration::from_secs(30);
        let (silent, talking) = (Notify::new(), Notify::new());
        talking.notify_one();
        let begun = tokio::time::Instant::now();
        let mut known = pin!(unless_told(&talking, SPAN));
        assert!(poll!(&mut known).is_pending());
        unless_told(&silent, SPAN).await;
        assert!(begun.elapsed() >= SPAN);
        tokio::time::advance(100 * SPAN).await;
        assert!(poll!(&mut known).is_pending());
    }
}
