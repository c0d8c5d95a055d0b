//! What no client should send: each is refused by name, and does no harm.

use datacache_proto::PROTOCOL;
use datacache_proto::error::WireError;
use datacache_proto::key::{Key, KeyError, MAX_KEY, NamespaceError, TagError};
use datacache_proto::process::Process;
use datacache_proto::service::{Chunk, Keys, Tags};
use datacache_proto::types::{Addition, Body, CallId, Codec, Fallback, Hello, Introduction, ListQuery};

use crate::harness::{NAMESPACE, bytes, daemon_and_client, hello, soon, stranger, tags};

fn query(limit: u32) -> ListQuery {
    ListQuery { namespace: NAMESPACE.into(), prefix: None, tag: None, after: None, limit }
}

#[tokio::test(flavor = "local")]
async fn every_bound_of_an_addition_is_checked() {
    let (_place, daemon, client) = daemon_and_client().await;
    let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let many = tags(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let control = "a\nb".to_owned();
    let large = 32 * 1024 + 1;
    let out_of_range = WireError::OutOfRange { field: "body.inline".into(), value: large, min: 0, max: large - 1 };
    let base = || bytes("k", b"v");
    let cases = [
        (Addition { key: Key::text(""), ..base() }, KeyError::Empty.into()),
        (
            Addition { key: Key::bytes(&[0; MAX_KEY + 1]), ..base() },
            KeyError::TooLong { length: MAX_KEY as u64 + 1 }.into(),
        ),
        (Addition { tags: many, ..base() }, TagError::TooMany { count: 65 }.into()),
        (Addition { namespace: String::new(), ..base() }, NamespaceError::Empty.into()),
        (Addition { namespace: "n".repeat(256), ..base() }, NamespaceError::TooLong { length: 256 }.into()),
        (
            Addition { namespace: control.clone(), ..base() },
            NamespaceError::ControlCharacter { name: control.clone() }.into(),
        ),
        (
            Addition { codec: Codec::Text, body: Body::Inline(b"ab\xff".to_vec()), ..base() },
            WireError::NotText { valid_up_to: 2 },
        ),
        (
            Addition { codec: Codec::Json, body: Body::Inline(b"\xff".to_vec()), ..base() },
            WireError::NotText { valid_up_to: 0 },
        ),
        (Addition { body: Body::Inline(vec![0; 32 * 1024 + 1]), ..base() }, out_of_range),
        (
            Addition { body: Body::Uploaded { upload: 9, length: 1 }, ..base() },
            WireError::Upload { upload: 9, length: 1 },
        ),
    ];
    for (addition, expected) in cases {
        let shown = format!("{:?}", addition.key).chars().take(40).collect::<String>();
        assert_eq!(client.try_add(addition).await, Err(expected), "{shown}");
    }
    assert_eq!(client.len().await, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn the_bounds_of_every_other_call_are_checked() {
    let (_place, daemon, client) = daemon_and_client().await;
    let rpc = &client.rpc;
    client.add(bytes("k", b"v")).await;
    let name = || NAMESPACE.to_owned();
    let empty = || Key::text("");
    let no_key = WireError::from(KeyError::Empty);
    assert_eq!(rpc.get(soon(), name(), empty(), Fallback::Off).await.unwrap(), Err(no_key.clone()));
    assert_eq!(rpc.contains(soon(), name(), empty()).await.unwrap(), Err(no_key.clone()));
    assert_eq!(rpc.stat(soon(), name(), empty()).await.unwrap(), Err(no_key.clone()));
    assert_eq!(rpc.open(soon(), name(), empty()).await.unwrap(), Err(no_key.clone()));
    assert_eq!(rpc.touch(soon(), client.call(), name(), empty(), None).await.unwrap(), Err(no_key.clone()));
    let keys = vec!["k".into(), empty()];
    assert_eq!(rpc.delete(soon(), client.call(), name(), Keys(keys)).await.unwrap(), Err(no_key));
    let keys = vec![Key::from("k"); 8_193];
    let too_many = WireError::OutOfRange { field: "keys".into(), value: 8_193, min: 0, max: 8_192 };
    assert_eq!(rpc.delete(soon(), client.call(), name(), Keys(keys)).await.unwrap(), Err(too_many));
    let nameless = WireError::from(NamespaceError::Empty);
    assert_eq!(rpc.len(soon(), String::new()).await.unwrap(), Err(nameless.clone()));
    assert_eq!(rpc.clear(soon(), client.call(), String::new()).await.unwrap(), Err(nameless.clone()));
    assert_eq!(rpc.expire(soon(), client.call(), String::new()).await.unwrap(), Err(nameless.clone()));
    assert_eq!(rpc.evict(soon(), client.call(), String::new(), Tags(tags(&["t"]))).await.unwrap(), Err(nameless));
    for limit in [0, 4_097] {
        let expected = WireError::OutOfRange { field: "limit".into(), value: limit.into(), min: 1, max: 4_096 };
        assert_eq!(rpc.list(soon(), query(limit)).await.unwrap(), Err(expected));
    }
    let chunk = || Chunk(vec![0; (1 << 20) + 1]);
    let expected = WireError::OutOfRange { field: "chunk".into(), value: (1 << 20) + 1, min: 0, max: 1 << 20 };
    assert_eq!(rpc.upload(soon(), 1, 0, chunk()).await.unwrap(), Err(expected));
    assert_eq!(rpc.read(soon(), 3, 0, 1).await.unwrap(), Err(WireError::Handle { handle: 3 }));
    assert_eq!(rpc.close(soon(), 3).await.unwrap(), Err(WireError::Handle { handle: 3 }));
    assert!(client.has("k").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn nothing_is_answered_before_both_sides_know_each_other() {
    let (place, daemon, _client) = daemon_and_client().await;
    let rpc = stranger(&place.socket()).await;
    let introduction = || Introduction { process: Process::current().unwrap(), scopes: Vec::new() };
    let call = CallId { client: 1, number: 1 };
    let unknown = WireError::NotIntroduced;
    assert_eq!(rpc.introduce(soon(), introduction()).await.unwrap(), Err(unknown.clone()));
    for is_greeted in [false, true] {
        if is_greeted {
            rpc.hello(soon(), hello()).await.unwrap().unwrap();
        }
        let name = || NAMESPACE.to_owned();
        let key = || Key::from("k");
        assert_eq!(rpc.add(soon(), call, bytes("k", b"v")).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.get(soon(), name(), key(), Fallback::Off).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.contains(soon(), name(), key()).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.stat(soon(), name(), key()).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.touch(soon(), call, name(), key(), None).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.delete(soon(), call, name(), Keys(vec![key()])).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.evict(soon(), call, name(), Tags(tags(&["t"]))).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.expire(soon(), call, name()).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.clear(soon(), call, name()).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.release(soon(), call, 1).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.len(soon(), name()).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.list(soon(), query(1)).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.stats(soon()).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.upload_begin(soon()).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.upload(soon(), 1, 0, Chunk(Vec::new())).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.open(soon(), name(), key()).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.read(soon(), 1, 0, 1).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.close(soon(), 1).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.verify(soon(), false).await.unwrap(), Err(unknown.clone()));
        assert_eq!(rpc.stop(soon()).await.unwrap(), Err(unknown.clone()));
    }
    rpc.introduce(soon(), introduction()).await.unwrap().unwrap();
    assert_eq!(rpc.len(soon(), NAMESPACE.into()).await.unwrap(), Ok(0));
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_client_of_another_protocol_is_told_which_one_is_spoken() {
    let (place, daemon, _client) = daemon_and_client().await;
    let rpc = stranger(&place.socket()).await;
    for (min, max) in [(PROTOCOL + 1, PROTOCOL + 5), (0, PROTOCOL - 1), (PROTOCOL + 1, PROTOCOL - 1)] {
        let hello = Hello { protocol_min: min, protocol_max: max, build: "other".into() };
        let told = rpc.hello(soon(), hello).await.unwrap().unwrap_err();
        assert!(matches!(told, WireError::Version { min: PROTOCOL, max: PROTOCOL, .. }), "{told}");
    }
    let wide = Hello { protocol_min: 0, protocol_max: PROTOCOL + 5, build: "newer".into() };
    assert_eq!(rpc.hello(soon(), wide).await.unwrap().unwrap().protocol, PROTOCOL);
    daemon.stop().await;
}
