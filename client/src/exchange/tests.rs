//! Exchanges with a daemon whose every word is chosen, at the other end of a socket.

use super::*;
use datacache_proto::codec::{MAX_MESSAGE, put_answer, take_message, until};
use datacache_proto::service::Chunk;
use std::io::Write;
use std::time::Duration;
use tarpc::{ChannelError, ClientMessage, Request};

/// The other end.
struct Daemon(Wire);

impl Daemon {
    async fn hear(&mut self) -> ClientMessage<CacheRequest> {
        loop {
            if let Some(message) = self.0.take(take_message).unwrap() {
                return message;
            }
            poll_fn(|cx| self.0.poll_read(cx)).await.unwrap();
        }
    }

    async fn hear_call(&mut self) -> u64 {
        match self.hear().await {
            ClientMessage::Request(Request { id, .. }) => id,
            other => panic!("{other:?} is no call"),
        }
    }

    async fn answer(&mut self, id: u64, answer: CacheResponse) {
        self.0.put(|out| put_answer(out, id, &Ok(answer))).unwrap();
        poll_fn(|cx| self.0.poll_flush(cx)).await.unwrap();
    }
}

fn connected() -> (Exchange, Daemon) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Exchange::new(ours).unwrap(), Daemon(Wire::new(theirs).unwrap()))
}

fn soon() -> Context {
    until(Instant::now() + Duration::from_secs(60))
}

fn len(exchange: &Exchange) -> impl Future<Output = Result<u64, RpcError>> + use<> {
    let client = Client::from(exchange.clone());
    async move { Ok(client.len(soon(), "n".into()).await?.unwrap()) }
}

fn answer(length: u64) -> CacheResponse {
    CacheResponse::Len(Ok(length))
}

#[tokio::test]
async fn each_call_gets_its_own_answer() {
    let (exchange, mut daemon) = connected();
    let calls = futures::future::try_join_all((0..100).map(|_| len(&exchange)));
    let answering = async {
        let mut ids = Vec::new();
        for _ in 0..100 {
            ids.push(daemon.hear_call().await);
        }
        for id in ids.into_iter().rev() {
            daemon.answer(id, answer(id)).await;
        }
    };
    let (answers, ()) = futures::join!(calls, answering);
    assert_eq!(answers.unwrap(), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn calls_of_one_turn_share_a_write_and_one_alone_does_not_wait_for_it() {
    let (exchange, _daemon) = connected();
    let unwritten = || exchange.0.lock().wire.unwritten();
    let mut first = pin!(len(&exchange));
    assert!(futures::poll!(&mut first).is_pending());
    assert_eq!(unwritten(), 0);
    let mut others = pin!(futures::future::join_all((0..10).map(|_| len(&exchange))));
    assert!(futures::poll!(&mut others).is_pending());
    assert!(unwritten() > 0);
    tokio::task::yield_now().await;
    assert_eq!(unwritten(), 0);
}

/// A runtime that stops within a turn wakes nobody who waits for its end.
#[test]
fn a_turn_that_is_broken_off_ends_all_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let exchange = runtime.block_on(async { Exchange::new(ours) }).unwrap();
    let mut calls: Vec<_> = (0..2).map(|_| Box::pin(len(&exchange))).collect();
    runtime.block_on(async {
        for call in &mut calls {
            assert!(futures::poll!(call).is_pending());
        }
        assert!(exchange.0.lock().wire.unwritten() > 0);
    });
    assert_eq!(exchange.0.lock().wire.unwritten(), 0);
}

/// Whoever reads for others must not be able to hold them up.
#[tokio::test]
async fn a_call_that_is_not_polled_any_more_holds_up_nobody() {
    let (exchange, mut daemon) = connected();
    let mut left = pin!(len(&exchange));
    assert!(futures::poll!(&mut left).is_pending());
    let answering = async {
        for _ in 0..2 {
            let id = daemon.hear_call().await;
            daemon.answer(id, answer(id)).await;
        }
    };
    let (other, ()) = futures::join!(len(&exchange), answering);
    assert_eq!(other.unwrap(), 2);
    assert_eq!(left.await.unwrap(), 1);
}

#[tokio::test]
async fn the_daemon_is_told_of_a_call_that_is_given_up() {
    let (exchange, mut daemon) = connected();
    {
        let mut given_up = pin!(len(&exchange));
        assert!(futures::poll!(&mut given_up).is_pending());
    }
    let id = daemon.hear_call().await;
    assert!(matches!(daemon.hear().await, ClientMessage::Cancel { request_id, .. } if request_id == id));
    // An answer that was on its way all the same is nobody's.
    daemon.answer(id, answer(1)).await;
    let (other, ()) = futures::join!(len(&exchange), async {
        let id = daemon.hear_call().await;
        daemon.answer(id, answer(7)).await;
    });
    assert_eq!(other.unwrap(), 7);
}

#[tokio::test]
async fn a_call_that_was_sent_is_lost_with_the_connection_and_a_later_one_is_known_not_to_be_sent() {
    let (exchange, mut daemon) = connected();
    let (lost, ()) = futures::join!(len(&exchange), async {
        daemon.hear_call().await;
        drop(daemon);
    });
    assert!(matches!(lost, Err(RpcError::Shutdown)));
    assert!(exchange.is_over());
    assert!(matches!(len(&exchange).await, Err(RpcError::Channel(ChannelError::Write(_)))));
}

#[test]
fn a_hang_up_that_no_reactor_saw_leaves_no_doubt_about_the_next_call() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let exchange = runtime.block_on(async { Exchange::new(ours) }).unwrap();
    assert!(!exchange.is_hung_up());
    drop(theirs);
    assert!(!exchange.is_over() && exchange.is_hung_up());
    let unsent = runtime.block_on(len(&exchange));
    assert!(matches!(unsent, Err(RpcError::Channel(ChannelError::Write(_)))), "{unsent:?}");
}

#[tokio::test]
async fn what_is_no_answer_ends_the_exchange() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let exchange = Exchange::new(ours).unwrap();
    theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    let garbled = len(&exchange).await;
    assert!(matches!(garbled, Err(RpcError::Channel(ChannelError::Read(_)))), "{garbled:?}");
}

/// tarpc's generated client panics where it gets another answer than it asked for.
#[tokio::test]
async fn an_answer_to_another_call_is_none() {
    let (exchange, mut daemon) = connected();
    let (garbled, ()) = futures::join!(len(&exchange), async {
        let id = daemon.hear_call().await;
        daemon.answer(id, CacheResponse::Stop(Ok(()))).await;
    });
    assert!(matches!(garbled, Err(RpcError::Channel(ChannelError::Read(_)))), "{garbled:?}");
}

#[tokio::test]
async fn a_call_that_is_too_long_is_refused_and_the_next_one_is_made() {
    let (exchange, mut daemon) = connected();
    let client = Client::from(exchange.clone());
    let refused = client.upload(soon(), 1, 0, Chunk(vec![0; MAX_MESSAGE])).await;
    assert!(matches!(refused, Err(RpcError::Send(_))), "{refused:?}");
    let (answered, ()) = futures::join!(len(&exchange), async {
        let id = daemon.hear_call().await;
        daemon.answer(id, answer(3)).await;
    });
    assert_eq!(answered.unwrap(), 3);
}

#[tokio::test]
async fn long_calls_go_through_a_socket_that_takes_a_piece_at_a_time() {
    let (exchange, mut daemon) = connected();
    let client = Client::from(exchange.clone());
    let uploads = (0..8).map(|upload| client.upload(soon(), upload, 0, Chunk(vec![1; 1 << 20])));
    let answering = async {
        for _ in 0..8 {
            let id = daemon.hear_call().await;
            daemon.answer(id, CacheResponse::Upload(Ok(()))).await;
        }
    };
    let (answers, ()) = futures::join!(futures::future::join_all(uploads), answering);
    assert!(answers.into_iter().all(|answer| answer.unwrap().is_ok()));
    assert_eq!(exchange.duplicate(), None);
}

/// Each would stay in memory until the daemon goes on, which may be never.
#[tokio::test]
async fn calls_that_are_given_up_while_the_daemon_takes_nothing_do_not_pile_up() {
    const LENGTH: usize = 1 << 20;
    let (exchange, _daemon) = connected();
    let client = Client::from(exchange.clone());
    let (mut waiting, mut calls) = (pin!(len(&exchange)), 0);
    assert!(futures::poll!(&mut waiting).is_pending());
    while !exchange.is_over() {
        let mut call = pin!(client.upload(soon(), 1, 0, Chunk(vec![1; LENGTH])));
        assert!(futures::poll!(&mut call).is_pending());
        calls += 1;
        assert!(calls * LENGTH <= TOO_MUCH + 4 * LENGTH, "{} bytes", exchange.0.lock().wire.unwritten());
    }
    assert!(matches!(waiting.await, Err(RpcError::Shutdown)));
    assert!(matches!(len(&exchange).await, Err(RpcError::Channel(ChannelError::Write(_)))));
}

#[test]
fn the_end_of_the_runtime_ends_the_exchange() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let exchange = runtime().block_on(async { Exchange::new(ours) }).unwrap();
    assert!(exchange.is_over());
    let unsent = runtime().block_on(len(&exchange));
    assert!(matches!(unsent, Err(RpcError::Channel(ChannelError::Write(_)))), "{unsent:?}");
}

#[test]
fn an_exchange_that_nobody_has_any_more_hangs_up() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let exchange = runtime.block_on(async { Exchange::new(ours) }).unwrap();
    drop(exchange);
    let read = std::io::Read::read(&mut &theirs, &mut [0]);
    assert_eq!(read.unwrap(), 0);
}
