//! S9 to S14: adding. What ends with its process (S13) is in `leases`.

use std::time::{Duration, SystemTime};

use datacache_client::{Expire, Item, Json, blocking};
use datacache_tests::{Home, eventually};

use super::face::{About, Content, Entry, LONG, every_face};
use crate::support::noise;

/// S9.
#[test]
fn adding_under_a_key_replaces_value_expiry_and_tags() {
    every_face(|face| {
        assert_eq!(face.add(Entry::text("k", "one").expire(LONG).tags(&["b", "a", "b"])).unwrap(), "k");
        let about = About { size: 3, codec: "text".into(), tags: vec!["a".into(), "b".into()], expires: true };
        assert_eq!(face.stat("k"), Some(about));
        let second = Entry { key: Some("k"), ..Entry::of(Content::Bytes(b"twice")) };
        face.add(second.expire(Expire::Never).tags(&["c"])).unwrap();
        let about = About { size: 5, codec: "bytes".into(), tags: vec!["c".into()], expires: false };
        assert_eq!(face.stat("k"), Some(about));
        assert_eq!((face.get("k").unwrap(), face.len()), (b"twice".to_vec(), 1));
        assert_eq!((face.evict("a"), face.evict("c")), (0, 1));
    });
}

/// S10: fractions of a second, and no second meaning of zero in the library.
#[test]
fn an_entry_ends_after_a_fraction_of_a_second_and_no_reader_sees_it_after() {
    every_face(|face| {
        face.add(Entry::text("short", "v").expire(Expire::After(Duration::from_millis(150)))).unwrap();
        face.add(Entry::text("long", "v").expire(LONG)).unwrap();
        eventually("the short one ends", Duration::from_secs(2), || face.get("short").is_none());
        assert!(!face.contains("short") && face.stat("short").is_none());
        assert!(face.contains("long"));
        assert_eq!(face.len(), 1);
    });
}

/// S10.
#[test]
fn no_life_at_all_and_a_moment_in_the_past_make_an_entry_that_has_ended() {
    let home = Home::new();
    let cache = home.open();
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    for expire in [Expire::After(Duration::ZERO), Expire::At(yesterday)] {
        cache.set("k", "live").unwrap();
        cache.add("v").key("k").expire(expire).run().unwrap();
        assert!(cache.get("k").unwrap().is_none() && !cache.contains("k").unwrap(), "{expire:?}");
        assert_eq!(cache.len().unwrap(), 0, "{expire:?}");
    }
}

/// S10: a moment, to the millisecond.
#[test]
fn the_end_of_an_entry_is_kept_to_the_millisecond() {
    let home = Home::new();
    let cache = home.open();
    let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(4_102_444_800_123);
    cache.add("v").key("k").expire(Expire::At(moment)).run().unwrap();
    assert_eq!(SystemTime::from(cache.stat("k").unwrap().unwrap().expires.unwrap()), moment);
    assert_eq!(home.run(["stat", "k", "--json"]).json()["expires"], "2100-01-01T00:00:00.123Z");
}

/// S11.
#[tokio::test]
async fn setting_a_key_gives_it_the_default_expiry() {
    let home = Home::new();
    let cache = home.open_async().await;
    cache.add("v").key("k").expire(Expire::Never).await.unwrap();
    cache.set("k", "w").await.unwrap();
    assert!(cache.stat("k").await.unwrap().unwrap().expires.is_some());
    home.open().add("v").key("b").expire(Expire::Never).run().unwrap();
    home.open().set("b", "w").unwrap();
    assert!(cache.stat("b").await.unwrap().unwrap().expires.is_some());
}

/// S12.
#[test]
fn a_value_is_a_copy_and_keeps_its_type() {
    every_face(|face| {
        let contents =
            [(Content::Bytes(b"x"), "bytes"), (Content::Text("x"), "text"), (Content::Json("\"x\""), "json")];
        for (content, codec) in contents {
            face.add(Entry { key: Some(codec), ..Entry::of(content) }).unwrap();
            assert_eq!(face.stat(codec).unwrap().codec, codec);
        }
        assert_eq!(face.get("json").unwrap(), b"\"x\"");
    });
    let home = Home::new();
    let cache = home.open();
    let mut list = vec![1, 2];
    cache.set("list", Json(&list)).unwrap();
    list.push(3);
    assert_eq!(cache.get_json::<Vec<u8>>("list").unwrap(), Some(vec![1, 2]));
}

/// S13 within one process; the ends of processes are in `leases`.
#[tokio::test]
async fn a_bound_entry_goes_when_its_scope_ends_and_an_unbound_one_stays() {
    let home = Home::new();
    let cache = home.open_async().await;
    let scope = cache.scope().unwrap();
    cache.add("v").key("bound").bind(&scope).await.unwrap();
    cache.set("free", "v").await.unwrap();
    assert!(cache.stat("bound").await.unwrap().unwrap().bound);
    assert_eq!(scope.end().await.unwrap(), 1);
    assert!(!cache.contains("bound").await.unwrap() && cache.contains("free").await.unwrap());
}

/// S14.
#[test]
fn a_value_above_the_limit_is_refused_and_nothing_goes_for_it() {
    let home = Home::new();
    home.configure("value_max = \"1 MiB\"\n");
    let cache = home.open();
    let (fits, large) = (noise(1, 1 << 20), noise(2, (1 << 20) + 1));
    cache.set("fits", &fits).unwrap();
    cache.set("small", "v").unwrap();
    let error = cache.set("large", &large).unwrap_err();
    assert!(error.is_too_large() && error.is_refused(), "{error}");
    assert_eq!(error.to_string(), "the value is 1048577 bytes, and `value_max` is 1048576");
    let chunks = home.options().transfer(datacache_client::Transfer::Chunks);
    assert!(blocking::DataCache::open(chunks).unwrap().set("large", &large).unwrap_err().is_too_large());
    let outcome = home.command(["add", "-"]).input(large).outcome();
    assert!(outcome.error(4).contains("`value_max` is 1048576"), "{outcome:?}");
    assert_eq!(cache.len().unwrap(), 2);
    assert!(cache.get_as::<Vec<u8>>("fits").unwrap() == Some(fits));
    let staging = std::fs::read_dir(home.store().join("staging")).unwrap();
    assert_eq!(staging.count(), 0, "what was refused is not left behind");
}

/// Pinned is what the last addition said, however it came and whoever asks.
#[test]
fn an_entry_is_pinned_by_the_addition_that_says_so_and_until_one_that_does_not() {
    let home = Home::new();
    let cache = home.open();
    let pinned = |key: &str| {
        let told = cache.stat(key).unwrap().unwrap().pinned;
        let json = home.run(["stat", key, "--json"]).json();
        assert_eq!(json["pinned"], told, "{key}");
        let listed = home.run(["ls", "--json", "--prefix", key]).json();
        assert_eq!(listed["pinned"], told, "{key}");
        told
    };
    cache.add("small").key("client").pin(true).run().unwrap();
    home.command(["add", "-", "--key", "shell", "--pin"]).input("small").outcome().text();
    cache.add(noise(1, 100_000)).key("large").pin(true).run().unwrap();
    let items = [Item::new("1").key("item"), Item::new("2").key("other").pin(false)];
    cache.add_many(items).pin(true).run().unwrap();
    let keys = ["client", "shell", "large", "item", "other"];
    assert_eq!(keys.map(pinned), [true, true, true, true, false]);
    home.run(["touch", "client", "--expire", "1h"]).bytes();
    home.run(["stop"]).bytes();
    home.start();
    assert_eq!(keys.map(pinned), [true, true, true, true, false]);

    assert!(home.run(["ls", "-l", "--prefix", "client"]).text().contains("  pin  "));
    cache.add("small").key("client").run().unwrap();
    assert!(!pinned("client") && pinned("large"));
    assert!(home.run(["stat", "large"]).text().contains("\npinned   yes\n"));
}
