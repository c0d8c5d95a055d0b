//! An entry is gone from every reader's view at its deadline, and from the store soon after.

use std::time::Duration;

use datacache_client::{Expire, Timestamp};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

use crate::support::{client, noise};

/// What has expired leaves the store this soon.
const REMOVED_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn an_entry_is_gone_for_every_reader_at_its_deadline() {
    let home = Home::new();
    let cache = home.open();
    let mut other = client(&home);
    let deadline = Timestamp::now().after(Duration::from_millis(400));
    cache.add("v").key("k").expire(Expire::At(deadline.into())).run().unwrap();
    let mut looks = 0;
    loop {
        let begun = Timestamp::now();
        let seen = cache.contains("k").unwrap();
        let ended = Timestamp::now();
        // Only a look that lies wholly on one side of the deadline has one right answer.
        assert!(seen || ended >= deadline, "it is gone before its deadline");
        assert!(!seen || begun <= deadline, "it is seen after its deadline");
        if begun > deadline {
            break;
        }
        looks += 1;
    }
    assert!(looks > 0);
    assert_eq!(other.ask(&["get", "k"]), serde_json::Value::Null);
    assert_eq!(home.run(["get", "k"]).code(), 1);
    assert_eq!(cache.len().unwrap(), 0);
}

#[test]
fn an_expired_entry_leaves_the_store_within_two_seconds_of_its_deadline() {
    let home = Home::new();
    let cache = home.open();
    cache.set("stays", noise(1, 1_000)).unwrap();
    for key in ["one", "two"] {
        cache.add(noise(2, 1_000)).key(key).expire(Expire::After(Duration::from_millis(300))).run().unwrap();
    }
    let bytes = || cache.stats().unwrap().namespaces.iter().find(|row| row.name == "default").unwrap().bytes;
    assert_eq!(bytes(), 3_000);
    eventually("the deadline passes", PATIENCE, || !cache.contains("two").unwrap());
    eventually("they leave the store", REMOVED_WITHIN, || bytes() == 1_000);
    let row = cache.stats().unwrap().namespaces.remove(0);
    assert_eq!((row.entries, row.expired), (1, 2));
}

#[test]
fn thousands_of_entries_expire_in_slices_while_others_write() {
    let home = Home::new();
    let cache = home.open();
    let deadline = Timestamp::now().after(Duration::from_secs(4));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let many = datacache_client::DataCache::open(home.options()).await.unwrap();
        for from in (0..4_000_i64).step_by(50) {
            let adds: Vec<_> = (from..from + 50)
                .map(|key| {
                    let many = many.clone();
                    tokio::spawn(async move { many.add("v").key(key).expire(Expire::At(deadline.into())).await })
                })
                .collect();
            for add in adds {
                add.await.unwrap().unwrap();
            }
        }
    });
    cache.set("stays", "v").unwrap();
    eventually("the deadline passes", PATIENCE, || Timestamp::now() > deadline);
    assert_eq!(cache.len().unwrap(), 1, "whether they are still in the store or not");
    let mut writes = 0_i64;
    eventually("they leave the store", REMOVED_WITHIN, || {
        cache.set(-1 - writes, "v").unwrap();
        writes += 1;
        cache.stats().unwrap().namespaces[0].expired == 4_000
    });
    assert_eq!(cache.len().unwrap(), 1 + writes.unsigned_abs());
}

#[test]
fn the_file_of_an_expired_value_is_removed() {
    let home = Home::new();
    let cache = home.open();
    let soon = Expire::After(Duration::from_millis(200));
    cache.add(noise(1, 100_000)).key("k").expire(soon).run().unwrap();
    eventually("it is no blob any more", PATIENCE, || {
        !cache.contains("k").unwrap() && cache.stats().unwrap().store.blobs == 0
    });
}

#[test]
fn expiring_by_hand_counts_what_it_removed() {
    let home = Home::new();
    let cache = home.open();
    let mut removed = 0;
    for key in 0..50_i64 {
        cache.add("v").key(key).expire(Expire::After(Duration::from_millis(1))).run().unwrap();
    }
    eventually("all are gone, by hand or by themselves", REMOVED_WITHIN, || {
        removed += cache.expire().unwrap();
        cache.stats().unwrap().namespaces[0].bytes == 0
    });
    let row = cache.stats().unwrap().namespaces.remove(0);
    assert!(removed <= 50 && row.expired == 50, "{removed} by hand, {} in all", row.expired);
}

#[test]
fn an_entry_that_expired_while_no_daemon_ran_is_not_seen_and_is_removed() {
    let home = Home::new();
    let cache = home.open();
    let deadline = Timestamp::now().after(Duration::from_millis(300));
    cache.add("v").key("k").expire(Expire::At(deadline.into())).run().unwrap();
    home.daemon().kill();
    eventually("the deadline passes", PATIENCE, || Timestamp::now() > deadline);
    home.start();
    assert!(!cache.contains("k").unwrap());
    eventually("it leaves the store", REMOVED_WITHIN, || cache.stats().unwrap().namespaces[0].bytes == 0);
}
