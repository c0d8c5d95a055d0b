//! Forks: a process that has the cache open forks while its threads use it, and neither the children nor the parent notice
//! anything of each other. What becomes of leases is in `leases`.

use datacache_tests::Home;
use datacache_tests::reads::Way;
use serde_json::Value;

use crate::support::client;

/// How many processes can have a place among the readers of a store.
const READERS: u32 = 1_024;

#[test]
fn children_of_a_busy_process_use_the_cache_and_end_in_every_way_and_nobody_is_disturbed() {
    let home = Home::new();
    home.start();
    let mut parent = client(&home);
    let done = parent.ask(&["fork-under-load", "220"]);
    assert!(done["calls"].as_u64().unwrap() > 1_000, "{done}");
    assert_eq!(done["released"], 1, "the lease was the parent's to the end");
    // A segment of the log may be open at one moment and not at another.
    let [before, after] = ["before", "after"].map(|name| done[name].as_array().unwrap().len());
    assert!(after <= before + 3, "descriptors are left open: {done}");
    Way::of_this_run().assert_only_way(&home.open());
    let findings = home.run(["verify", "--json"]).json()["findings"].take();
    assert_eq!(findings, Value::Array(Vec::new()));
    assert!(home.run(["ls"]).text().lines().all(|key| !key.starts_with("of a child")), "a child's deletion is missing");
}

#[test]
fn more_children_than_there_are_places_for_readers_read_one_after_the_other() {
    let home = Home::new();
    home.start();
    let mut parent = client(&home);
    let forks = READERS + 100;
    assert_eq!(parent.ask(&["fork-often", &forks.to_string()]), forks);
    let cache = home.open();
    Way::of_this_run().assert_only_way(&cache);
    let stats = cache.stats().unwrap();
    assert!(stats.store.readers <= u64::from(READERS), "{stats:?}");
}
