//! One end of the calls of a connection: the socket, the calls that wait for their answers, and why there are no more. Whoever has it
//! has it alone; who wakes and who waits is the business of [`crate::exchange`].

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use datacache_proto::codec::{method_of_answer, take_answer};
use datacache_proto::polling::Polling;
use datacache_proto::service::CacheResponse;
use datacache_proto::wire::Wire;
use tarpc::ChannelError;
use tarpc::client::RpcError;

use crate::pending::Pending;

/// What comes of a call.
pub(crate) type Answer = Result<CacheResponse, RpcError>;

/// The socket, and what goes on over it.
pub(crate) struct Desk {
    pub(crate) wire: Wire,
    pub(crate) calls: Pending<Answer>,
    /// Why there are no more calls.
    pub(crate) end: Option<End>,
    /// Whether the end of the turn is waited for with what is to be written.
    pub(crate) is_deferred: bool,
    /// How it looks for an answer before the thread sleeps; `None` where others need the thread.
    pub(crate) watch: Option<Watch>,
}

/// How an exchange looks for answers.
pub(crate) struct Watch {
    pub(crate) polling: Polling,
    /// Returns how many clients call; `None` where that can't be told from here.
    pub(crate) callers: Box<dyn Fn() -> Option<u64> + Send>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// The daemon hung up, or the socket broke.
    Lost,
    /// What came was no answer.
    Garbled,
}

impl Desk {
    /// Reads and writes; returns who is to be woken.
    pub(crate) fn tend(&mut self, tender: &Waker) -> Vec<Waker> {
        self.is_deferred = false;
        let mut woken = Vec::new();
        if self.end.is_none() {
            self.read(tender, &mut woken);
        }
        if self.end.is_none() && self.wire.unwritten() > 0 {
            woken.extend(self.flush(tender));
        }
        woken
    }

    pub(crate) fn may_look(&mut self) -> bool {
        let is_alone = self.calls.open() == 1 && self.end.is_none() && self.wire.unwritten() == 0;
        let Some(Watch { polling, callers }) = self.watch.as_mut().filter(|_| is_alone) else { return false };
        callers().is_some_and(|callers| polling.begin(callers, Instant::now()))
    }

    pub(crate) fn goes_on_looking(&mut self) -> bool {
        // Who calls meanwhile has another thread, and may need this one's core.
        let is_alone = self.calls.open() == 1 && self.end.is_none();
        is_alone && self.watch.as_mut().is_some_and(|watch| watch.polling.goes_on(Instant::now()))
    }

    /// Reads what has come, without waiting for more.
    pub(crate) fn look(&mut self, woken: &mut Vec<Waker>) {
        let read = self.wire.try_read();
        if let Err(error) = read.and_then(|_| self.hand_out(woken)) {
            self.break_off(&error, woken);
        }
    }

    /// Writes; returns who is to be woken, which is nobody unless the connection has ended.
    pub(crate) fn flush(&mut self, tender: &Waker) -> Vec<Waker> {
        let mut woken = Vec::new();
        if let Poll::Ready(Err(error)) = unbounded(tender, |cx| self.wire.poll_flush(cx)) {
            // What was answered before the daemon hung up is still to be read.
            self.read(tender, &mut woken);
            self.finish(End::Lost, &error, &mut woken);
        }
        woken
    }

    /// Hands out all answers that are there.
    fn read(&mut self, tender: &Waker, woken: &mut Vec<Waker>) {
        while let Poll::Ready(read) = unbounded(tender, |cx| self.wire.poll_read(cx)) {
            let handed_out = read.and_then(|()| self.hand_out(woken));
            if let Err(error) = handed_out {
                return self.break_off(&error, woken);
            }
        }
    }

    fn hand_out(&mut self, woken: &mut Vec<Waker>) -> io::Result<()> {
        while let Some((answer, method)) =
            self.wire.take(|bytes| Ok((take_answer::<CacheResponse>(bytes)?, method_of_answer(bytes))))?
        {
            let called = self.calls.method(answer.request_id);
            if called.zip(method).is_some_and(|(called, answered)| called != answered) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to another call than was made"));
            }
            woken.extend(self.calls.settle(answer.request_id, answer.message.map_err(RpcError::Server)));
        }
        Ok(())
    }

    /// Ends the exchange because the daemon takes nothing; returns who is to be woken.
    pub(crate) fn jam(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        let error = io::Error::new(io::ErrorKind::TimedOut, format!("{} bytes were not taken", self.wire.unwritten()));
        self.finish(End::Lost, &error, &mut woken);
        woken
    }

    /// Ends the exchange because of what was read.
    fn break_off(&mut self, error: &io::Error, woken: &mut Vec<Waker>) {
        let garbled = error.kind() == io::ErrorKind::InvalidData;
        self.finish(if garbled { End::Garbled } else { End::Lost }, error, woken);
    }

    /// Ends the exchange, if it has not ended before, and all calls with it.
    fn finish(&mut self, end: End, error: &io::Error, woken: &mut Vec<Waker>) {
        if self.end.is_some() {
            return;
        }
        if error.kind() != io::ErrorKind::UnexpectedEof {
            tracing::debug!(%error, "the connection to the daemon broke off");
        }
        self.end = Some(end);
        let written = self.wire.written();
        // A call whose message is not out as a whole can't have been understood.
        let outcome = |message_end| if message_end > written { unsent() } else { end.outcome() };
        woken.extend(self.calls.settle_all(|message_end| Err(outcome(message_end))));
    }
}

impl End {
    fn outcome(self) -> RpcError {
        match self {
            Self::Lost => RpcError::Shutdown,
            Self::Garbled => {
                RpcError::Channel(ChannelError::Read(Arc::new(io::Error::from(io::ErrorKind::InvalidData))))
            }
        }
    }
}

/// The daemon has not got the call, and won't get it.
pub(crate) fn unsent() -> RpcError {
    RpcError::Channel(ChannelError::Write(Arc::new(io::Error::from(io::ErrorKind::BrokenPipe))))
}

/// Polls regardless of how much the current task has done: the tender has no later turn of its own, and would be woken from
/// within, with the lock held.
fn unbounded<T>(waker: &Waker, poll: impl FnMut(&mut TaskContext<'_>) -> Poll<T>) -> Poll<T> {
    pin!(tokio::task::coop::unconstrained(poll_fn(poll))).poll(&mut TaskContext::from_waker(waker))
}
