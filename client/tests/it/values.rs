//! What goes in comes out, and what can't be meant is refused before anything is sent.

use std::io::Cursor;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datacache_client::{Codec, Config, DataCache, Expire, HashType, Json, Key, Lifetime, Tag, hash_of, json};
use datacache_proto::time::Timestamp;

use crate::fake::{FakeDaemon, Trouble, stored};

async fn opened(daemon: &FakeDaemon) -> DataCache {
    DataCache::open(daemon.options()).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_value_comes_back_as_what_it_was() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    let bytes = cache.add(b"\x00\xff").await.unwrap();
    let text = cache.add("é").await.unwrap();
    let number = cache.add(Json(vec![Some(1.5), None])).await.unwrap();
    assert_eq!(cache.get_as::<Vec<u8>>(bytes).await.unwrap().unwrap(), [0, 255]);
    assert_eq!(cache.get_as::<String>(text).await.unwrap().unwrap(), "é");
    assert_eq!(cache.get_json::<Vec<Option<f64>>>(&number).await.unwrap().unwrap(), [Some(1.5), None]);
    assert_eq!(stored(&daemon, number), Some((Codec::Json, b"[1.5, null]".to_vec())));
    assert!(cache.get("none").await.unwrap().is_none());
}

#[tokio::test]
async fn the_last_write_decides_the_type_and_a_reader_of_another_is_told() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    let key = cache.add(b"42").await.unwrap();
    assert_eq!(cache.add("42").await.unwrap(), key);
    assert_eq!(cache.add(json(&42)).await.unwrap(), key);
    assert!(cache.get_as::<Vec<u8>>(&key).await.unwrap_err().is_wrong_type());
    assert_eq!(cache.get_json::<i32>(&key).await.unwrap(), Some(42));
}

#[tokio::test]
async fn the_key_is_the_given_one_then_the_configured_one_then_the_hash() {
    let daemon = FakeDaemon::start();
    let configured = |config: Config| DataCache::open(daemon.options().config(config));
    let cache = configured(Config { hash_type: HashType::Md5, ..Config::default() }).await.unwrap();
    assert_eq!(cache.add("42").await.unwrap(), Key::from(hash_of("42", HashType::Md5).unwrap()));
    let cache = configured(Config { access_key: Some("access".into()), ..Config::default() }).await.unwrap();
    assert_eq!(cache.add("42").await.unwrap(), Key::from("access"));
    assert_eq!(cache.add("42").key(7).await.unwrap(), Key::from(7));
}

#[tokio::test]
async fn what_can_not_be_meant_is_refused_before_anything_is_sent() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    let errors = [
        cache.add("v").key("").await.unwrap_err(),
        cache.add("v").key("k".repeat(65_537)).await.unwrap_err(),
        cache.add("v").tag("").await.unwrap_err(),
        cache.add("v").tag("a\0b").await.unwrap_err(),
        cache.add("v").tags((0..65).map(|tag| tag.to_string())).await.unwrap_err(),
        cache.namespace("").add("v").await.unwrap_err(),
        cache.namespace("a\nb").get("k").await.unwrap_err(),
        cache.get("").await.unwrap_err(),
        cache.delete_many(["k", ""]).await.unwrap_err(),
        cache.evict_many(["t", ""]).await.unwrap_err(),
        cache.list().tag("").next_page().await.unwrap_err(),
        cache.list().prefix("p".repeat(65_537)).next_page().await.unwrap_err(),
        cache.touch("", Expire::Never).await.unwrap_err(),
        cache.add_reader(Cursor::new(b"\xff")).text().await.unwrap_err(),
        cache.add_reader(Cursor::new(b"{")).json().await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.is_invalid_input(), "{error}");
    }
    // How much there may be of what a reader yields is asked for before it is read.
    assert!(daemon.state().calls.iter().all(|(verb, _)| ["hello", "introduce"].contains(verb)));
}

#[tokio::test]
async fn tags_of_the_entry_and_of_the_configuration_are_sorted_and_each_is_there_once() {
    let daemon = FakeDaemon::start();
    let config = Config { tag: Some(Tag::new("all").unwrap()), ..Config::default() };
    let cache = DataCache::open(daemon.options().config(config)).await.unwrap();
    cache.add("v").key("k").tag("z").tags(["b", "z"]).await.unwrap();
    cache.set("other", "v").await.unwrap();
    let tags = cache.stat("k").await.unwrap().unwrap().tags;
    assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["all", "b", "z"]);
    assert_eq!(cache.evict("all").await.unwrap(), 2);
}

#[tokio::test]
async fn an_entry_ends_when_it_was_said_or_after_the_configured_time() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    let expires = async |key: &str| cache.stat(key).await.unwrap().unwrap().expires;
    let before = Timestamp::now();
    cache.set("default", "v").await.unwrap();
    let days = expires("default").await.unwrap().since(before).as_secs_f64() / 86_400.0;
    assert!((13.99..14.01).contains(&days), "{days} days");
    cache.add("v").key("never").expire(Lifetime::Never).await.unwrap();
    assert_eq!(expires("never").await, None);
    let moment = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    cache.add("v").key("at").expire(Expire::At(moment)).await.unwrap();
    assert_eq!(expires("at").await.map(SystemTime::from), Some(moment));
    assert!(cache.touch("at", Expire::Never).await.unwrap());
    assert_eq!(expires("at").await, None);
    assert!(!cache.touch("none", Expire::Never).await.unwrap());
}

#[tokio::test]
async fn a_configured_time_of_zero_is_never() {
    let daemon = FakeDaemon::start();
    let config = Config::from_json(r#"{"expireTime": 0}"#).unwrap();
    let cache = DataCache::open(daemon.options().config(config)).await.unwrap();
    cache.set("k", "v").await.unwrap();
    assert_eq!(cache.stat("k").await.unwrap().unwrap().expires, None);
}

#[tokio::test]
async fn namespaces_are_apart_and_share_a_connection() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    let other = cache.namespace("other");
    cache.set("k", "here").await.unwrap();
    assert!(!other.contains("k").await.unwrap());
    other.set("k", "there").await.unwrap();
    assert_eq!(other.clear().await.unwrap(), 1);
    assert_eq!((cache.len().await.unwrap(), other.is_empty().await.unwrap()), (1, true));
    assert_eq!(daemon.state().introductions.len(), 1);
}

#[tokio::test]
async fn deletes_say_how_many_were_there_and_many_keys_go_in_one_call() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    for key in 0..10_i64 {
        cache.set(key, "v").await.unwrap();
    }
    assert!(cache.delete(0).await.unwrap());
    assert!(!cache.delete(0).await.unwrap());
    assert_eq!(cache.delete_many(0..3_000_i64).await.unwrap(), 9);
    assert_eq!(daemon.state().calls_of("delete").len(), 3);
    assert_eq!(cache.expire().await.unwrap(), 0);
}

#[tokio::test]
async fn a_list_is_fetched_page_by_page() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    for key in ["a/1", "a/2", "a/3", "b/1"] {
        cache.add("v").key(key).tag(&key[..1]).await.unwrap();
    }
    let keys = |entries: Vec<datacache_client::Metadata>| entries.iter().map(|e| e.key.to_string()).collect::<Vec<_>>();
    let mut list = cache.list().page_size(2);
    assert_eq!(keys(list.next_page().await.unwrap().unwrap()), ["a/1", "a/2"]);
    assert_eq!(keys(list.next_page().await.unwrap().unwrap()), ["a/3", "b/1"]);
    assert!(list.next_page().await.unwrap().is_none());
    assert_eq!(keys(cache.list().prefix("a/").page_size(2).collect().await.unwrap()), ["a/1", "a/2", "a/3"]);
    assert_eq!(keys(cache.list().tag("b").collect().await.unwrap()), ["b/1"]);
}

#[tokio::test]
async fn a_durable_add_says_so_to_the_daemon() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    cache.add("v").key("k").durable().await.unwrap();
    let key = ("default".to_owned(), Key::from("k"));
    assert!(daemon.state().entries[&key].addition.durable);
}

#[tokio::test]
async fn a_stop_is_asked_for_once_and_an_absent_daemon_is_stopped_already() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    // A daemon that hangs up instead of an answer is stopping, too.
    daemon.trouble("stop", Trouble::HangUp);
    cache.stop_daemon().await.unwrap();
    assert_eq!(daemon.state().calls_of("stop").len(), 1);
    daemon.die();
    cache.stop_daemon().await.unwrap();
    assert!(cache.stats().await.unwrap_err().is_unavailable());
}
