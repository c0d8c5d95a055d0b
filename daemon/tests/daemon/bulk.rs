//! Changes of many entries at once.

use std::collections::BTreeSet;
use std::time::Duration;

use datacache_proto::key::{Key, MAX_KEY};
use datacache_proto::service::{Keys, Tags};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Addition, ListQuery};

use crate::harness::{Client, NAMESPACE, bytes, daemon_and_client, soon, tags, until};

/// More than a page of a plan, and no multiple of a slice.
const MANY: i64 = 2_500;

async fn add_many(client: &Client, tag: &str, from: i64) {
    let additions = (from..from + MANY).map(|number| Addition { tags: tags(&[tag]), ..bytes(number, b"v") });
    let adding = additions.map(|addition| client.rpc.add(soon(), client.call(), addition));
    for added in futures::future::join_all(adding).await {
        added.unwrap().unwrap();
    }
}

async fn evict(client: &Client, names: &[&str]) -> u64 {
    client.rpc.evict(soon(), client.call(), NAMESPACE.into(), Tags(tags(names))).await.unwrap().unwrap()
}

#[tokio::test(flavor = "local")]
async fn evicting_deletes_what_has_one_of_the_tags_and_counts_it_once() {
    let (_place, daemon, client) = daemon_and_client().await;
    add_many(&client, "one", 0).await;
    add_many(&client, "two", MANY).await;
    for key in ["both", "none"] {
        let names: &[&str] = if key == "both" { &["one", "two"] } else { &["three"] };
        client.add(Addition { tags: tags(names), ..bytes(key, b"v") }).await;
    }
    assert_eq!(evict(&client, &["one", "two"]).await, 2 * MANY.unsigned_abs() + 1);
    assert_eq!(client.len().await, 1);
    assert_eq!(evict(&client, &["one", "two"]).await, 0);
    assert!(client.has("none").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_neighbour_is_served_while_many_entries_go() {
    let (_place, daemon, client) = daemon_and_client().await;
    add_many(&client, "t", 0).await;
    let neighbour = daemon.client().await;
    let mut evicting = std::pin::pin!(evict(&client, &["t"]));
    let mut served_meanwhile = 0;
    while futures::poll!(&mut evicting).is_pending() {
        neighbour.add(bytes("neighbour", b"v")).await;
        served_meanwhile += 1;
    }
    assert!(served_meanwhile > 3, "the neighbour waited for all of it");
    assert!(neighbour.has("neighbour").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn clearing_empties_one_namespace() {
    let (_place, daemon, client) = daemon_and_client().await;
    add_many(&client, "t", 0).await;
    client.add(Addition { namespace: "other".into(), ..bytes("k", b"v") }).await;
    let clear =
        async |namespace: &str| client.rpc.clear(soon(), client.call(), namespace.into()).await.unwrap().unwrap();
    assert_eq!(clear(NAMESPACE).await, MANY.unsigned_abs());
    assert_eq!(client.len().await, 0);
    assert_eq!(client.rpc.len(soon(), "other".into()).await.unwrap(), Ok(1));
    assert_eq!(clear("never used").await, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn deleting_counts_what_was_there() {
    let (_place, daemon, client) = daemon_and_client().await;
    for key in ["a", "b"] {
        client.add(bytes(key, b"v")).await;
    }
    let keys = |names: &[&str]| names.iter().map(|name| Key::from(*name)).collect::<Vec<_>>();
    let delete = async |names: &[&str]| {
        client.rpc.delete(soon(), client.call(), NAMESPACE.into(), Keys(keys(names))).await.unwrap().unwrap()
    };
    assert_eq!(delete(&["a", "b", "c", "a"]).await, 2);
    assert_eq!(delete(&["a"]).await, 0);
    assert_eq!(delete(&[]).await, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_has_expired_is_removed_unasked() {
    let (_place, daemon, client) = daemon_and_client().await;
    let soon_over = || Some(Timestamp::now().after(Duration::from_millis(50)));
    let much_later = Some(Timestamp::now().after(Duration::from_secs(100_000)));
    client.add(Addition { expires: much_later, ..bytes("stays", b"v") }).await;
    for number in 0..600_i64 {
        client.add(Addition { expires: soon_over(), ..bytes(number, b"v") }).await;
    }
    client.rpc.touch(soon(), client.call(), NAMESPACE.into(), "stays".into(), soon_over()).await.unwrap().unwrap();
    let removed = async || client.rpc.stats(soon()).await.unwrap().unwrap().namespaces[0].expired;
    until(async || removed().await == 601).await;
    assert_eq!(client.rpc.stats(soon()).await.unwrap().unwrap().namespaces[0].bytes, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_entry_that_is_added_expired_is_removed_too() {
    let (_place, daemon, client) = daemon_and_client().await;
    let removed = async || client.rpc.stats(soon()).await.unwrap().unwrap().namespaces[0].expired;
    for round in 1..=2 {
        client.add(Addition { expires: Some(Timestamp::from_millis(5)), ..bytes("k", b"v") }).await;
        assert_eq!(client.len().await, 0);
        until(async || removed().await == round).await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn expiring_on_demand_counts_what_went() {
    let (_place, daemon, client) = daemon_and_client().await;
    client.add(bytes("stays", b"v")).await;
    let additions = (0..700_i64).map(|key| Addition { expires: Some(Timestamp::from_millis(5)), ..bytes(key, b"v") });
    let adding = additions.map(|addition| client.rpc.add(soon(), client.call(), addition));
    futures::future::join_all(adding).await;
    let asked = client.rpc.expire(soon(), client.call(), NAMESPACE.into()).await.unwrap().unwrap();
    let stats = client.rpc.stats(soon()).await.unwrap().unwrap();
    // The sweep that nobody asked for may have come first.
    assert!(asked <= 700 && stats.namespaces[0].expired == 700, "{asked} of {}", stats.namespaces[0].expired);
    assert_eq!(client.len().await, 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_list_comes_in_pages_that_fit_a_message_whatever_the_keys() {
    let (_place, daemon, client) = daemon_and_client().await;
    let name = |number: u32| format!("{number:03}{}", "k".repeat(60_000));
    for number in 0..120 {
        client.add(bytes(name(number).as_str(), b"v")).await;
    }
    client.add(Addition { expires: Some(Timestamp::from_millis(1)), ..bytes("gone", b"v") }).await;
    let mut after = None;
    let mut seen = BTreeSet::new();
    let mut pages = 0;
    loop {
        let query = ListQuery { namespace: NAMESPACE.into(), prefix: None, tag: None, after, limit: 4_096 };
        let page = client.rpc.list(soon(), query).await.unwrap().unwrap();
        pages += 1;
        for entry in page.entries {
            assert!(seen.insert(entry.key), "an entry was listed twice");
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..120).map(|number| Key::from(name(number))).collect());
    assert!(pages > 1);
    daemon.stop().await;
}

/// Evicting, clearing and expiring once took 256 entries at a time whatever their keys: those of 64 KiB did not fit one
/// frame of the log, and such entries could not be removed at all but one by one.
#[tokio::test(flavor = "local")]
async fn entries_with_the_longest_keys_go_like_others() {
    const LONG: u64 = 150;
    let (_place, daemon, client) = daemon_and_client().await;
    let padding = "-".repeat(MAX_KEY - 3);
    let key = |number: u64| format!("{number:03}{padding}");
    for number in 0..LONG {
        client.add(Addition { tags: tags(&["t"]), ..bytes(key(number), b"v") }).await;
    }
    assert_eq!(evict(&client, &["t"]).await, LONG);
    for number in 0..LONG {
        client.add(Addition { scope: Some(1), ..bytes(key(number), b"v") }).await;
    }
    assert_eq!(client.rpc.release(soon(), client.call(), 1).await.unwrap(), Ok(LONG));
    assert_eq!(client.len().await, 0);
    daemon.stop().await;
}
