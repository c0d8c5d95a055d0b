//! Every number at its end, and every name empty or of bytes that are none: each is answered or hung up on, and nothing panics.

use std::fs;

use datacache_proto::PROTOCOL;
use datacache_proto::key::Key;
use datacache_proto::process::Process;
use datacache_proto::service::{CacheRequest, CacheResponse, Chunk, Keys, Tags};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Addition, Body, CallId, Codec, Digest, Fallback, Hello, Introduction, ListQuery};
use datacache_tests::Home;

use super::check_others;
use super::raw::{Raw, frame};
use crate::wire::addition;

const ENDS: [u64; 5] = [0, 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];

/// Returns all calls with a number at one of its ends.
fn calls(end: u64) -> Vec<CacheRequest> {
    let (namespace, key) = (|| "default".to_owned(), || Key::text("k"));
    let call = CallId { client: end, number: end };
    let small = u32::try_from(end).unwrap_or(u32::MAX);
    let moment = Timestamp::from_millis(end);
    let process = Process { boot: u128::from(end) << 64 | u128::from(end), pid: small, start: end };
    let bodies = [
        Body::Inline(b"v".to_vec()),
        Body::Staged { name: "n".into(), length: end, digest: Digest([0xff; 32]) },
        Body::Uploaded { upload: end, length: end },
        Body::Uploaded { upload: 1, length: end },
    ];
    let added = bodies.map(|body| Addition { expires: Some(moment), scope: Some(end), ..addition("k", body) });
    let list =
        |after: Option<Vec<u8>>| ListQuery { namespace: namespace(), prefix: None, tag: None, after, limit: small };
    let many = CacheRequest::AddMany { call: CallId { number: end ^ 1, ..call }, additions: added.to_vec().into() };
    let mut calls = vec![many];
    calls.extend(added.into_iter().map(|addition| CacheRequest::Add { call, addition }));
    calls.extend([
        CacheRequest::UploadBegin {},
        CacheRequest::Upload { upload: 1, offset: end, chunk: Chunk(vec![1; 9]) },
        CacheRequest::Upload { upload: end, offset: end, chunk: Chunk(Vec::new()) },
        CacheRequest::Touch { call, namespace: namespace(), key: key(), expires: Some(moment) },
        CacheRequest::Open { namespace: namespace(), key: key() },
        CacheRequest::Read { handle: 2, offset: end, length: end },
        CacheRequest::Read { handle: end, offset: end, length: 1 },
        CacheRequest::Close { handle: end },
        CacheRequest::List { query: list(None) },
        CacheRequest::List { query: list(Some(vec![0xff; 600])) },
        CacheRequest::List { query: list(Some(Vec::new())) },
        CacheRequest::Release { call, scope: end },
        CacheRequest::Expire { call, namespace: namespace() },
        CacheRequest::Evict { call, namespace: namespace(), tags: Tags(Vec::new()) },
        CacheRequest::Delete { call, namespace: namespace(), keys: Keys(Vec::new()) },
        CacheRequest::GetMany { namespace: namespace(), keys: Keys(Vec::new()), fallback: Fallback::Off },
        CacheRequest::Clear { call, namespace: "nothing was ever added to it".into() },
        CacheRequest::Introduce { introduction: Introduction { process, scopes: ENDS.to_vec() } },
        CacheRequest::Add {
            call,
            addition: Addition { scope: Some(end), codec: Codec::Text, ..addition("k", Body::Inline(Vec::new())) },
        },
        CacheRequest::Hello { hello: Hello { protocol_min: small, protocol_max: small, build: String::new() } },
    ]);
    calls
}

/// Returns bytes that a message never has where they are put into this one.
fn damaged(frame: &[u8], seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = frame.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(4..bytes.len());
        bytes[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xff]).unwrap();
    }
    bytes
}

#[test]
fn numbers_at_their_ends_and_damaged_calls_are_answered_or_hung_up_on_and_nothing_panics() {
    let home = Home::new();
    home.start();
    let daemon = home.daemon().pid();
    for end in ENDS {
        let mut raw = Raw::introduced(&home);
        let calls = calls(end);
        calls.iter().for_each(|call| raw.say(call));
        for _ in &calls {
            raw.hear().expect("each is answered");
        }
        for (seed, call) in calls.iter().cycle().take(400).enumerate() {
            let bytes = damaged(&frame(1_000 + seed as u64, call), seed as u64 ^ end);
            let mut raw = Raw::introduced(&home);
            raw.send(&bytes);
            // What is understood is answered, sooner or later; the end of another connection says that all was read.
            raw.send(&0xffff_ffff_u32.to_le_bytes());
        }
    }
    let mut last = Raw::introduced(&home);
    assert!(matches!(last.ask(&CacheRequest::Len { namespace: "default".into() }), CacheResponse::Len(Ok(_))));
    assert!(matches!(
        last.ask(&CacheRequest::Hello { hello: crate::wire::hello(PROTOCOL, PROTOCOL) }),
        CacheResponse::Hello(Ok(_))
    ));
    let log = fs::read_to_string(home.store().join("daemon.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
    // A damaged `stop` does not spell `stop`: none was sent.
    assert_eq!(home.daemon().pid(), daemon);
    check_others(&home);
}
