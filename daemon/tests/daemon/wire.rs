//! Bytes that are no calls: only the connection that sends them suffers.

use std::io;
use std::pin::Pin;

use datacache_proto::codec::{MAX_MESSAGE, client_transport};
use datacache_proto::process::Process;
use datacache_proto::service::{CacheRequest, CacheResponse};
use datacache_proto::types::{Addition, Fallback, Introduction};
use futures::SinkExt;
use tarpc::{ClientMessage, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::harness::{Client, Place, bytes, daemon_and_client, hello, soon, tags, within};

/// Returns a request as it travels.
async fn frame(id: u64, message: CacheRequest) -> Vec<u8> {
    let (ours, mut other) = UnixStream::pair().unwrap();
    let mut transport = client_transport::<CacheRequest, CacheResponse>(ours);
    let context = soon();
    transport.send(ClientMessage::Request(Request { context, id, message })).await.unwrap();
    drop(transport);
    let mut frame = Vec::new();
    other.read_to_end(&mut frame).await.unwrap();
    frame
}

/// A connection that is introduced and speaks in bytes.
async fn raw(place: &Place) -> UnixStream {
    let mut stream = UnixStream::connect(place.socket()).await.unwrap();
    let introduction = Introduction { process: Process::current().unwrap(), scopes: Vec::new() };
    for (id, message) in
        [CacheRequest::Hello { hello: hello() }, CacheRequest::Introduce { introduction }].into_iter().enumerate()
    {
        stream.write_all(&frame(id as u64, message).await).await.unwrap();
        answer(&mut stream).await.unwrap();
    }
    stream
}

/// Reads one answer's bytes.
async fn answer(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    within(async {
        let length = stream.read_u32_le().await?;
        let mut answer = vec![0; length as usize];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    })
    .await
}

async fn is_hung_up(stream: &mut UnixStream) -> bool {
    match answer(stream).await {
        Ok(answer) => panic!("it was answered: {answer:?}"),
        Err(error) => {
            matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
        }
    }
}

async fn is_well(client: &Client) {
    client.add(bytes("still", b"here")).await;
    assert!(client.has("still").await);
}

#[tokio::test(flavor = "local")]
async fn garbage_ends_its_own_connection_only() {
    let (place, daemon, client) = daemon_and_client().await;
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0xff; 64],
        &[4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        // A frame of no bytes.
        &[0, 0, 0, 0],
    ];
    for bytes in garbage {
        let mut stream = UnixStream::connect(place.socket()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        assert!(is_hung_up(&mut stream).await, "{bytes:?}");
        is_well(&client).await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_frame_above_the_limit_is_not_waited_for() {
    let (place, daemon, client) = daemon_and_client().await;
    for length in [u32::MAX, u32::try_from(MAX_MESSAGE).unwrap() + 1] {
        let mut stream = raw(&place).await;
        stream.write_all(&length.to_le_bytes()).await.unwrap();
        assert!(is_hung_up(&mut stream).await);
    }
    is_well(&client).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn half_a_frame_holds_up_nobody() {
    let (place, daemon, client) = daemon_and_client().await;
    let whole = frame(9, CacheRequest::Len { namespace: "default".into() }).await;
    let mut waiting = Vec::new();
    for cut in 1..whole.len() {
        let mut stream = raw(&place).await;
        stream.write_all(&whole[..cut]).await.unwrap();
        waiting.push((stream, cut));
    }
    is_well(&client).await;
    for (mut stream, cut) in waiting {
        stream.write_all(&whole[cut..]).await.unwrap();
        assert!(!answer(&mut stream).await.unwrap().is_empty());
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_tag_with_a_nul_never_gets_in() {
    let (place, daemon, client) = daemon_and_client().await;
    let mut stream = raw(&place).await;
    let addition = Addition { tags: tags(&["tagged@here"]), ..bytes("k", b"v") };
    let mut frame = frame(9, CacheRequest::Add { call: client.call(), addition }).await;
    let at = frame.windows(7).position(|bytes| bytes == b"tagged@").unwrap() + 6;
    frame[at] = 0;
    stream.write_all(&frame).await.unwrap();
    assert!(is_hung_up(&mut stream).await);
    assert!(!client.has("k").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_client_that_never_reads_only_stops_itself() {
    let (place, daemon, client) = daemon_and_client().await;
    client.add(bytes("k", &[7; 30_000])).await;
    let deaf = raw(&place).await;
    let get =
        frame(9, CacheRequest::Get { namespace: "default".into(), key: "k".into(), fallback: Fallback::Off }).await;
    // It asks until the daemon takes no more of it.
    let mut asking = std::pin::pin!(ask_for_ever(deaf, &get));
    within(is_stuck(&client, asking.as_mut())).await;
    is_well(&client).await;
    daemon.stop().await;
}

/// A look at the whole store is one client's at a time, and its turn was once its connection's to end.
#[tokio::test(flavor = "local")]
async fn a_client_that_never_reads_does_not_keep_others_from_a_verification() {
    let (place, daemon, client) = daemon_and_client().await;
    client.add(bytes("k", &[7; 30_000])).await;
    let mut deaf = raw(&place).await;
    let verify = frame(9, CacheRequest::Verify { repair: false }).await;
    let get =
        frame(10, CacheRequest::Get { namespace: "default".into(), key: "k".into(), fallback: Fallback::Off }).await;
    deaf.write_all(&[verify, get.repeat(40)].concat()).await.unwrap();
    let mut asking = std::pin::pin!(ask_for_ever(deaf, &get));
    within(is_stuck(&client, asking.as_mut())).await;
    within(client.rpc.verify(soon(), false)).await.unwrap().unwrap();
    daemon.stop().await;
}

/// Waits until the daemon takes no more of what one client asks. Each look is itself a call.
async fn is_stuck(client: &Client, mut asking: Pin<&mut impl Future<Output = ()>>) {
    let mut before = 0;
    loop {
        assert!(futures::poll!(asking.as_mut()).is_pending());
        let now = client.rpc.stats(soon()).await.unwrap().unwrap().daemon.calls;
        if now == before + 1 {
            return;
        }
        before = now;
    }
}

async fn ask_for_ever(mut stream: UnixStream, call: &[u8]) {
    loop {
        stream.write_all(call).await.unwrap();
    }
}

#[tokio::test(flavor = "local")]
async fn calls_that_come_in_one_piece_are_all_answered() {
    let (place, daemon, client) = daemon_and_client().await;
    client.add(bytes("k", b"v")).await;
    let mut stream = raw(&place).await;
    let mut all = Vec::new();
    for id in 10..1_010 {
        all.extend(frame(id, CacheRequest::Contains { namespace: "default".into(), key: "k".into() }).await);
    }
    let (mut reading, mut writing) = stream.split();
    let read = async {
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let length = reading.read_u32_le().await.unwrap();
            let mut answer = vec![0; length as usize];
            reading.read_exact(&mut answer).await.unwrap();
            ids.insert(answer[..2].to_vec());
        }
        ids
    };
    let write = async { writing.write_all(&all).await.unwrap() };
    let (ids, ()) = within(async { tokio::join!(read, write) }).await;
    assert_eq!(ids.len(), 1_000, "some call was answered twice and another not at all");
    daemon.stop().await;
}
