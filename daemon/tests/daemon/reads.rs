//! Counters, and looks at the store as a whole.

use datacache_proto::types::{Addition, Body, Fault};

use crate::additions::stage;
use crate::harness::{NAMESPACE, bytes, daemon_and_client, soon, until};

#[tokio::test(flavor = "local")]
async fn the_counters_tell_what_happened() {
    let (_place, daemon, client) = daemon_and_client().await;
    client.add(bytes("a", b"12345")).await;
    client.add(Addition { namespace: "other".into(), ..bytes("a", b"1") }).await;
    client.get("a").await;
    client.get("a").await;
    client.get("missing").await;
    client.rpc.delete(soon(), client.call(), "other".into(), vec!["a".into()]).await.unwrap().unwrap();
    let stats = client.rpc.stats(soon()).await.unwrap().unwrap();
    let [first, other] = &stats.namespaces[..] else { panic!("{:?}", stats.namespaces) };
    assert_eq!((first.name.as_str(), first.entries, first.bytes), (NAMESPACE, 1, 5));
    assert_eq!((first.adds, first.hits, first.misses, first.deletes), (1, 2, 1, 0));
    assert_eq!((other.name.as_str(), other.entries, other.adds, other.deletes), ("other", 0, 1, 1));
    assert_eq!(stats.daemon.connections, 1);
    // hello, introduce, two additions, three reads, one delete, and this one.
    assert_eq!(stats.daemon.calls, 9);
    assert!(stats.daemon.frames >= 3 && stats.daemon.operations >= stats.daemon.frames);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_sound_store_has_no_findings() {
    let (place, daemon, client) = daemon_and_client().await;
    client.add(bytes("a", b"12345")).await;
    let body = stage(&place.staging(), "one.part", &[7; 100_000]);
    client.add(Addition { body, ..bytes("b", b"") }).await;
    let verification = client.rpc.verify(soon(), true).await.unwrap().unwrap();
    assert_eq!(verification.findings, []);
    assert_eq!(verification.blobs, 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_missing_blob_is_found_and_its_entry_removed() {
    let (place, daemon, client) = daemon_and_client().await;
    let body = stage(&place.staging(), "one.part", &[7; 100_000]);
    let Body::Staged { digest, .. } = body else { unreachable!("it is staged") };
    client.add(Addition { body, ..bytes("b", b"") }).await;
    client.add(bytes("a", b"sound")).await;
    std::fs::remove_file(datacache_proto::layout::blob_path(&place.store(), &digest)).unwrap();
    let verify = async |repair| client.rpc.verify(soon(), repair).await.unwrap().unwrap().findings;
    let found = verify(false).await;
    assert_eq!(
        found.iter().map(|finding| (finding.fault, finding.repaired)).collect::<Vec<_>>(),
        [(Fault::MissingBlob, false)]
    );
    let mended = verify(true).await;
    assert!(mended.iter().all(|finding| finding.repaired), "{mended:?}");
    until(async || verify(false).await.is_empty()).await;
    assert!(client.has("a").await && !client.has("b").await);
    daemon.stop().await;
}
