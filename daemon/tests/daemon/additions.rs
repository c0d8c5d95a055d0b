//! Adding, and finding again what was added.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use datacache_proto::error::{StagedFault, WireError};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Addition, Body, Codec, Digest, Lookup};
use sha2::Digest as _;

use crate::harness::{NAMESPACE, bytes, daemon_and_client, soon, tags};

/// Puts a file where clients stage theirs; returns what an addition says of it.
pub(crate) fn stage(staging: &Path, name: &str, content: &[u8]) -> Body {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(staging.join(name)).unwrap();
    file.write_all(content).unwrap();
    let digest = Digest(sha2::Sha256::digest(content).into());
    Body::Staged { name: name.into(), length: content.len() as u64, digest }
}

#[tokio::test(flavor = "local")]
async fn what_was_added_is_found_with_its_codec() {
    let (_place, daemon, client) = daemon_and_client().await;
    let added = client.add(Addition { codec: Codec::Text, ..bytes("k", b"value") }).await;
    assert!(!added.replaced);
    let found = Lookup::Inline { codec: Codec::Text, version: added.version, value: b"value".to_vec() };
    assert_eq!(client.get("k").await, found);
    assert_eq!(client.get("other").await, Lookup::Miss);
    assert!(client.has("k").await && !client.has("other").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn adding_again_replaces_value_expiry_and_tags() {
    let (_place, daemon, client) = daemon_and_client().await;
    let expires = Some(Timestamp::now().after(Duration::from_secs(1_000)));
    let first = client.add(Addition { expires, tags: tags(&["b", "a", "b"]), ..bytes("k", b"1") }).await;
    let stat = async || client.rpc.stat(soon(), NAMESPACE.into(), "k".into()).await.unwrap().unwrap().unwrap();
    let metadata = stat().await;
    assert_eq!((metadata.expires, metadata.tags, metadata.size), (expires, tags(&["a", "b"]), 1));
    let second = client.add(bytes("k", b"22")).await;
    assert!(second.replaced && second.version > first.version);
    let metadata = stat().await;
    assert_eq!((metadata.expires, metadata.tags, metadata.size), (None, Vec::new(), 2));
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_durable_addition_is_answered_and_there_after_a_restart() {
    let (place, daemon, client) = daemon_and_client().await;
    client.add(Addition { durable: true, ..bytes("k", b"value") }).await;
    daemon.stop().await;
    let daemon = crate::harness::Daemon::start(&place, |_| ());
    assert!(daemon.client().await.has("k").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_staged_file_becomes_a_blob() {
    let (place, daemon, client) = daemon_and_client().await;
    let content = vec![7; 100_000];
    let body = stage(&place.staging(), "one.part", &content);
    let Body::Staged { digest, length, .. } = body else { unreachable!("it is staged") };
    let added = client.add(Addition { body, durable: true, ..bytes("k", b"") }).await;
    let found = Lookup::Blob { codec: Codec::Bytes, version: added.version, length, digest };
    assert_eq!(client.get("k").await, found);
    assert_eq!(fs::read(datacache_proto::layout::blob_path(&place.store(), &digest)).unwrap(), content);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_staged_file_that_is_not_what_was_said_is_refused() {
    let (place, daemon, client) = daemon_and_client().await;
    let staged = |name: &str| match stage(&place.staging(), name, b"content") {
        Body::Staged { digest, .. } => digest,
        _ => unreachable!("it is staged"),
    };
    let digest = staged("short.part");
    fs::create_dir(place.staging().join("folder.part")).unwrap();
    let cases = [
        ("missing.part", 7, StagedFault::Missing),
        ("short.part", 8, StagedFault::Length { expected: 8, actual: 7 }),
        ("../cache/lock", 7, StagedFault::Name),
        ("folder.part", 7, StagedFault::NotRegular),
    ];
    for (name, length, fault) in cases {
        let body = Body::Staged { name: name.into(), length, digest };
        let refused = client.try_add(Addition { body, ..bytes("k", b"") }).await;
        assert_eq!(refused, Err(WireError::Staged { name: name.into(), fault }));
    }
    assert!(!client.has("k").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_addition_that_is_given_up_at_once_leaves_the_daemon_serving() {
    let (_place, daemon, client) = daemon_and_client().await;
    for number in 0..50_i64 {
        let mut given_up = std::pin::pin!(client.rpc.add(soon(), client.call(), bytes(number, b"x")));
        assert!(futures::poll!(&mut given_up).is_pending());
    }
    client.add(bytes("last", b"x")).await;
    assert!(client.len().await >= 1);
    daemon.stop().await;
}
