//! Counters, and looks at the store as a whole.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use datacache_daemon::store::Rule;
use datacache_proto::access::Access;
use datacache_proto::layout::ACCESS;
use datacache_proto::service::Keys;
use datacache_proto::types::{Addition, Body, Fallback, Fault, ReadStats};

use crate::additions::stage;
use crate::harness::{Client, Daemon, NAMESPACE, Place, bytes, daemon_and_client, shared_words, soon, until};

#[tokio::test(flavor = "local")]
async fn the_counters_tell_what_happened() {
    let (_place, daemon, client) = daemon_and_client().await;
    client.add(bytes("a", b"12345")).await;
    client.add(Addition { namespace: "other".into(), ..bytes("a", b"1") }).await;
    client.get("a").await;
    client.get("a").await;
    client.get("missing").await;
    client.rpc.delete(soon(), client.call(), "other".into(), Keys(vec!["a".into()])).await.unwrap().unwrap();
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
async fn an_empty_namespace_is_told_of_while_anything_of_it_is_counted_or_set() {
    let (place, daemon, client) = daemon_and_client().await;
    client.add(bytes("a", b"1")).await;
    for namespace in ["other", "third"] {
        client.add(Addition { namespace: namespace.into(), ..bytes("a", b"1") }).await;
        client.rpc.delete(soon(), client.call(), namespace.into(), Keys(vec!["a".into()])).await.unwrap().unwrap();
    }
    let names = async |client: &Client| {
        let stats = client.rpc.stats(soon()).await.unwrap().unwrap();
        stats.namespaces.into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&client).await, [NAMESPACE, "other", "third"]);
    daemon.stop().await;
    let daemon = Daemon::start(&place, |config| {
        config.rules.namespaces.insert("third".into(), Rule::default());
    });
    assert_eq!(names(&daemon.client().await).await, [NAMESPACE, "third"]);
    daemon.stop().await;
}

/// Counts reads in the store's first and second namespace as clients do, through the file.
#[expect(clippy::host_endian_bytes, reason = "who maps the file sees its bytes as words of this machine")]
fn read_directly(place: &Place) {
    let path = place.generation().join(ACCESS);
    let words = shared_words(&path);
    let access = Access::new(&words).unwrap();
    (0..3).for_each(|_| access.count(0, 1, true));
    access.count(5, 1, false);
    access.count(7, 2, false);
    access.count(7, u32::MAX, false);
    let bytes: Vec<u8> = words.iter().flat_map(|word: &AtomicU64| word.load(Relaxed).to_ne_bytes()).collect();
    std::fs::write(&path, bytes).unwrap();
}

async fn assert_direct_reads(client: &Client) {
    let stats = client.rpc.stats(soon()).await.unwrap().unwrap();
    let rows: Vec<_> = stats.namespaces.iter().map(|row| (row.direct_hits, row.direct_misses)).collect();
    assert_eq!((rows, stats.reads.direct_hits, stats.reads.direct_misses), (vec![(3, 1), (0, 1)], 3, 3));
}

#[tokio::test(flavor = "local")]
async fn what_clients_read_themselves_is_told_and_outlives_the_daemon() {
    let (place, daemon, client) = daemon_and_client().await;
    client.add(bytes("a", b"12345")).await;
    client.add(Addition { namespace: "other".into(), ..bytes("a", b"1") }).await;
    read_directly(&place);
    assert_direct_reads(&client).await;
    daemon.stop().await;
    let daemon = Daemon::start(&place, |_| ());
    assert_direct_reads(&daemon.client().await).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn reads_by_call_are_counted_by_their_reasons() {
    let (_place, daemon, client) = daemon_and_client().await;
    let space = || NAMESPACE.to_owned();
    client.rpc.get(soon(), space(), "a".into(), Fallback::Readers).await.unwrap().unwrap();
    client.rpc.get_many(soon(), space(), Keys(vec!["a".into(); 3]), Fallback::Off).await.unwrap().unwrap();
    client.rpc.get(soon(), space(), "a".into(), Fallback::Off).await.unwrap().unwrap();
    let reads = client.rpc.stats(soon()).await.unwrap().unwrap().reads;
    let fallbacks = vec![(Fallback::Off, 4), (Fallback::Readers, 1)];
    assert_eq!(reads, ReadStats { fallbacks, ..ReadStats::default() });
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
