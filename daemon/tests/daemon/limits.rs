//! Limits that the settings draw.

use datacache_proto::error::{Resource, WireError};
use datacache_proto::service::Chunk;
use datacache_proto::types::{Addition, Body, Digest};

use crate::harness::{Daemon, Place, bytes, daemon_and_client, hello, soon, stranger, until};

#[tokio::test(flavor = "local")]
async fn a_connection_above_the_limit_is_told_so_and_there_is_room_when_one_goes() {
    let place = Place::new();
    let daemon = Daemon::start(&place, |config| config.max_connections = 2);
    let (first, second) = (daemon.client().await, daemon.client().await);
    let third = stranger(&place.socket()).await;
    let busy = WireError::Busy { what: Resource::Connections, limit: 2 };
    assert_eq!(third.hello(soon(), hello()).await.unwrap(), Err(busy));
    assert_eq!(first.rpc.stats(soon()).await.unwrap().unwrap().daemon.refused, 1);
    drop(second);
    until(async || first.rpc.stats(soon()).await.unwrap().unwrap().daemon.connections == 1).await;
    let fourth = daemon.client().await;
    assert_eq!(fourth.len().await, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn more_calls_than_are_taken_at_a_time_wait_and_are_all_done() {
    let place = Place::new();
    let daemon = Daemon::start(&place, |config| config.calls_per_connection = 2);
    let client = daemon.client().await;
    let adding = (0..300_i64).map(|key| {
        let addition = Addition { durable: key % 10 == 0, ..bytes(key, b"v") };
        client.rpc.add(soon(), client.call(), addition)
    });
    for added in futures::future::join_all(adding).await {
        added.unwrap().unwrap();
    }
    assert_eq!(client.len().await, 300);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_value_above_the_limit_is_refused_before_its_bytes_are_looked_for() {
    let (_place, daemon, client) = daemon_and_client().await;
    client.add(bytes("k", b"12345")).await;
    daemon.config.send_modify(|config| config.value_max = Some(4));
    let too_large = Err(WireError::TooLarge { size: 5, limit: 4 });
    let staged = Body::Staged { name: "not there".into(), length: 5, digest: Digest([0; 32]) };
    let uploaded = Body::Uploaded { upload: 1, length: 5 };
    for body in [Body::Inline(b"12345".to_vec()), staged, uploaded] {
        assert_eq!(client.try_add(Addition { body, ..bytes("k", b"") }).await, too_large);
    }
    let upload = client.rpc.upload_begin(soon()).await.unwrap().unwrap();
    let sent = client.rpc.upload(soon(), upload, 3, Chunk(b"45".to_vec())).await.unwrap();
    assert_eq!(sent, Err(WireError::TooLarge { size: 5, limit: 4 }));
    client.add(bytes("k", b"1234")).await;
    let fits = async |namespace: &str, size| client.rpc.fits(soon(), namespace.into(), size).await.unwrap();
    assert_eq!((fits("new", 4).await, fits("new", 5).await), (Ok(()), Err(WireError::TooLarge { size: 5, limit: 4 })));
    assert!(matches!(fits("", 4).await, Err(WireError::Namespace(_))));
    daemon.stop().await;
}

/// A daemon within another program has no file that it could read, and goes on with what that program says.
#[tokio::test(flavor = "local")]
async fn settings_that_come_from_no_file_are_not_read_again() {
    let (_place, daemon, client) = daemon_and_client().await;
    daemon.config.send_modify(|config| config.value_max = Some(4));
    let refused = client.rpc.reload(soon()).await.unwrap().unwrap_err();
    assert!(matches!(refused, WireError::Settings { .. }), "{refused}");
    let too_large = Err(WireError::TooLarge { size: 5, limit: 4 });
    assert_eq!(client.try_add(bytes("k", b"12345")).await, too_large);
    daemon.stop().await;
}
