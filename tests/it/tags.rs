//! Tags: groups of entries that go together.

use datacache_tests::{Client, Home};
use serde_json::json;

use crate::support::client;

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
