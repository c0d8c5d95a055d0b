//! How a daemon ends, and what it leaves.

use std::fs;
use std::time::Duration;

use datacache_daemon::{OpenStore, RunError};
use datacache_proto::error::WireError;
use datacache_proto::layout::RECENT;
use datacache_proto::recent::{Mapped, View, Word, Words};

use crate::harness::{Daemon, NAMESPACE, Place, bytes, daemon_and_client, shared_words, soon, until, within};

#[tokio::test(flavor = "local")]
async fn socket_and_store_lead_to_each_other_while_it_runs() {
    let (place, daemon, client) = daemon_and_client().await;
    let links = || [place.folder.path().join("store"), place.store().join("sock")].map(|link| fs::read_link(link).ok());
    assert_eq!(links(), [Some(place.store()), Some(place.socket())]);
    assert_eq!(client.introduced.store, place.store().as_os_str().as_encoded_bytes());
    daemon.stop().await;
    assert_eq!(links(), [Some(place.store()), None]);
    assert!(!place.socket().exists());
}

#[tokio::test(flavor = "local")]
async fn a_client_can_end_it_and_what_was_added_is_there_afterwards() {
    let (place, daemon, client) = daemon_and_client().await;
    client.add(bytes("k", b"v")).await;
    client.rpc.stop(soon()).await.unwrap().unwrap();
    daemon.ended().await.unwrap();
    let daemon = Daemon::start(&place, |_| ());
    assert!(daemon.client().await.has("k").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn calls_under_way_are_answered_and_later_ones_told_that_it_stops() {
    let (_place, daemon, client) = daemon_and_client().await;
    let other = daemon.client().await;
    let adding = (0..200_i64).map(|key| client.rpc.add(soon(), client.call(), bytes(key, b"v")));
    let adding = futures::future::join_all(adding);
    let stop_and_ask = async {
        other.rpc.stop(soon()).await.unwrap().unwrap();
        other.rpc.len(soon(), NAMESPACE.into()).await
    };
    let (added, asked) = within(futures::future::join(adding, stop_and_ask)).await;
    for added in added.into_iter().flatten() {
        assert!(matches!(added, Ok(_) | Err(WireError::Stopping)), "{added:?}");
    }
    // The connection may be closed before the answer is read.
    assert!(matches!(asked, Ok(Err(WireError::Stopping)) | Err(_)), "{asked:?}");
    daemon.ended().await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn clients_are_told_how_long_to_poll_and_later_ones_the_later_setting() {
    let (_place, daemon, client) = daemon_and_client().await;
    assert_eq!(client.introduced.busy_poll, 50);
    daemon.config.send_modify(|config| config.busy_poll = Duration::ZERO);
    assert_eq!(daemon.client().await.introduced.busy_poll, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn only_one_daemon_has_a_store() {
    let (place, daemon, _client) = daemon_and_client().await;
    assert!(OpenStore::open(&place.config()).is_err());
    daemon.stop().await;
    OpenStore::open(&place.config()).unwrap();
}

#[tokio::test(flavor = "local")]
async fn it_leaves_when_nobody_needs_it() {
    let place = Place::new();
    let daemon = Daemon::start(&place, |config| config.idle_exit = Some(Duration::from_millis(20)));
    let client = daemon.client().await;
    client.add(bytes("k", b"v")).await;
    drop(client);
    daemon.ended().await.unwrap();
    assert!(!place.socket().exists());
}

#[tokio::test(flavor = "local")]
async fn it_stays_while_a_client_is_there_and_obeys_a_later_setting() {
    let (_place, daemon, client) = daemon_and_client().await;
    daemon.config.send_modify(|config| config.idle_exit = Some(Duration::from_millis(1)));
    for _ in 0..100 {
        client.add(bytes("k", b"v")).await;
    }
    drop(client);
    daemon.ended().await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn a_store_that_is_removed_under_it_ends_it_with_a_message() {
    let (place, daemon, client) = daemon_and_client().await;
    client.add(bytes("k", b"v")).await;
    fs::rename(place.store(), place.folder.path().join("elsewhere")).unwrap();
    let error = daemon.ended().await.unwrap_err();
    assert!(matches!(error, RunError::StoreGone { .. }), "{error}");
    assert!(!place.store().exists(), "it wrote into a folder that is not its own any more");
    let index = shared_words(&place.folder.path().join("elsewhere/current").join(RECENT));
    let view = Mapped::new(&index).unwrap().load(Word::View);
    assert!(View::from_word(view).is_over(), "its readers go on looking there");
}

#[tokio::test(flavor = "local")]
async fn a_connection_that_ends_is_forgotten() {
    let (_place, daemon, client) = daemon_and_client().await;
    for _ in 0..20 {
        daemon.client().await.len().await;
    }
    until(async || client.rpc.stats(soon()).await.unwrap().unwrap().daemon.connections == 1).await;
    daemon.stop().await;
}
