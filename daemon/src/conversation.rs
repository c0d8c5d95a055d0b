//! The calls of one connection and their answers: our place of tarpc's channel. Calls run side by side on the connection's task;
//! what they do is not known here.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use std::{hint, io, mem};

use datacache_proto::codec::{put_answer, take_message};
use datacache_proto::service::{CacheRequest, CacheResponse};
use datacache_proto::wire::Wire;
use tarpc::{ClientMessage, Request, ServerError};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};

use crate::gauge::Counter;

/// How often calls are given up whose time is over. Their client has given them up by then and said so; this is for one that
/// can't, because it was stopped. One timer a connection, and only while calls are under way.
const SWEEP: Duration = Duration::from_secs(1);
/// With so many bytes to be written, neither calls nor answers are taken.
const ENOUGH: usize = 64 << 10;
/// How many messages are taken before the answers are sent that are there, and how often that is done, or a message is looked for,
/// before others get their turn.
const MESSAGES: usize = 64;
const ROUNDS: usize = 4;

/// What comes of a call, and what counts it until its answer is on the wire.
pub(crate) type Done = (Result<CacheResponse, ServerError>, Counter);

/// A call at work.
pub(crate) type Work = Pin<Box<dyn Future<Output = Done>>>;

/// Who has a conversation, and has done what is said in it.
pub(crate) trait Host {
    /// Begins a call, whose message has so many `bytes`.
    fn begin(&mut self, request: Request<CacheRequest>, bytes: usize) -> Work;

    /// Tells whether the messages of all calls under way, of every client, take as much memory as they may.
    fn is_laden(&self) -> bool {
        false
    }

    /// Tells whether [`Host::hurry`] is of use at the moment.
    fn hurries(&self) -> bool {
        false
    }

    /// Has done at once what calls wait for that were begun, instead of in a later turn.
    fn hurry(&mut self) {}

    /// Tells how often to try for the client's next message before others get their turn; 0 where it is waited for. `is_fresh`:
    /// something was heard or said since the last time.
    fn tries(&mut self, _is_fresh: bool) -> usize {
        0
    }
}

/// A connection's calls.
pub(crate) struct Conversation<H> {
    wire: Wire,
    host: H,
    /// Calls under way. They run on this task: a call costs no task of its own, and all of them end with it. Each is polled
    /// when any of them gets on, which is less than to keep account of which did: they are few, and mostly done together.
    calls: Vec<Call>,
    /// The most calls at a time; more are not taken off the socket, which fills, and then the client waits.
    limit: usize,
    /// Those whose answers are still to be written.
    answered: Vec<Counter>,
    /// Whether calls that are begun now are hurried, and whether any was in this round.
    hurries: bool,
    has_hurried: bool,
    /// Whether something was heard or said since the client's next message was last looked for.
    is_fresh: bool,
    /// When to look next for calls whose time is over; `None` where none was under way.
    sweep: Option<Pin<Box<Sleep>>>,
}

/// A call under way.
struct Call {
    id: u64,
    deadline: Instant,
    work: Work,
}

impl<H: Host> Conversation<H> {
    /// Makes one that does up to `limit` calls at a time, as `host` has them done.
    pub(crate) fn new(wire: Wire, limit: usize, host: H) -> Self {
        let (calls, answered) = (Vec::new(), Vec::new());
        Self { wire, host, calls, limit, answered, hurries: false, has_hurried: false, is_fresh: false, sweep: None }
    }

    /// Goes on until the client hangs up. Whatever is under way then is given up at once.
    ///
    /// # Errors
    /// Where the client breaks the protocol, or the connection breaks.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        match poll_fn(|cx| self.poll(cx)).await {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes all that is ready, then sends the answers of all that in one go.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sweep(cx);
        for _ in 0..ROUNDS {
            // In this order: a call that is begun need not be polled again in the same turn.
            self.poll_calls(cx)?;
            self.hurries = self.host.hurries();
            let has_all = self.poll_messages(cx)?;
            if mem::take(&mut self.has_hurried) {
                self.host.hurry();
                self.poll_calls(cx)?;
            }
            // Then some calls may not have been polled.
            let was_backed_up = self.is_backed_up();
            ready!(self.wire.poll_flush(cx))?;
            self.answered.clear();
            if !was_backed_up && (self.is_full() || has_all && !self.look(cx)?) {
                return Poll::Pending;
            }
        }
        give_way(cx);
        Poll::Pending
    }

    /// Looks for the next message for a moment, where the host wants that; tells whether there is any.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let tries = self.host.tries(mem::take(&mut self.is_fresh));
        if tries == 0 {
            return Ok(false);
        }
        // While calls are under way the client is not expected to say more; but what they wait for is soon there.
        if self.calls.is_empty() {
            for _ in 0..tries {
                if self.wire.try_read()? {
                    return Ok(true);
                }
                hint::spin_loop();
            }
        }
        give_way(cx);
        Ok(false)
    }

    /// Takes messages; tells whether nothing is left to take. A hang-up is noticed either way.
    fn poll_messages(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        for taken in 0..=MESSAGES {
            if self.is_full() || self.is_backed_up() {
                return match self.wire.poll_hung_up(cx)? {
                    Poll::Ready(()) => Err(io::ErrorKind::UnexpectedEof.into()),
                    Poll::Pending => Ok(false),
                };
            }
            // IMPORTANT: not before that. The last one may be what makes it full, and then nobody comes back soon.
            if taken == MESSAGES {
                break;
            }
            while !self.take_message(cx)? {
                if self.wire.poll_read(cx)?.is_pending() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Takes a message if there is one.
    fn take_message(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let taken = self.wire.take(|bytes| Ok((take_message(bytes)?, bytes.len())))?;
        match taken {
            None => return Ok(false),
            Some((ClientMessage::Request(request), bytes)) => self.begin(request, bytes, cx)?,
            Some((ClientMessage::Cancel { request_id, .. }, _)) => self.give_up(|call| call.id == request_id),
            Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that no protocol has")),
        }
        Ok(true)
    }

    /// Begins a call. Most that only look something up are done with that.
    fn begin(&mut self, request: Request<CacheRequest>, bytes: usize, cx: &mut Context<'_>) -> io::Result<()> {
        let (id, deadline) = (request.id, request.context.deadline);
        let mut call = Call { id, deadline, work: self.host.begin(request, bytes) };
        self.is_fresh = true;
        // A call that is hurried is polled once more in this turn. It needs no other for that, so nothing is to be woken.
        let unheard = &mut Context::from_waker(Waker::noop());
        let waiting = if self.hurries { unheard } else { &mut *cx };
        if let Poll::Ready(done) = call.work.as_mut().poll(waiting) {
            return self.answer(id, done);
        }
        self.has_hurried = self.hurries;
        self.calls.push(call);
        if self.sweep.is_none() {
            self.sweep_later(cx);
        }
        Ok(())
    }

    /// Goes on with the calls under way.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut next = 0;
        while !self.is_backed_up()
            && let Some(call) = self.calls.get_mut(next)
        {
            match call.work.as_mut().poll(cx) {
                Poll::Pending => next += 1,
                Poll::Ready(done) => {
                    let id = self.calls.swap_remove(next).id;
                    self.answer(id, done)?;
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, id: u64, (answer, counted): Done) -> io::Result<()> {
        self.answered.push(counted);
        self.is_fresh = true;
        self.wire.put(|out| put_answer(out, id, &answer)).or_else(|error| {
            tracing::warn!(%error, "an answer can't be sent");
            let aborted = ServerError::new(io::ErrorKind::Other, String::new());
            self.wire.put(|out| put_answer::<CacheResponse>(out, id, &Err(aborted)))
        })
    }

    /// IMPORTANT: never without a call under way, which comes back here when it is done.
    fn is_full(&self) -> bool {
        self.calls.len() >= self.limit || !self.calls.is_empty() && self.host.is_laden()
    }

    fn is_backed_up(&self) -> bool {
        self.wire.unwritten() > ENOUGH
    }

    /// Gives calls up; what was handed to the writer by then and is in the log is done.
    fn give_up(&mut self, is_meant: impl Fn(&Call) -> bool) {
        self.calls.retain(|call| !is_meant(call));
    }

    fn sweep(&mut self, cx: &mut Context<'_>) {
        if self.sweep.take_if(|sweep| sweep.is_elapsed()).is_some() {
            let now = Instant::now();
            self.give_up(|call| call.deadline <= now);
            if !self.calls.is_empty() {
                self.sweep_later(cx);
            }
        }
    }

    fn sweep_later(&mut self, cx: &mut Context<'_>) {
        let sweep = self.sweep.insert(Box::pin(sleep(SWEEP)));
        if sweep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

/// Has the task polled again after everybody else has had a turn, and the runtime has asked the system what has happened: for a
/// task that is woken at once it does not always do that.
fn give_way(cx: &mut Context<'_>) {
    let _pending = pin!(yield_now()).poll(cx);
}

#[cfg(test)]
mod tests;
