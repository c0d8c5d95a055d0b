//! Tags: groups of entries that go together.

use datacache_client::Item;
use datacache_tests::wait::{PATIENCE, eventually};
use datacache_tests::{Client, Home};
use serde_json::json;

use crate::support::{client, noise};

#[test]
fn evicting_a_tag_takes_its_entries_and_no_others() {
    let home = Home::new();
    let cache = home.open();
    for number in 0..300_i64 {
        let tag = if number % 3 == 0 { "fizz" } else { "other" };
        cache.add("v").key(number).tag(tag).tag("all").run().unwrap();
    }
    assert_eq!(cache.evict("fizz").unwrap(), 100);
    assert_eq!(cache.len().unwrap(), 200);
    assert!(!cache.contains(0).unwrap() && cache.contains(1).unwrap());
    assert_eq!(cache.list().tag("other").count(), 200);
    assert_eq!(cache.list().tag("fizz").count(), 0);
}

#[test]
fn evicting_several_tags_counts_each_entry_once() {
    let home = Home::new();
    let cache = home.open();
    cache.add("v").key("both").tags(["a", "b"]).run().unwrap();
    cache.add("v").key("one").tag("a").run().unwrap();
    cache.add("v").key("none").run().unwrap();
    let outcome = home.run(["evict", "b", "a", "unknown"]);
    assert_eq!(outcome.number(), 2);
    assert_eq!(home.run(["ls"]).text(), "none");
    assert_eq!(home.run(["evict", "a"]).code(), 1);
}

#[test]
fn an_entry_can_have_sixty_four_tags() {
    let home = Home::new();
    let cache = home.open();
    let tags: Vec<String> = (0..64).map(|number| format!("tag {number}")).collect();
    cache.add("v").key("k").tags(&tags).run().unwrap();
    assert_eq!(cache.stat("k").unwrap().unwrap().tags.len(), 64);
    assert_eq!(cache.evict("tag 63").unwrap(), 1);
}

#[test]
fn an_entry_that_lost_a_tag_is_not_evicted_by_it() {
    let home = Home::new();
    let cache = home.open();
    cache.add("v").key("k").tag("old").run().unwrap();
    cache.add("w").key("k").tag("new").run().unwrap();
    assert_eq!(cache.evict("old").unwrap(), 0);
    assert_eq!(cache.get_as::<String>("k").unwrap().as_deref(), Some("w"));
    assert_eq!(cache.evict("new").unwrap(), 1);
}

#[test]
fn a_tag_of_one_namespace_means_nothing_in_another() {
    let home = Home::new();
    let cache = home.open();
    let other = cache.namespace("other");
    cache.add("v").key("k").tag("t").run().unwrap();
    other.add("v").key("k").tag("t").run().unwrap();
    assert_eq!(other.evict("t").unwrap(), 1);
    assert!(cache.contains("k").unwrap() && !other.contains("k").unwrap());
}

#[test]
fn evicting_a_tag_misses_nothing_that_was_added_before_it_while_others_add_more() {
    let home = Home::new();
    let cache = home.open();
    for number in 0..500_i64 {
        cache.add("v").key(number).tag("t").run().unwrap();
    }
    let mut writers: Vec<Client> = (0..3).map(|_| client(&home)).collect();
    for (number, writer) in writers.iter_mut().enumerate() {
        writer.tell(&["add-many", &format!("{number}/"), "0", "200"]);
    }
    assert_eq!(cache.evict("t").unwrap(), 500);
    assert!(writers.iter_mut().all(|writer| writer.answer() == json!(200)));
    assert_eq!(cache.len().unwrap(), 600);
}

/// What one process added with tags and others read is told to whoever asks which tags are large, and which are hot.
#[test]
fn tags_are_told_with_how_many_entries_they_have_how_large_these_are_and_how_often_they_were_read() {
    let home = Home::new();
    let cache = home.open();
    let add = |namespace: &str, tag: &str, keys: std::ops::Range<i64>, length: usize| {
        let items = keys.map(|key| Item::new(noise(1, length)).key(key).tag(tag));
        cache.namespace(namespace).add_many(items).run().unwrap();
    };
    add("one", "hot", 0..20, 10);
    add("one", "cold", 20..1_020, 1_000);
    add("other", "cold", 0..1, 100_000);
    for key in (0..20).chain(0..20).chain(0..20) {
        assert!(cache.namespace("one").get(key).unwrap().is_some());
    }
    // What is not in the index yet is not counted.
    assert_eq!(cache.namespace("one").list().count(), 1_020);
    let mut told = cache.tags(None).unwrap();
    eventually("they were counted", PATIENCE, || {
        told = cache.tags(None).unwrap();
        told.pairs == 1_021
    });
    let rows: Vec<_> = told.rows.iter().map(|row| (&*row.namespace, &*row.tag, row.entries, row.bytes)).collect();
    let expected = [("one", "cold", 1_000, 1_000_000), ("one", "hot", 20, 200), ("other", "cold", 1, 100_000)];
    assert_eq!(rows, expected);
    assert_eq!((told.tags, told.taken.is_some()), (3, true));
    let heat = |at: usize| told.rows[at].heat;
    assert!(heat(1) > heat(0) && heat(1) >= 100, "{told:?}");
    assert!((1..=64).contains(&told.rows[0].sampled) && told.rows[1].sampled == 20, "{told:?}");
    let of_other = cache.tags(Some("other")).unwrap();
    assert_eq!(of_other.rows, told.rows[2..]);
    assert!(cache.tags(Some("")).unwrap_err().is_invalid_input());
}
