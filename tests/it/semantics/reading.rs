//! S15 to S20: reading and removing. What other processes see (S18) is in `concurrency` and `persistence`.

use std::time::Duration;

use datacache_client::{Expire, Timestamp};
use datacache_tests::Home;
use datacache_tests::reads::Way;
use serde_json::json;

use super::face::{Entry, LONG, every_face};

/// S15.
#[test]
fn a_missing_entry_is_no_value_and_no_error() {
    every_face(|face| {
        assert_eq!(face.get("missing"), None);
        assert_eq!(face.stat("missing"), None);
        face.add(Entry::text("k", "")).unwrap();
        assert_eq!(face.get("k"), Some(Vec::new()), "an empty value is a value");
    });
}

/// S15: through the command, a missing key has a status of its own and a remark.
#[test]
fn the_command_tells_a_missing_key_by_its_status() {
    let home = Home::new();
    home.start();
    let outcome = home.run(["get", "missing"]);
    assert!(outcome.error(1).contains("`missing`"), "{outcome:?}");
    assert!(home.run(["get", "missing", "--quiet"]).told().is_empty());
}

/// S16.
#[test]
fn only_live_entries_are_contained_and_counted() {
    every_face(|face| {
        face.add(Entry::text("live", "v").expire(LONG)).unwrap();
        face.add(Entry::text("dead", "v").expire(Expire::After(Duration::from_millis(1)))).unwrap();
        datacache_tests::eventually("it ends", Duration::from_secs(1), || !face.contains("dead"));
        assert!(face.contains("live"));
        assert_eq!(face.len(), 1);
        face.add(Entry::text("dead", "again").expire(LONG)).unwrap();
        assert_eq!(face.len(), 2);
    });
}

/// S17.
#[test]
fn deleting_says_whether_there_was_anything() {
    every_face(|face| {
        face.add(Entry::text("k", "v")).unwrap();
        assert!(face.delete("k"));
        assert!(!face.delete("k"));
        assert!(!face.contains("k"));
    });
}

/// S17.
#[test]
fn evicting_expiring_and_clearing_return_how_many_went() {
    every_face(|face| {
        for key in ["a", "b", "c", "d"] {
            face.add(Entry::text(key, "v").tags(if key < "c" { &["early", "all"] } else { &["all"] })).unwrap();
        }
        assert_eq!(face.evict("none"), 0);
        assert_eq!(face.evict("early"), 2);
        assert_eq!(face.expire(), 0);
        assert_eq!(face.clear(), 2);
        assert_eq!((face.clear(), face.len()), (0, 0));
    });
}

/// S19: closing does nothing, so the next open finds all of it.
#[test]
fn closing_a_cache_changes_nothing() {
    let home = Home::new();
    for round in 0..3 {
        let cache = home.open();
        cache.set(round, "v").unwrap();
        drop(cache);
    }
    let cache = home.open();
    assert_eq!(cache.len().unwrap(), 3);
    assert_eq!(home.daemons().len(), 1);
}

/// S20.
#[test]
fn entries_are_listed_by_key_by_prefix_and_by_tag() {
    every_face(|face| {
        for (key, tag) in [("b/2", "even"), ("a/1", "odd"), ("b/3", "odd"), ("a", "even"), ("c", "odd")] {
            face.add(Entry::text(key, "v").tags(&[tag])).unwrap();
        }
        assert_eq!(face.list(None, None), ["a", "a/1", "b/2", "b/3", "c"]);
        assert_eq!(face.list(Some("b/"), None), ["b/2", "b/3"]);
        assert_eq!(face.list(None, Some("odd")), ["a/1", "b/3", "c"], "by age");
        assert_eq!(face.list(Some("b"), Some("even")), ["b/2"]);
        assert_eq!(face.list(Some("x"), None), [""; 0]);
    });
}

/// S20.
#[test]
fn statistics_count_what_happened_in_each_namespace() {
    let home = Home::new();
    let cache = home.open().namespace("counted");
    for key in ["a", "b", "c"] {
        cache.add("four").key(key).tag("t").run().unwrap();
    }
    cache.delete("a").unwrap();
    cache.get("b").unwrap();
    cache.get("a").unwrap();
    let stats = home.run(["stats", "--json"]).json();
    let row = stats["namespaces"].as_array().unwrap().iter().find(|row| row["name"] == "counted").unwrap();
    let mut row = row.as_object().unwrap().clone();
    let oldest = row.remove("oldest_unix_ms").unwrap().as_u64().map(Timestamp::from_millis);
    assert!(oldest.is_none_or(|oldest| oldest <= cache.stat("b").unwrap().unwrap().created), "{oldest:?}");
    let space = row.remove("space").unwrap();
    assert!((1..2_000).contains(&space["bytes"].as_u64().unwrap()) && space["limit"].is_null(), "{space}");
    let [called, direct] = [Way::Call, Way::Direct].map(|way| u64::from(way == Way::of_this_run()));
    let expected = json!({
        "name": "counted", "entries": 2, "bytes": 8, "hits": called, "misses": called,
        "direct_hits": direct, "direct_misses": direct, "adds": 3, "deletes": 1, "expired": 0, "evicted": 0
    });
    assert_eq!(serde_json::Value::from(row), expected);
    assert_eq!(cache.stats().unwrap().daemon.operations, stats["daemon"]["operations"].as_u64().unwrap());
}
