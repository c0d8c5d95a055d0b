//! One client's connection: what is known of the client, and the conversation with it. Calls run side by side; whatever the
//! client does or fails to do, only its own connection suffers.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use datacache_proto::codec::{DaemonTransport, daemon_transport};
use datacache_proto::error::WireError;
use datacache_proto::service::{Cache, CacheRequest, CacheResponse};
use datacache_proto::types::Introduction;
use futures::future::{AbortRegistration, Abortable};
use futures::stream::FuturesUnordered;
use futures::{SinkExt, Stream};
use tarpc::server::{BaseChannel, Config as Limits, Serve, TrackedRequest};
use tarpc::{ChannelError, Response};
use tokio::net::UnixStream;

use crate::daemon::Daemon;
use crate::gauge::Counter;
use crate::leases;
use crate::peer::Peer;
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
    id: ConnectionId,
    /// The number of the process that opened it, as the kernel tells it.
    opened_by: Option<i32>,
    acquaintance: Cell<Acquaintance>,
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
        Self { daemon, transfers: Transfers::default(), id, opened_by, acquaintance }
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
        Ok(())
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
    pub(crate) async fn converse(self: Rc<Self>, stream: UnixStream) {
        let limit = self.daemon.config.borrow().calls_per_connection;
        let conversation = Conversation::new(Rc::clone(&self), stream, limit);
        if let Err(error) = conversation.run().await {
            tracing::debug!(connection = self.id, %error, "a connection broke");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        leases::connection_ended(&self.daemon, self.id);
    }
}

type Channel = BaseChannel<CacheRequest, CacheResponse, DaemonTransport<CacheRequest, CacheResponse>>;
type Broken = ChannelError<std::io::Error>;

/// The calls of a connection and their answers.
struct Conversation<F> {
    connection: Rc<Connection>,
    channel: Pin<Box<Channel>>,
    /// Calls under way. They run on this task: a call costs no task of its own, and all of them end with it.
    calls: FuturesUnordered<F>,
    /// The most calls at a time; more are not taken off the socket, which fills, and then the client waits.
    limit: usize,
    begin: fn(Rc<Connection>, TrackedRequest<CacheRequest>) -> F,
}

/// A call's answer; `None` where it was given up. The call counts as under way until the answer is on the wire.
type Answer = Option<(Response<CacheResponse>, Counter)>;

enum Event {
    Answered(Answer),
    HungUp,
    Broke(Broken),
}

impl Conversation<()> {
    fn new(connection: Rc<Connection>, stream: UnixStream, limit: usize) -> Conversation<impl Future<Output = Answer>> {
        Conversation {
            connection,
            channel: Box::pin(BaseChannel::new(Limits::default(), daemon_transport(stream))),
            calls: FuturesUnordered::new(),
            limit,
            begin: answer,
        }
    }
}

impl<F: Future<Output = Answer>> Conversation<F> {
    /// Takes all that is ready, then sends the answers of all that in one go, then waits for more.
    async fn run(mut self) -> Result<(), Broken> {
        let mut sent = Vec::new();
        loop {
            let mut next = Some(poll_fn(|cx| self.poll_event(cx)).await);
            while let Some(event) = next {
                match event {
                    Event::Answered(None) => {}
                    Event::Answered(Some((response, call))) => {
                        self.channel.feed(response).await?;
                        sent.push(call);
                    }
                    Event::HungUp => return Ok(()),
                    Event::Broke(error) => return Err(error),
                }
                next = poll_fn(|cx| Poll::Ready(already(self.poll_event(cx)))).await;
            }
            self.channel.flush().await?;
            sent.clear();
        }
    }

    /// Goes on with the calls under way and begins those that have come, until one has an answer.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if let Poll::Ready(Some(answer)) = Pin::new(&mut self.calls).poll_next(cx) {
                return Poll::Ready(Event::Answered(answer));
            }
            if self.calls.len() >= self.limit {
                return Poll::Pending;
            }
            match ready!(self.channel.as_mut().poll_next(cx)) {
                Some(Ok(request)) => self.calls.push((self.begin)(Rc::clone(&self.connection), request)),
                Some(Err(error)) => return Poll::Ready(Event::Broke(error)),
                None => return Poll::Ready(Event::HungUp),
            }
        }
    }
}

fn already<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Does a call. It is given up when the client cancels it or its time is over; what was handed to the writer by then
/// and is in the log is done.
async fn answer(connection: Rc<Connection>, request: TrackedRequest<CacheRequest>) -> Answer {
    let call = connection.daemon.calls.enter();
    connection.daemon.activity.note();
    let TrackedRequest { request, abort_registration, .. } = request;
    let serve = Service::new(connection).serve().serve(request.context, request.message);
    let message = unless_given_up(serve, abort_registration).await?;
    Some((Response { request_id: request.id, message }, call))
}

async fn unless_given_up<T>(call: impl Future<Output = T>, given_up: AbortRegistration) -> Option<T> {
    Abortable::new(call, given_up).await.ok()
}
