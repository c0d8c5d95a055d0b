//! Space that a store has no use for any more: the filesystem gets it back while daemon and clients go on.

use std::fs;

use datacache_tests::disk::bytes_below;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

use crate::support::{client, noise};

/// More than the daemon leaves as it is, in values that are in the index.
const VALUES: i64 = 1_500;
const VALUE: usize = 32 << 10;
/// How much more than an empty store one may take that was emptied: what is reserved depends on its size.
const SLACK: u64 = 12 << 20;

/// Tells whether a process of the home, or this one, has the index of a generation open.
fn is_open(home: &Home, generation: &str) -> bool {
    let index = home.store().join(generation).join("data.mdb");
    let maps = |pid: u32| fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let mut pids = home.processes().into_iter().map(|process| process.pid()).chain([std::process::id()]);
    pids.any(|pid| maps(pid).contains(index.to_str().unwrap()))
}

#[test]
fn a_store_that_was_cleared_gives_its_space_back_and_who_reads_and_writes_goes_on() {
    let home = Home::new();
    let (cache, mut reader) = (home.open(), client(&home));
    cache.set("key", "before").unwrap();
    cache.list().next().transpose().unwrap();
    let (store, large) = (home.store(), cache.namespace("large"));
    let empty = bytes_below(&store);
    for keys in (0..VALUES).collect::<Vec<_>>().chunks(100) {
        large.add_many(keys.iter().map(|key| (*key, noise(key.unsigned_abs(), VALUE)))).run().unwrap();
    }
    assert_eq!(reader.ask(&["get", "key"]), "before");
    assert!(bytes_below(&store) > empty + 2 * SLACK);
    assert_eq!(large.clear().unwrap(), VALUES.unsigned_abs());
    cache.list().next().transpose().unwrap();
    let spare = || cache.stats().unwrap().space.spare_bytes;
    assert!(spare() > SLACK, "what the file has besides is told");

    eventually("the space is given back", 4 * PATIENCE, || {
        assert_eq!(reader.ask(&["get", "key"]), "before");
        assert_eq!(cache.get_as::<String>("key").unwrap().as_deref(), Some("before"));
        let is_small = bytes_below(&store) <= empty + SLACK;
        is_small && spare() <= SLACK && !store.join("gen-1").exists() && !is_open(&home, "gen-1")
    });
    cache.set("key", "after").unwrap();
    assert_eq!(reader.ask(&["get", "key"]), "after");
    assert_eq!((cache.len().unwrap(), large.len().unwrap()), (1, 0));
    assert_eq!(cache.verify(false).unwrap().findings, []);
    home.daemon().kill();
    assert_eq!(reader.ask(&["get", "key"]), "after");
    home.start();
    cache.set("key", "at last").unwrap();
    assert_eq!(reader.ask(&["get", "key"]), "at last");
}
