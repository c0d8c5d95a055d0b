//! The calls of one connection and their answers: our place of tarpc's dispatcher. Typed calls are above it, in tarpc's generated
//! client; what is done about a lost connection is decided in [`crate::repeat`].
//!
//! No task belongs to a connection. The runtime's reactor, which is the one place where everybody who waits comes by, calls
//! [`Shared::tend`] when the socket has something: it reads, hands out the answers and wakes who waits for them. That
//! costs no switch of tasks, and unlike a task that reads for the others it can't be held up by one of them: a caller may
//! poll a call once and then look away for as long as it likes.
//!
//! A call that is the only one under way is written at once. While others are under way it waits for the end of the
//! runtime's turn, so that calls of one turn share a write.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Instant;

use datacache_proto::codec::{method_of_request, put_cancel, put_request};
use datacache_proto::polling::Polling;
use datacache_proto::service::{CacheClient, CacheRequest, CacheResponse};
use datacache_proto::wire::Wire;
use tarpc::client::RpcError;
use tarpc::client::stub::Stub;
use tarpc::context::Context;

use crate::desk::{Answer, Desk, Watch, unsent};
use crate::fork::Mark;
use crate::pending::Pending;

/// With so many bytes to be written, the end of the turn is not waited for.
const ENOUGH: usize = 64 << 10;

/// With so many bytes to be written when a call is given up, the daemon takes nothing any more. What was given up would pile up.
const TOO_MUCH: usize = 32 << 20;

/// The typed calls over an exchange.
pub(crate) type Client = CacheClient<Exchange>;

/// A connection as a place to make calls at; clones share it. It ends for all of them, once and for ever.
///
/// It does not watch deadlines: see [`by`].
#[derive(Clone)]
pub(crate) struct Exchange(Arc<Shared>);

struct Shared {
    desk: Mutex<Desk>,
    is_over: AtomicBool,
    /// Calls [`Shared::tend`].
    tender: Waker,
    own: Weak<Self>,
    /// The process that may write to the socket.
    owner: Mark,
}

/// Who tends to the connection; it may be gone by then.
struct Tender(Weak<Shared>);

/// The rest of the runtime's turn. What is to be written is when this is dropped, woken or not: a runtime that is stopped within a
/// turn wakes nobody who waits for its end.
struct Turn(Weak<Shared>);

impl Exchange {
    /// Takes a connected socket; must be called on a runtime, whose reactor then tends to it.
    ///
    /// # Errors
    /// Where the runtime can't wait for the socket.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        let desk = Desk { wire: Wire::new(stream)?, calls: Pending::new(), end: None, is_deferred: false, watch: None };
        let shared = Arc::new_cyclic(|shared| Shared {
            desk: Mutex::new(desk),
            is_over: AtomicBool::new(false),
            tender: Waker::from(Arc::new(Tender(Weak::clone(shared)))),
            own: Weak::clone(shared),
            owner: Mark::current(),
        });
        shared.tend();
        Ok(Self(shared))
    }

    /// Has callers look for their answers for a moment before they wait, which keeps their thread from everything else. `callers`
    /// returns how many clients call, if it can; where it can't, nobody looks.
    pub(crate) fn watch(&self, polling: Polling, callers: impl Fn() -> Option<u64> + Send + 'static) {
        self.0.lock().watch = Some(Watch { polling, callers: Box::new(callers) });
    }

    /// Tells whether it has ended, as far as is known: while no runtime runs, nobody notices.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    /// Looks whether the daemon has hung up.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.is_over() || self.0.lock().wire.is_hung_up()
    }

    /// Returns the descriptor of a duplicate of the socket, if there is one; not where another thread was at work when
    /// this process was forked.
    pub(crate) fn duplicate(&self) -> Option<RawFd> {
        match self.0.desk.try_lock() {
            Ok(desk) => desk.wire.duplicate(),
            Err(TryLockError::Poisoned(desk)) => desk.get_ref().wire.duplicate(),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Stub for Exchange {
    type Req = CacheRequest;
    type Resp = CacheResponse;

    async fn call(&self, context: Context, request: CacheRequest) -> Answer {
        let mut call = Call { exchange: &self.0, id: None };
        poll_fn(|cx| match call.id {
            Some(id) => call.poll(id, cx),
            None => {
                let id = self.0.begin(context.deadline, &request, cx)?;
                call.id = Some(id);
                if self.0.looks_for_answer() { call.poll(id, cx) } else { Poll::Pending }
            }
        })
        .await
    }
}

/// A call under way; dropped before it is answered, the daemon is told that nobody waits any more.
struct Call<'e> {
    exchange: &'e Shared,
    id: Option<u64>,
}

impl Call<'_> {
    fn poll(&mut self, id: u64, cx: &mut TaskContext<'_>) -> Poll<Answer> {
        let answer = self.exchange.lock().calls.poll(id, cx);
        if answer.is_ready() {
            self.id = None;
        }
        answer
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // A forked child drops what it inherited in silence: the connection is its parent's.
        if let Some(id) = self.id.filter(|_| self.exchange.owner == Mark::current()) {
            self.exchange.give_up(id);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a call; returns its number.
    fn begin(&self, deadline: Instant, request: &CacheRequest, cx: &mut TaskContext<'_>) -> Result<u64, RpcError> {
        let mut desk = self.lock();
        if desk.end.is_some() {
            return Err(unsent());
        }
        let id = desk.calls.next();
        let mut method = None;
        let put = desk.wire.put(|out| {
            let begin = out.len();
            put_request(out, id, deadline, request)?;
            method = method_of_request(&out[begin..]);
            Ok(())
        });
        put.map_err(|error| RpcError::Send(Box::new(error)))?;
        let end = desk.wire.written() + desk.wire.unwritten() as u64;
        desk.calls.begin(end, method, cx.waker().clone());
        self.send(desk);
        Ok(id)
    }

    /// Looks for the answer to the only call under way, where that is in nobody's way; tells whether something came.
    fn looks_for_answer(&self) -> bool {
        let mut desk = self.lock();
        if !desk.may_look() {
            return false;
        }
        loop {
            let mut woken = Vec::new();
            desk.look(&mut woken);
            let has_come = desk.calls.open() == 0;
            if has_come || !desk.goes_on_looking() {
                self.finish(desk, woken);
                return has_come;
            }
            self.finish(desk, woken);
            desk = self.lock();
        }
    }

    fn give_up(&self, id: u64) {
        let mut desk = self.lock();
        if !desk.calls.give_up(id) || desk.end.is_some() {
            return;
        }
        if desk.wire.unwritten() > TOO_MUCH {
            let woken = desk.jam();
            self.finish(desk, woken);
        } else if desk.wire.put(|out| put_cancel(out, id)).is_ok() {
            self.send(desk);
        }
    }

    /// Writes now, or with everything else of this turn.
    fn send(&self, mut desk: MutexGuard<'_, Desk>) {
        if desk.calls.open() <= 1 || desk.wire.unwritten() > ENOUGH {
            let woken = desk.flush(&self.tender);
            self.finish(desk, woken);
        } else if !desk.is_deferred {
            desk.is_deferred = true;
            // IMPORTANT: not under the lock. Where there is no turn to wait for, this ends at once.
            drop(desk);
            let waker = Waker::from(Arc::new(Turn(Weak::clone(&self.own))));
            let _pending = pin!(tokio::task::yield_now()).poll(&mut TaskContext::from_waker(&waker));
        }
    }

    /// Reads and writes what can be read and written, and sees to it that this is called when there is more.
    fn tend(&self) {
        let mut desk = self.lock();
        let woken = desk.tend(&self.tender);
        self.finish(desk, woken);
    }

    /// Wakes who is to be woken, when nobody is in their way.
    fn finish(&self, desk: MutexGuard<'_, Desk>, woken: Vec<Waker>) {
        if desk.end.is_some() {
            self.is_over.store(true, Ordering::Relaxed);
        }
        drop(desk);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Tender {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(shared) = self.0.upgrade() {
            shared.tend();
        }
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.tend();
        }
    }
}

/// Waits for an answer until `deadline`.
///
/// # Errors
/// [`RpcError::DeadlineExceeded`], and those of the answer.
pub(crate) async fn by<T>(deadline: Instant, answer: impl Future<Output = Result<T, RpcError>>) -> Result<T, RpcError> {
    tokio::time::timeout_at(deadline.into(), answer).await.unwrap_or(Err(RpcError::DeadlineExceeded))
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
