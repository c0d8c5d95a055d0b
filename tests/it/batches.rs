//! Many entries at once: all or nothing, for everybody, whatever dies.

use std::time::{Duration, UNIX_EPOCH};

use datacache_client::blocking::DataCache;
use datacache_client::{Expire, Item, Value};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};
use futures::future::try_join_all;

use crate::support::{client, noise};

fn bytes(value: Option<Value>) -> Option<Vec<u8>> {
    value.map(|value| value.to_vec())
}

/// Asserts that of the batches that a client process adds with `add-batches` each is there whole or not at all.
#[track_caller]
pub(crate) fn assert_whole(cache: &DataCache, prefix: &str, size: u32) {
    let mut there = true;
    for batch in 0.. {
        let keys = (0..size).map(|number| number.to_string()).chain(["large".to_owned()]);
        let found = cache.get_many(keys.map(|number| format!("{prefix}{batch}/{number}"))).unwrap();
        let count = found.iter().filter(|value| value.is_some()).count();
        assert!(count == 0 || count == found.len(), "{count} of batch {batch} of {prefix}");
        if count == 0 && !std::mem::replace(&mut there, false) {
            return;
        }
        let large = found.last().unwrap().as_ref().map(|value| value.to_vec());
        assert!(count == 0 || large == Some(format!("{prefix}{batch} ").repeat(5_000).into_bytes()));
    }
}

#[test]
fn a_thousand_values_are_one_step_and_another_process_sees_them() {
    let home = Home::new();
    let cache = home.open();
    cache.set("before", "x").unwrap();
    let frames = || cache.stats().unwrap().daemon.frames;
    let before = frames();
    let keys = cache.add_many((0..1_000).map(|number| (format!("k{number}"), format!("v{number}")))).run().unwrap();
    assert_eq!(frames(), before + 1);
    assert_eq!((keys.len(), cache.len().unwrap()), (1_000, 1_001));
    let mut other = client(&home);
    for number in [0, 1, 500, 999] {
        assert_eq!(other.ask(&["get", &format!("k{number}")]), format!("v{number}"));
    }
    let asked = keys.iter().rev().cloned().chain(["missing".into()]);
    let found: Vec<_> = cache.get_many(asked).unwrap().into_iter().map(bytes).collect();
    let expected = (0..1_000).rev().map(|number| Some(format!("v{number}").into_bytes())).chain([None]);
    assert!(found.into_iter().eq(expected));
    assert_eq!(cache.delete_many(keys).unwrap(), 1_000);
    assert_eq!(other.ask(&["get", "k7"]), serde_json::Value::Null);
    assert_eq!(cache.len().unwrap(), 1);
}

#[test]
fn values_are_found_in_order_wherever_they_are() {
    let home = Home::new();
    let cache = home.open();
    let value = |number: u64| noise(number, if number.is_multiple_of(10) { 100_000 } else { 100 });
    let item = |number: u64| (number.cast_signed(), value(number));
    cache.add_many((0..100).map(item)).run().unwrap();
    // A restart brings these into LMDB; what comes later is in the log.
    home.run(["stop"]).text();
    let cache = home.open();
    cache.add_many((100..200).map(item)).run().unwrap();
    let found = cache.get_many((0..200).rev().map(|number: u64| number.cast_signed())).unwrap();
    for (number, found) in (0..200).rev().zip(found) {
        assert!(bytes(found) == Some(value(number)), "value {number}");
    }
}

#[test]
fn items_keep_their_own_key_expiry_and_tags() {
    let home = Home::new();
    let cache = home.open();
    let items = [
        Item::new("1").key("own").tag("mine").expire(Expire::Never),
        Item::new("2").key("common"),
        Item::new("3").key("over").expire(Expire::At(UNIX_EPOCH + Duration::from_secs(1))),
        Item::new("older").key("twice"),
        Item::new("newer").key("twice"),
    ];
    cache.add_many(items).tag("all").expire(Expire::After(Duration::from_secs(1_000))).run().unwrap();
    let found: Vec<_> = cache.get_many(["own", "common", "over", "twice"]).unwrap().into_iter().map(bytes).collect();
    assert_eq!(found, [Some(b"1".to_vec()), Some(b"2".to_vec()), None, Some(b"newer".to_vec())]);
    assert_eq!(cache.stat("own").unwrap().unwrap().expires, None);
    assert!(cache.stat("common").unwrap().unwrap().expires.is_some());
    assert_eq!(cache.len().unwrap(), 3);
    assert_eq!(cache.evict("mine").unwrap(), 1);
    assert_eq!(cache.evict("all").unwrap(), 2);
}

#[test]
fn entries_of_a_batch_that_are_bound_go_with_their_scope() {
    let home = Home::new();
    let cache = home.open();
    let scope = cache.scope().unwrap();
    cache.add_many([("a", noise(1, 100)), ("b", noise(2, 100_000))]).bind(&scope).run().unwrap();
    cache.add_many([("c", "stays")]).run().unwrap();
    assert_eq!(cache.len().unwrap(), 3);
    assert_eq!(scope.end().unwrap(), 2);
    let found = cache.get_many(["a", "b", "c"]).unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_batch_that_can_not_be_done_changes_nothing() {
    let home = Home::new();
    home.configure("value_max = \"1 MiB\"\n");
    let cache = home.open();
    cache.set("a", "before").unwrap();
    let too_large = cache.add_many([("a", noise(1, 100)), ("b", noise(2, (1 << 20) + 1))]).run().unwrap_err();
    assert!(too_large.is_too_large(), "{too_large}");
    let too_many = cache.add_many((0..8_193).map(|number| (number, "x"))).run().unwrap_err();
    assert!(too_many.is_too_large(), "{too_many}");
    let scope = cache.scope().unwrap();
    let no_step = cache.add_many((0..8_192).map(|number| (number, "x"))).bind(&scope).run().unwrap_err();
    assert!(no_step.is_too_large(), "{no_step}");
    assert_eq!(cache.get_as::<String>("a").unwrap().as_deref(), Some("before"));
    assert_eq!(cache.len().unwrap(), 1);
    cache.add_many((0..8_192).map(|number| (number, "x"))).run().unwrap();
    assert_eq!(cache.len().unwrap(), 8_193);
}

#[test]
fn nothing_of_a_durable_batch_could_be_lost_with_the_power() {
    let home = Home::new();
    // Nothing is synced by itself meanwhile.
    home.configure("sync_interval = \"1h\"\n");
    let cache = home.open();
    let unsynced = || cache.stats().unwrap().store.unsynced_bytes;
    cache.add_many([("a", "x"), ("b", "y")]).run().unwrap();
    assert!(unsynced() > 0);
    cache.add_many([("c", "x"), ("d", "y")]).durable().run().unwrap();
    assert_eq!(unsynced(), 0);
}

/// Every batch has a large value, so that its file is part of the promise.
#[test]
fn a_batch_is_there_whole_or_not_at_all_after_writers_and_daemon_are_killed() {
    const SIZE: u32 = 200;
    let home = Home::new();
    for round in 0..4 {
        let mut writers: Vec<_> = (0..3).map(|_| client(&home)).collect();
        for (number, writer) in writers.iter_mut().enumerate() {
            writer.tell(&["add-batches", &format!("{round}/{number}/"), "1000000", &SIZE.to_string()]);
        }
        let cache = home.open();
        let first = |number| format!("{round}/{number}/1/0");
        eventually("all writers are at it", PATIENCE, || (0..3).all(|writer| cache.contains(first(writer)).unwrap()));
        home.daemon().kill();
        writers.into_iter().for_each(datacache_tests::Client::kill);

        let cache = home.open();
        (0..3).for_each(|writer| assert_whole(&cache, &format!("{round}/{writer}/"), SIZE));
    }
    assert_eq!(home.run(["verify", "--json"]).json()["findings"], serde_json::Value::Array(Vec::new()));
}

/// 64 calls of one client go over the socket together, and into the log.
#[tokio::test]
async fn calls_that_an_asynchronous_client_has_under_way_share_frames() {
    let home = Home::new();
    home.start();
    let cache = datacache_client::DataCache::open(home.options()).await.unwrap();
    cache.set("first", "x").await.unwrap();
    let before = cache.stats().await.unwrap().daemon.frames;
    for round in 0..20_i64 {
        try_join_all((0..64).map(|key| cache.set(round * 64 + key, "v"))).await.unwrap();
    }
    let frames = cache.stats().await.unwrap().daemon.frames - before;
    assert_eq!(cache.len().await.unwrap(), 1_281);
    assert!(frames < 1_280 / 2, "{frames} frames for 1280 calls");
}

#[test]
fn more_keys_than_one_step_takes_are_deleted_in_several_by_the_command() {
    let home = Home::new();
    let cache = home.open();
    for half in [0..5_000, 5_000..10_000] {
        cache.add_many(half.map(|number| (format!("{number}"), "x"))).run().unwrap();
    }
    let mut arguments = vec!["delete".to_owned()];
    arguments.extend((0..10_000).map(|number| number.to_string()));
    assert_eq!(home.run(arguments).number(), 10_000);
    assert_eq!(cache.len().unwrap(), 0);
}
