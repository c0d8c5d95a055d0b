//! Calls that are repeated because their answer was lost: done once, answered twice.

use datacache_proto::service::{Keys, Tags};
use datacache_proto::types::Addition;

use crate::additions::stage;
use crate::harness::{Client, Daemon, NAMESPACE, Place, bytes, daemon_and_client, soon, tags, until};

#[tokio::test(flavor = "local")]
async fn a_repeated_change_is_answered_from_the_kept_reply() {
    let (_place, daemon, client) = daemon_and_client().await;
    let again = daemon.client().await;
    let call = client.call();
    let first = client.rpc.add(soon(), call, bytes("k", b"v")).await.unwrap().unwrap();
    client.add(bytes("k", b"newer")).await;
    assert_eq!(again.rpc.add(soon(), call, bytes("k", b"v")).await.unwrap(), Ok(first));
    let call = client.call();
    let delete = async |client: &Client| {
        client.rpc.delete(soon(), call, NAMESPACE.into(), Keys(vec!["k".into()])).await.unwrap().unwrap()
    };
    assert_eq!(delete(&client).await, 1);
    client.add(bytes("k", b"newest")).await;
    assert_eq!(delete(&again).await, 1);
    assert!(client.has("k").await, "it was deleted twice");
    let call = client.call();
    let touch = async || client.rpc.touch(soon(), call, NAMESPACE.into(), "k".into(), None).await.unwrap().unwrap();
    assert!(touch().await);
    client.rpc.delete(soon(), client.call(), NAMESPACE.into(), Keys(vec!["k".into()])).await.unwrap().unwrap();
    assert!(touch().await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_repeated_addition_finds_its_file_adopted_and_its_upload_gone() {
    let (place, daemon, client) = daemon_and_client().await;
    let content = vec![7; 100_000];
    let body = stage(&place.staging(), "one.part", &content);
    let call = client.call();
    let addition = Addition { body, ..bytes("k", b"") };
    let first = client.rpc.add(soon(), call, addition.clone()).await.unwrap().unwrap();
    std::fs::remove_file(place.staging().join("one.part")).ok();
    assert_eq!(daemon.client().await.rpc.add(soon(), call, addition).await.unwrap(), Ok(first));

    let call = client.call();
    let upload = client.rpc.upload_begin(soon()).await.unwrap().unwrap();
    let chunk = datacache_proto::service::Chunk(b"sent".to_vec());
    client.rpc.upload(soon(), upload, 0, chunk).await.unwrap().unwrap();
    let body = datacache_proto::types::Body::Uploaded { upload, length: 4 };
    let addition = Addition { body, ..bytes("u", b"") };
    let first = client.rpc.add(soon(), call, addition.clone()).await.unwrap().unwrap();
    assert_eq!(daemon.client().await.rpc.add(soon(), call, addition).await.unwrap(), Ok(first));
    daemon.stop().await;
}

/// A client does not know that its first attempt succeeded, and sends the value once more: that upload once stayed open.
#[tokio::test(flavor = "local")]
async fn a_value_that_is_sent_again_for_nothing_leaves_no_file() {
    let (place, daemon, client) = daemon_and_client().await;
    let again = daemon.client().await;
    let call = client.call();
    for rpc in [&client.rpc, &again.rpc] {
        let upload = rpc.upload_begin(soon()).await.unwrap().unwrap();
        let body = datacache_proto::types::Body::Uploaded { upload, length: 0 };
        rpc.add(soon(), call, Addition { body, ..bytes("k", b"") }).await.unwrap().unwrap();
    }
    until(async || std::fs::read_dir(place.staging()).unwrap().count() == 0).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_change_that_is_repeated_after_a_restart_is_done_once() {
    let place = Place::new();
    let daemon = Daemon::start(&place, |_| ());
    let client = daemon.client().await;
    let call = client.call();
    let first = client.rpc.add(soon(), call, bytes("k", b"v")).await.unwrap().unwrap();
    client.add(bytes("k", b"newer")).await;
    daemon.stop().await;
    let daemon = Daemon::start(&place, |_| ());
    let client = daemon.client().await;
    assert_eq!(client.rpc.add(soon(), call, bytes("k", b"v")).await.unwrap(), Ok(first));
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_bulk_change_outlives_the_connection_that_asked_for_it() {
    let (_place, daemon, client) = daemon_and_client().await;
    let additions = (0..2_000_i64).map(|key| Addition { tags: tags(&["t"]), ..bytes(key, b"v") });
    let adding = additions.map(|addition| client.rpc.add(soon(), client.call(), addition));
    futures::future::join_all(adding).await;
    let lost = daemon.client().await;
    let call = client.call();
    {
        let mut asked = std::pin::pin!(lost.rpc.evict(soon(), call, NAMESPACE.into(), Tags(tags(&["t"]))));
        assert!(futures::poll!(&mut asked).is_pending());
        // The daemon has it once a later call on that connection is answered.
        lost.len().await;
    }
    drop(lost);
    let evict = client.rpc.evict(soon(), call, NAMESPACE.into(), Tags(tags(&["t"]))).await.unwrap();
    assert_eq!(evict, Ok(2_000), "the repeated call did not join the one under way");
    assert_eq!(client.len().await, 0);
    daemon.stop().await;
}

/// A repeated addition of a staged value was once answered before the value was durable, although that was asked for.
#[tokio::test(flavor = "local")]
async fn a_repeated_durable_addition_is_answered_when_it_is_on_the_disk() {
    let place = Place::new();
    let daemon = Daemon::start(&place, |config| config.sync_interval = std::time::Duration::from_secs(3_600));
    let client = daemon.client().await;
    let call = client.call();
    let body = stage(&place.staging(), "one.part", &[7; 100_000]);
    let addition = Addition { body, ..bytes("k", b"") };
    client.rpc.add(soon(), call, addition.clone()).await.unwrap().unwrap();
    let unsynced = async || client.rpc.stats(soon()).await.unwrap().unwrap().store.unsynced_bytes;
    let before = unsynced().await;
    client.rpc.add(soon(), call, Addition { durable: true, ..addition }).await.unwrap().unwrap();
    // Not zero: the note that the blob was hashed may come later, and nobody waits for that.
    assert!(unsynced().await < before);
    daemon.stop().await;
}
