//! Messages of any content and in any order, to a daemon that runs: whatever they are, it goes on, and answers the next client.
//!
//! The input is the frames that a client sends after it has introduced itself, each behind its length in two bytes.

#![no_main]

use std::cell::RefCell;

use datacache_fuzz::daemon::{DEADLINE, Daemon, connect, hello, introduction, soon};
use datacache_fuzz::place::Place;
use datacache_proto::codec::{put_request, take_answer};
use datacache_proto::service::{CacheRequest, CacheResponse};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// So many inputs go to one store: what they leave there shall not become much.
const INPUTS: u32 = 500;
/// The number of the last call, which tells that those before it were taken.
const LAST: u64 = u64::MAX;

thread_local! {
    static RUNNING: RefCell<Option<(Daemon, Place, u32)>> = const { RefCell::new(None) };
}

fuzz_target!(|bytes: &[u8]| RUNNING.with_borrow_mut(|running| {
    let (daemon, place, inputs) = running.take().filter(|(.., inputs)| *inputs < INPUTS).unwrap_or_else(|| {
        let place = Place::new();
        (Daemon::start(&place), place, 0)
    });
    let is_serving = daemon.with(async {
        let mut stream = UnixStream::connect(place.socket()).await.unwrap();
        if stream.write_all(&sent(bytes)).await.is_ok() {
            read_answers(&mut stream).await;
        }
        is_serving(&place).await
    });
    // A client may ask a daemon to stop; then it has to.
    if is_serving { *running = Some((daemon, place, inputs + 1)) } else { daemon.ended() }
}));

/// Tells whether the next client is answered.
async fn is_serving(place: &Place) -> bool {
    let Some(client) = connect(&place.socket(), Vec::new()).await else { return false };
    matches!(client.len(soon(), "default".into()).await, Ok(Ok(_)))
}

/// Puts together all that the client sends.
fn sent(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, 1, &CacheRequest::Hello { hello: hello() });
    put(&mut out, 2, &CacheRequest::Introduce { introduction: introduction(Vec::new()) });
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (frame, behind) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
        out.extend(u32::try_from(frame.len()).unwrap().to_le_bytes());
        out.extend(frame);
        bytes = behind;
    }
    put(&mut out, LAST, &CacheRequest::Len { namespace: "default".into() });
    out
}

fn put(out: &mut Vec<u8>, id: u64, request: &CacheRequest) {
    let mut frame = Vec::new();
    put_request(&mut frame, id, std::time::Instant::now() + DEADLINE, request).unwrap();
    out.extend(u32::try_from(frame.len()).unwrap().to_le_bytes());
    out.extend(frame);
}

/// Reads answers up to the last one, or until the daemon hangs up.
async fn read_answers(stream: &mut UnixStream) {
    while let Ok(length) = stream.read_u32_le().await {
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await.unwrap();
        let answer = take_answer::<CacheResponse>(&frame).unwrap();
        if answer.request_id == LAST {
            return;
        }
    }
}
