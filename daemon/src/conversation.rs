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
mod tests {
    use super::*;
    use crate::gauge::Gauge;
    use datacache_proto::codec::{put_cancel, put_request, take_answer};
    use std::future::pending;
    use std::os::unix::net::UnixStream;
    use tokio::task::JoinHandle;

    impl<B: FnMut(Request<CacheRequest>) -> Work> Host for B {
        fn begin(&mut self, request: Request<CacheRequest>, _: usize) -> Work {
            self(request)
        }
    }

    /// A client's end of a conversation in which a `len` is answered at once, with the namespace's length, a `stop` when it
    /// is told to, and everything else never.
    struct Client {
        wire: Wire,
        gauge: Gauge,
        go_on: std::rc::Rc<tokio::sync::Notify>,
        conversation: JoinHandle<io::Result<()>>,
    }

    impl Client {
        fn talking(limit: usize) -> Self {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let [ours, theirs] = [ours, theirs].map(|stream| Wire::new(stream).unwrap());
            let (gauge, go_on) = (Gauge::default(), std::rc::Rc::<tokio::sync::Notify>::default());
            let (counting, going_on) = (gauge.clone(), std::rc::Rc::clone(&go_on));
            let begin = move |request: Request<CacheRequest>| -> Work {
                let (counted, going_on) = (counting.enter(), std::rc::Rc::clone(&going_on));
                Box::pin(async move {
                    let answer = match request.message {
                        CacheRequest::Len { namespace } => CacheResponse::Len(Ok(namespace.len() as u64)),
                        CacheRequest::Stop {} => {
                            going_on.notified().await;
                            CacheResponse::Stop(Ok(()))
                        }
                        _ => pending().await,
                    };
                    (Ok(answer), counted)
                })
            };
            let conversation = tokio::task::spawn_local(Conversation::new(theirs, limit, begin).run());
            Self { wire: ours, gauge, go_on, conversation }
        }

        fn say(&mut self, id: u64, request: &CacheRequest) {
            self.say_until(id, request, Duration::from_secs(600));
        }

        fn say_until(&mut self, id: u64, request: &CacheRequest, span: Duration) {
            self.wire.put(|out| put_request(out, id, Instant::now() + span, request)).unwrap();
        }

        async fn send(&mut self) {
            poll_fn(|cx| self.wire.poll_flush(cx)).await.unwrap();
        }

        async fn hear(&mut self) -> (u64, Result<CacheResponse, io::ErrorKind>) {
            loop {
                if let Some(answer) = self.wire.take(take_answer).unwrap() {
                    return (answer.request_id, answer.message.map_err(|error| error.kind));
                }
                poll_fn(|cx| self.wire.poll_read(cx)).await.unwrap();
            }
        }
    }

    fn len(of: usize) -> CacheRequest {
        CacheRequest::Len { namespace: "n".repeat(of) }
    }

    fn endless() -> CacheRequest {
        CacheRequest::Stats {}
    }

    #[tokio::test(flavor = "local")]
    async fn calls_are_answered_when_they_are_done_and_not_in_their_order() {
        let mut client = Client::talking(8);
        client.say(1, &endless());
        client.say(2, &CacheRequest::Stop {});
        client.say(3, &len(5));
        client.send().await;
        assert!(matches!(client.hear().await, (3, Ok(CacheResponse::Len(Ok(5))))));
        client.go_on.notify_one();
        assert!(matches!(client.hear().await, (2, Ok(CacheResponse::Stop(Ok(()))))));
    }

    /// A client that was killed during a long call once kept its connection until the call was done.
    #[tokio::test(flavor = "local")]
    async fn a_hang_up_ends_the_calls_under_way_at_once() {
        for limit in [1, 8] {
            let mut client = Client::talking(limit);
            client.say(1, &endless());
            // Where the limit is one, this is never taken off the socket, and the hang-up is behind it.
            client.say(2, &endless());
            client.send().await;
            client.gauge.some().await;
            let Client { wire, gauge, conversation, .. } = client;
            drop(wire);
            conversation.await.unwrap().unwrap();
            assert_eq!(gauge.count(), 0);
        }
    }

    /// As many calls as may be under way, and as are taken in a round: then the hang-up was not waited for.
    #[tokio::test(flavor = "local")]
    async fn a_hang_up_is_noticed_behind_as_many_calls_as_are_taken_at_once() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut client = Client { wire: Wire::new(ours).unwrap(), ..Client::talking(1) };
        let begin = |_| -> Work { Box::pin(pending()) };
        let mut conversation = Conversation::new(Wire::new(theirs).unwrap(), MESSAGES, begin);
        (0..MESSAGES as u64).for_each(|id| client.say(id, &endless()));
        client.send().await;
        let woken = std::sync::Arc::new(Woken::default());
        while conversation.calls.len() < MESSAGES {
            assert!(conversation.poll(&mut Context::from_waker(&Waker::from(woken.clone()))).is_pending());
            tokio::task::yield_now().await;
        }
        // It would come round for the sweep, a second later.
        conversation.sweep = None;
        woken.0.store(false, std::sync::atomic::Ordering::Relaxed);
        drop(client.wire);
        let is_noticed = async {
            while !woken.0.load(std::sync::atomic::Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), is_noticed).await.expect("the hang-up is noticed");
    }

    /// What was left when the socket's buffer had to be emptied first was once polled no more, if the client had said more meanwhile.
    #[tokio::test(flavor = "local")]
    async fn calls_that_are_done_together_are_all_answered_however_long_the_answers_are() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let [ours, theirs] = [ours, theirs].map(|stream| Wire::new(stream).unwrap());
        let mut client = Client { wire: ours, ..Client::talking(1) };
        let (gauge, go_on) = (client.gauge.clone(), std::rc::Rc::clone(&client.go_on));
        let begin = move |request: Request<CacheRequest>| -> Work {
            let (counted, go_on) = (gauge.enter(), std::rc::Rc::clone(&go_on));
            Box::pin(async move {
                match request.message {
                    CacheRequest::Stop {} => go_on.notified().await,
                    _ => pending().await,
                }
                (Ok(CacheResponse::Read(Ok(datacache_proto::service::Chunk(vec![0; ENOUGH + 1])))), counted)
            })
        };
        client.conversation = tokio::task::spawn_local(Conversation::new(theirs, 2, begin).run());
        for (id, call) in [(1, CacheRequest::Stop {}), (2, CacheRequest::Stop {}), (3, endless())] {
            client.say(id, &call);
        }
        client.send().await;
        while client.gauge.count() < 2 {
            tokio::task::yield_now().await;
        }
        client.go_on.notify_waiters();
        let mut answered = [client.hear().await.0, client.hear().await.0];
        answered.sort_unstable();
        assert_eq!(answered, [1, 2]);
    }

    /// Does calls when it is told to hurry, and tries for messages as often as it is told to.
    struct Hasty {
        tries: usize,
        begun: Vec<tokio::sync::oneshot::Sender<()>>,
    }

    impl Host for Hasty {
        fn begin(&mut self, _: Request<CacheRequest>, _: usize) -> Work {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            self.begun.push(sender);
            Box::pin(async move {
                receiver.await.unwrap();
                (Ok(CacheResponse::Len(Ok(7))), Gauge::default().enter())
            })
        }

        fn hurries(&self) -> bool {
            true
        }

        fn hurry(&mut self) {
            self.begun.drain(..).for_each(|sender| sender.send(()).unwrap());
        }

        fn tries(&mut self, _is_fresh: bool) -> usize {
            self.tries
        }
    }

    /// What a host that tries so often has answered after one turn to a call that the runtime does not know of yet, and whether
    /// the task was woken meanwhile.
    async fn after_a_turn(tries: usize) -> (bool, bool) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut client = Client { wire: Wire::new(ours).unwrap(), ..Client::talking(1) };
        let mut conversation = Conversation::new(Wire::new(theirs).unwrap(), 8, Hasty { tries, begun: Vec::new() });
        client.say(1, &len(1));
        client.send().await;
        let woken = std::sync::Arc::new(Woken::default());
        assert!(conversation.poll(&mut Context::from_waker(&Waker::from(woken.clone()))).is_pending());
        let is_woken = woken.0.load(std::sync::atomic::Ordering::Relaxed);
        (client.wire.try_read().unwrap(), is_woken)
    }

    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicBool);

    impl std::task::Wake for Woken {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[tokio::test(flavor = "local")]
    async fn a_message_that_is_tried_for_is_answered_in_the_same_turn() {
        assert_eq!(after_a_turn(1).await, (true, false));
        assert_eq!(after_a_turn(0).await, (false, false), "it is waited for");
    }

    /// A host whose calls, with those of others, take as much memory as they may.
    struct Laden<B>(B);

    impl<B: Host> Host for Laden<B> {
        fn begin(&mut self, request: Request<CacheRequest>, bytes: usize) -> Work {
            self.0.begin(request, bytes)
        }

        fn is_laden(&self) -> bool {
            true
        }
    }

    #[tokio::test(flavor = "local")]
    async fn a_connection_has_one_call_at_a_time_while_those_of_all_take_enough_memory() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut client = Client { wire: Wire::new(ours).unwrap(), ..Client::talking(1) };
        let (gauge, go_on) = (client.gauge.clone(), std::rc::Rc::clone(&client.go_on));
        let begin = move |_: Request<CacheRequest>| -> Work {
            let (counted, go_on) = (gauge.enter(), std::rc::Rc::clone(&go_on));
            Box::pin(async move {
                go_on.notified().await;
                (Ok(CacheResponse::Stop(Ok(()))), counted)
            })
        };
        let wire = Wire::new(theirs).unwrap();
        client.conversation = tokio::task::spawn_local(Conversation::new(wire, 8, Laden(begin)).run());
        (1..=5).for_each(|id| client.say(id, &endless()));
        client.send().await;
        for id in 1..=5 {
            client.gauge.some().await;
            tokio::task::yield_now().await;
            assert_eq!(client.gauge.count(), 1);
            client.go_on.notify_one();
            assert_eq!(client.hear().await.0, id, "the next one is taken when this one is done");
        }
    }

    #[tokio::test(flavor = "local")]
    async fn no_more_calls_are_under_way_than_the_limit_has_it() {
        let mut client = Client::talking(2);
        for id in 1..=5 {
            client.say(id, &CacheRequest::Stop {});
        }
        client.send().await;
        let mut answered = Vec::new();
        for _ in 1..=5 {
            while client.gauge.count() < 1 {
                tokio::task::yield_now().await;
            }
            assert!(client.gauge.count() <= 2);
            client.go_on.notify_one();
            answered.push(client.hear().await.0);
        }
        answered.sort_unstable();
        assert_eq!(answered, [1, 2, 3, 4, 5]);
    }

    #[tokio::test(flavor = "local")]
    async fn a_cancelled_call_makes_room_for_another() {
        let mut client = Client::talking(2);
        client.say(1, &endless());
        client.wire.put(|out| put_cancel(out, 1)).unwrap();
        client.say(2, &endless());
        client.say(3, &len(3));
        client.send().await;
        assert_eq!(client.hear().await.0, 3);
        assert_eq!(client.gauge.count(), 1);
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_call_whose_time_is_over_is_given_up_and_the_others_are_not() {
        let mut client = Client::talking(8);
        client.say_until(1, &endless(), Duration::ZERO);
        client.say(2, &CacheRequest::Stop {});
        client.send().await;
        while client.gauge.count() != 2 {
            tokio::task::yield_now().await;
        }
        sleep(SWEEP * 2).await;
        assert_eq!(client.gauge.count(), 1);
        client.go_on.notify_one();
        assert_eq!(client.hear().await.0, 2);
    }

    #[tokio::test(flavor = "local")]
    async fn a_client_that_does_not_read_is_not_served_beyond_what_the_buffers_hold() {
        let mut client = Client::talking(8);
        let mut said = 0;
        loop {
            client.say(said, &len(1));
            said += 1;
            let flushed = futures::poll!(std::pin::pin!(poll_fn(|cx| client.wire.poll_flush(cx))));
            tokio::task::yield_now().await;
            if flushed.is_pending() {
                break;
            }
        }
        // Then it reads after all, and nothing is missing.
        for _ in 0..said {
            client.hear().await.1.unwrap();
            let _more = futures::poll!(std::pin::pin!(poll_fn(|cx| client.wire.poll_flush(cx))));
        }
    }

    #[tokio::test(flavor = "local")]
    async fn an_answer_that_is_too_long_is_an_error_of_its_call_alone() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let [ours, theirs] = [ours, theirs].map(|stream| Wire::new(stream).unwrap());
        let gauge = Gauge::default();
        let mut client = Client { wire: ours, ..Client::talking(1) };
        let begin = move |_| -> Work {
            let counted = gauge.enter();
            let chunk = datacache_proto::service::Chunk(vec![0; datacache_proto::codec::MAX_MESSAGE]);
            Box::pin(async move { (Ok(CacheResponse::Read(Ok(chunk))), counted) })
        };
        client.conversation = tokio::task::spawn_local(Conversation::new(theirs, 8, begin).run());
        client.say(1, &len(1));
        client.say(2, &len(1));
        client.send().await;
        for id in [1, 2] {
            assert_eq!(client.hear().await.0, id);
        }
    }
}
