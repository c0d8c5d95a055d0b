//! Limits as users set them and see them kept: in the file, by the command, and over the lives of daemons.

use datacache_tests::reads::Way;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};
use serde_json::Value;

fn stats(home: &Home) -> Value {
    home.run(["stats", "--json"]).json()
}

#[test]
fn a_limit_of_entries_is_kept_and_told() {
    let home = Home::new();
    home.configure("limit_entries = 100\npolicy = \"lru\"\n");
    let cache = home.open();
    for number in 0..300_i64 {
        cache.set(number, "v").unwrap();
        assert!(cache.len().unwrap() <= 100, "after {number}");
    }
    let told = stats(&home);
    assert_eq!((told["space"]["limit_entries"].as_u64(), told["space"]["policy"].as_str()), (Some(100), Some("lru")));
    let (entries, evicted) = (told["namespaces"][0]["entries"].as_u64(), told["namespaces"][0]["evicted"].as_u64());
    assert_eq!(entries.zip(evicted).map(|(entries, evicted)| entries + evicted), Some(300), "{told}");
    assert!(cache.get(299_i64).unwrap().is_some() && cache.get(0_i64).unwrap().is_none());
    Way::of_this_run().assert_only_way(&cache);
}

#[test]
fn what_is_pinned_stays_and_what_is_read_stays_longer_than_what_is_not() {
    let home = Home::new();
    home.configure("limit_entries = 60\n");
    let cache = home.open();
    home.command(["add", "--pin", "--key", "pinned", "-"]).input("value").outcome().text();
    for number in 0..600_i64 {
        cache.set(number, "v").unwrap();
        for popular in 0..10_i64 {
            cache.get(popular).unwrap();
        }
    }
    assert!(cache.get("pinned").unwrap().is_some());
    let stayed = (0..10_i64).filter(|popular| cache.get(*popular).unwrap().is_some()).count();
    assert_eq!(stayed, 10);
}

#[test]
fn a_limit_that_is_set_while_the_daemon_runs_is_kept_soon_and_by_the_next_one_too() {
    let home = Home::new();
    let cache = home.open();
    for number in 0..500_i64 {
        cache.set(number, "v").unwrap();
    }
    home.run(["config", "set", "limit_entries", "200"]).text();
    eventually("the limit is kept", PATIENCE, || cache.len().unwrap() <= 200);
    cache.stop_daemon().unwrap();
    drop(cache);
    let cache = home.open();
    for number in 500..800_i64 {
        cache.set(number, "v").unwrap();
    }
    assert!((190..=200).contains(&cache.len().unwrap()));
    assert!(home.store().join("eviction/shared").is_file());
}
