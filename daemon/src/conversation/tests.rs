//! Conversations with a client whose every word is chosen, at the other end of a socket.

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
