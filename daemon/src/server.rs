//! Taking connections: whose they may be, how many, and what becomes of them when the daemon ends.

use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use datacache_proto::codec::{put_answer, take_message};
use datacache_proto::error::{Resource, WireError};
use datacache_proto::service::{CacheRequest, CacheResponse};
use datacache_proto::wire::Wire;
use futures::future::{Either, select};
use rustix::process::{Resource as Limited, getrlimit};
use tarpc::ClientMessage;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::connection::Connection;
use crate::daemon::Daemon;
use crate::gauge::{Counter, Gauge};
use crate::lifecycle::Stage;

/// How long to wait before accepting again when the system refuses (too many open files, no memory).
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// How many connections above the limit are told why they are turned away, at a time; more are just closed.
const TOLD_AT_ONCE: usize = 32;
/// How long one of them has to ask.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// How long a client has to say who it is. One that never does would keep its place from others.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
/// How long calls that are under way when the daemon ends may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Takes connections until the daemon is on its way to the end.
///
/// # Errors
/// Where the socket can't be used.
pub(crate) async fn serve(daemon: &Rc<Daemon>, socket: &StdListener) -> std::io::Result<()> {
    let socket = UnixListener::from_std(socket.try_clone()?)?;
    let mut draining = pin!(daemon.lifecycle.reached(Stage::Draining));
    let being_told = Gauge::default();
    let (mut last_id, mut failures) = (0, 0_u64);
    loop {
        let accepted = pin!(socket.accept());
        match select(&mut draining, accepted).await {
            Either::Left(_) => return Ok(()),
            Either::Right((Ok((stream, _)), _)) => {
                last_id += 1;
                failures = 0;
                welcome(daemon, stream, last_id, &being_told);
            }
            Either::Right((Err(error), _)) => {
                failures += 1;
                // Ten times a second would soon be all that is in the log.
                if failures.is_power_of_two() {
                    tracing::warn!(%error, failures, "connections can't be accepted, they wait in the socket");
                }
                select(&mut draining, pin!(sleep(REFUSED_PAUSE))).await;
            }
        }
    }
}

/// Has the calls answered that are under way, if they don't take too long. The connections end with the daemon's tasks.
pub(crate) async fn drain(daemon: &Daemon) {
    if timeout(DRAIN, daemon.calls.none()).await.is_err() {
        tracing::warn!(calls = daemon.calls.count(), "calls are given up: they take too long");
    }
}

/// Begins a conversation, if it may be one.
fn welcome(daemon: &Rc<Daemon>, stream: UnixStream, id: u64, being_told: &Gauge) {
    let opened_by = match checked_peer(&stream) {
        Ok(opened_by) => opened_by,
        Err(reason) => {
            daemon.refused.set(daemon.refused.get() + 1);
            return tracing::warn!(%reason, "a connection is refused");
        }
    };
    let limit = limit(daemon);
    if daemon.connections.count() >= limit {
        daemon.refused.set(daemon.refused.get() + 1);
        if daemon.refused.get().is_power_of_two() {
            tracing::warn!(limit, refused = daemon.refused.get(), "connections are turned away, there are too many");
        }
        if being_told.count() < TOLD_AT_ONCE {
            daemon.tasks.spawn(turn_away(stream, limit, being_told.enter()));
        }
        return;
    }
    daemon.tasks.spawn(attend(Rc::clone(daemon), stream, id, opened_by, daemon.connections.enter()));
}

/// Returns how many connections there may be: half of the files that the system lets this process open is left for all else, such
/// as the values of those that are connected.
fn limit(daemon: &Daemon) -> usize {
    let open_files = getrlimit(Limited::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    let limit = daemon.config.borrow().max_connections;
    open_files.map_or(limit, |open_files| limit.min(open_files / 2)).max(1)
}

/// Talks with a client until either side is done.
async fn attend(daemon: Rc<Daemon>, stream: UnixStream, id: u64, opened_by: Option<i32>, counted: Counter) {
    let connection = Rc::new(Connection::new(Rc::clone(&daemon), id, opened_by));
    match stream.into_std().and_then(Wire::new) {
        Ok(wire) => {
            let known = Rc::clone(&connection);
            let silent = pin!(known.stays_unknown(KNOWN_WITHIN));
            match select(pin!(connection.converse(wire)), silent).await {
                Either::Left(_) => {}
                Either::Right(_) => {
                    tracing::debug!(connection = id, "a client is hung up on: it does not say who it is");
                }
            }
        }
        Err(error) => tracing::warn!(%error, "a connection can't be waited for"),
    }
    drop(counted);
}

/// Returns the number of the process that opened a connection, if it belongs to the daemon's own user.
fn checked_peer(stream: &UnixStream) -> Result<Option<i32>, String> {
    let peer = stream.peer_cred().map_err(|error| format!("its user can't be told ({error})"))?;
    let me = rustix::process::geteuid().as_raw();
    if peer.uid() != me {
        return Err(format!("it comes from user {}, not from user {me}", peer.uid()));
    }
    Ok(peer.pid())
}

/// Answers a client's first call with the reason why there is no room for it, and hangs up.
async fn turn_away(stream: UnixStream, limit: usize, counted: Counter) {
    if let Ok(Err(error)) = timeout(TOLD_WITHIN, tell_busy(stream, limit)).await {
        tracing::debug!(%error, "a client is not told why it is turned away");
    }
    drop(counted);
}

async fn tell_busy(stream: UnixStream, limit: usize) -> io::Result<()> {
    let mut wire = Wire::new(stream.into_std()?)?;
    let message = loop {
        match wire.take(take_message)? {
            Some(message) => break message,
            None => poll_fn(|cx| wire.poll_read(cx)).await?,
        }
    };
    if let ClientMessage::Request(call) = message
        && let CacheRequest::Hello { .. } = call.message
    {
        let busy = WireError::Busy { what: Resource::Connections, limit: limit as u64 };
        wire.put(|out| put_answer(out, call.id, &Ok(CacheResponse::Hello(Err(busy)))))?;
        poll_fn(|cx| wire.poll_flush(cx)).await?;
    }
    Ok(())
}
