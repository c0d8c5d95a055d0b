//! Reads that need no daemon: while it is stopped, dead, replaced, or its store is taken away.

use std::fs;
use std::path::Path;
use std::time::Duration;

use datacache_client::blocking::DataCache;
use datacache_client::{Codec, Expire, Fallback, Key, Options};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

use crate::support::noise;

/// Keys of every kind and of lengths on both sides of what LMDB takes.
fn keys() -> Vec<Key> {
    let text = |length| Key::from("k".repeat(length));
    let mut keys = vec![text(1), text(400), text(506), text(507), text(600), text(60_000), Key::from(-7)];
    keys.push(Key::from(&noise(9, 300)[..]));
    keys
}

/// Lengths on both sides of what a reader fetches at once, and of what is a file of its own.
const LENGTHS: [usize; 8] = [0, 1, 900, 1_100, 5_000, 32 << 10, 33 << 10, 1 << 20];

/// Fills the cache with all of these; returns what is there.
fn fill(cache: &DataCache) -> Vec<(Key, Vec<u8>)> {
    let values = LENGTHS.iter().enumerate().map(|(seed, length)| (Key::from(seed as i64), noise(seed as u64, *length)));
    let entries: Vec<_> = values.chain(keys().into_iter().map(|key| (key, b"value".to_vec()))).collect();
    for (key, value) in &entries {
        cache.add(value).key(key.clone()).tag("t").run().unwrap();
    }
    entries
}

/// Returns options that find no daemon, whoever runs.
fn alone(store: &Path) -> Options {
    Options::new().dir(store).socket("/nobody/listens").start(false).direct(true)
}

/// Opens a cache that can only read directly.
fn open_alone(home: &Home) -> DataCache {
    DataCache::open(alone(&home.store())).unwrap()
}

#[track_caller]
fn assert_all_there(cache: &DataCache, entries: &[(Key, Vec<u8>)]) {
    for (key, value) in entries {
        let found = cache.get(key).unwrap().unwrap_or_else(|| panic!("{} bytes are not there", value.len()));
        assert!(*found == value[..], "{} bytes are not what they were", value.len());
        assert_eq!(found.codec(), Codec::Bytes);
    }
}

#[test]
fn every_kind_of_read_works_without_a_daemon() {
    let home = Home::new();
    let entries = fill(&home.open());
    for end in ["stop", "kill"] {
        match end {
            "stop" => drop(home.run(["stop"]).text()),
            _ => {
                // Read from the log: nobody has applied it.
                home.open().set("last", "one").unwrap();
                home.daemon().kill();
            }
        }
        let cache = open_alone(&home);
        assert_all_there(&cache, &entries);
        for (key, value) in &entries {
            assert!(cache.contains(key).unwrap());
            let metadata = cache.stat(key).unwrap().unwrap();
            assert_eq!((&metadata.key, metadata.size, metadata.tags.len()), (key, value.len() as u64, 1));
            let mut reader = cache.get_reader(key).unwrap().unwrap();
            let mut read = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut read).unwrap();
            assert!(read == *value);
            assert!(**cache.borrow_file(key).unwrap().unwrap() == value[..]);
            let file = cache.get_file(key).directory(home.temporary()).run().unwrap().unwrap();
            assert!(fs::read(&file).unwrap() == *value);
        }
        assert!(cache.get("none").unwrap().is_none() && cache.stat("none").unwrap().is_none());
        assert!(!cache.contains("none").unwrap() && cache.borrow_file("none").unwrap().is_none());
        let elsewhere = cache.namespace("never heard of");
        assert!(elsewhere.get(1).unwrap().is_none() && !elsewhere.contains(1).unwrap());
        // What changes something needs a daemon.
        assert!(cache.set("k", "v").unwrap_err().is_unavailable());
    }
    assert_eq!(open_alone(&home).get_as::<String>("last").unwrap().as_deref(), Some("one"));
}

#[test]
fn opening_and_reading_make_no_connection() {
    let home = Home::new();
    let observer = home.open();
    observer.set("k", "v").unwrap();
    let before = observer.stats().unwrap().daemon;
    let cache = DataCache::open(home.options().direct(true)).unwrap();
    assert_eq!(cache.get_as::<String>("k").unwrap().as_deref(), Some("v"));
    assert!(cache.contains("k").unwrap() && cache.get("none").unwrap().is_none());
    let after = observer.stats().unwrap().daemon;
    assert_eq!((after.connections, after.calls), (before.connections, before.calls + 1));
}

#[tokio::test]
async fn the_asynchronous_client_reads_without_a_daemon_too() {
    let home = Home::new();
    let cache = home.open_async().await;
    let large = noise(1, 100_000);
    cache.set("large", &large).await.unwrap();
    cache.set("small", "v").await.unwrap();
    home.daemon().kill();
    for mapped in [true, false] {
        let cache = datacache_client::DataCache::open(alone(&home.store()).mapped(mapped)).await.unwrap();
        assert!(*cache.get("large").await.unwrap().unwrap() == large[..]);
        assert_eq!(cache.get_as::<String>("small").await.unwrap().as_deref(), Some("v"));
        assert!(cache.contains("small").await.unwrap() && cache.stat("none").await.unwrap().is_none());
        let file = cache.get_file("large").directory(home.temporary()).await.unwrap().unwrap();
        assert!(fs::read(&file).unwrap() == large);
    }
}

#[test]
fn a_reader_notices_nothing_of_restarts_and_sees_every_write_at_once() {
    let home = Home::new();
    let writer = home.open();
    writer.set("k", 0.to_string()).unwrap();
    let reader = open_alone(&home);
    for round in 1..=6 {
        if round % 2 == 0 {
            home.daemon().kill();
        } else {
            drop(home.run(["stop"]).text());
        }
        assert_eq!(reader.get_as::<String>("k").unwrap(), Some((round - 1).to_string()));
        home.start();
        for (key, namespace) in [("k", "default"), ("new", &*format!("namespace {round}"))] {
            writer.namespace(namespace).set(key, round.to_string()).unwrap();
            assert_eq!(reader.namespace(namespace).get_as::<String>(key).unwrap(), Some(round.to_string()));
        }
        assert!(writer.delete("k").unwrap() && reader.get("k").unwrap().is_none());
        writer.set("k", round.to_string()).unwrap();
    }
    assert_eq!(writer.stats().unwrap().reads.fallbacks, []);
}

#[test]
fn a_namespace_is_found_by_a_reader_that_asked_for_it_before_it_was_there() {
    let home = Home::new();
    let cache = home.open();
    cache.set("k", "v").unwrap();
    let reader = open_alone(&home).namespace("later");
    assert!(reader.get("k").unwrap().is_none());
    cache.namespace("later").set("k", "w").unwrap();
    assert_eq!(reader.get_as::<String>("k").unwrap().as_deref(), Some("w"));
}

#[test]
fn what_has_expired_is_not_found_in_the_log_nor_in_the_index() {
    let home = Home::new();
    let cache = home.open();
    let soon = Expire::After(Duration::from_millis(200));
    cache.add("v").key("soon").expire(soon).run().unwrap();
    cache.add("v").key("later").expire(Expire::After(Duration::from_secs(3_600))).run().unwrap();
    cache.add("v").key("never").expire(Expire::Never).run().unwrap();
    home.daemon().kill();
    let reader = open_alone(&home);
    eventually("its time is over", PATIENCE, || reader.get("soon").unwrap().is_none());
    assert!(!reader.contains("soon").unwrap() && reader.stat("soon").unwrap().is_none());
    assert!(reader.contains("later").unwrap() && reader.contains("never").unwrap());
    home.start();
    home.run(["stop"]).text();
    let reader = open_alone(&home);
    assert!(!reader.contains("soon").unwrap());
    assert!(reader.contains("later").unwrap() && reader.contains("never").unwrap());
}

#[test]
fn hits_and_misses_are_counted_exactly_for_all_processes_and_outlive_the_daemon() {
    let home = Home::new();
    let cache = home.open();
    cache.set("small", "v").unwrap();
    cache.set("large", noise(1, 100_000)).unwrap();
    cache.namespace("other").set("k", "v").unwrap();
    let read = || {
        let reader = open_alone(&home);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        assert!(reader.get("small").unwrap().is_some() && reader.get("large").unwrap().is_some());
                        assert!(reader.get("none").unwrap().is_none());
                        // These two are no reads of a value.
                        assert!(reader.contains("small").unwrap() && reader.stat("small").unwrap().is_some());
                    }
                    assert!(reader.namespace("other").get("k").unwrap().is_some());
                    assert!(reader.namespace("nowhere").get("k").unwrap().is_none());
                });
            }
        });
    };
    read();
    home.daemon().kill();
    read();
    let stats = home.open().stats().unwrap();
    let of = |name| stats.namespaces.iter().find(|namespace| namespace.name == name).unwrap();
    assert_eq!((of("default").direct_hits, of("default").direct_misses), (1_600, 800));
    assert_eq!((of("other").direct_hits, of("other").direct_misses), (8, 0));
    assert_eq!((stats.reads.direct_hits, stats.reads.direct_misses), (1_608, 808));
    assert_eq!((of("default").hits, stats.reads.fallbacks), (0, Vec::new()));
}

#[test]
fn a_cache_that_is_told_so_reads_by_call() {
    let home = Home::new();
    home.start();
    let cache = DataCache::open(home.options().direct(false)).unwrap();
    cache.set("k", "v").unwrap();
    assert!(cache.get("k").unwrap().is_some() && cache.get("none").unwrap().is_none());
    let reads = cache.stats().unwrap().reads;
    assert_eq!((reads.direct_hits, reads.fallbacks), (0, vec![(Fallback::Off, 2)]));
    assert!(DataCache::open(alone(&home.store()).direct(false)).unwrap_err().is_unavailable());
}

#[test]
fn what_can_not_be_read_directly_is_asked_for_and_the_reason_counted() {
    let home = Home::new();
    let observer = home.open();
    observer.set("k", "v").unwrap();
    let [here, away] = ["access", "away"].map(|name| home.store().join("current").join(name));
    fs::rename(&here, &away).unwrap();
    let cache = DataCache::open(home.options().direct(true)).unwrap();
    for _ in 0..3 {
        assert!(cache.get("k").unwrap().is_some());
    }
    let fallbacks = || observer.stats().unwrap().reads.fallbacks;
    assert_eq!(fallbacks(), [(Fallback::Unreachable, 3)]);
    fs::rename(&away, &here).unwrap();
    let direct_hits = || observer.stats().unwrap().reads.direct_hits;
    eventually("it is read directly again", PATIENCE, || {
        assert!(cache.get("k").unwrap().is_some());
        direct_hits() > 0
    });
}

/// A reader once went on with what it had mapped for as long as it lived.
#[test]
fn a_reader_notices_that_the_store_was_removed_while_no_daemon_ran() {
    let home = Home::new();
    home.open().set("k", "v").unwrap();
    let (alone, reader) = (open_alone(&home), DataCache::open(home.options().direct(true)).unwrap());
    assert!(alone.get("k").unwrap().is_some() && reader.get("k").unwrap().is_some());
    home.daemon().kill();
    fs::remove_dir_all(home.store()).unwrap();
    eventually("it asks the daemon, which is not there", PATIENCE, || alone.get("k").is_err());
    home.open().set("new", "w").unwrap();
    eventually("the new store is read", PATIENCE, || alone.get("new").is_ok_and(|found| found.is_some()));
    eventually("the other one sees it too", PATIENCE, || reader.get("k").is_ok_and(|found| found.is_none()));
    assert_eq!(reader.get_as::<String>("new").unwrap().as_deref(), Some("w"));
}

#[test]
fn a_reader_goes_to_the_new_store_when_the_old_one_is_removed_under_its_daemon() {
    let home = Home::new();
    home.open().set("k", "v").unwrap();
    let reader = open_alone(&home);
    assert!(reader.get("k").unwrap().is_some());
    let daemon = home.daemon();
    fs::remove_dir_all(home.store()).unwrap();
    assert!(daemon.ends(PATIENCE), "it has nothing left to serve");
    assert!(reader.get("k").is_err(), "what was removed was found");
    home.open().set("new", "w").unwrap();
    eventually("the new store is read", PATIENCE, || reader.get("new").is_ok_and(|found| found.is_some()));
    assert!(reader.get("k").unwrap().is_none());
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_copy_of_a_closed_store_is_read_until_a_daemon_opens_it_and_after() {
    let home = Home::new();
    let entries = fill(&home.open());
    home.run(["stop"]).text();
    let copied = home.path().join("copied");
    copy(&home.store(), &copied);
    let reader = DataCache::open(alone(&copied)).unwrap();
    assert_all_there(&reader, &entries);
    let socket = home.path().join("run/other.sock");
    let run = |arguments: &[&str]| {
        let place = ["--dir", copied.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
        home.command(arguments.iter().copied().chain(place)).input("new").outcome().text()
    };
    run(&["add", "-", "--key", "new"]);
    assert_eq!(reader.get_as::<Vec<u8>>("new").unwrap().as_deref(), Some(&b"new"[..]), "it went by LMDB alone");
    assert_all_there(&reader, &entries);
    run(&["stop"]);
    assert_all_there(&reader, &entries);
}

#[test]
fn a_copy_of_a_store_in_use_is_the_daemons_business() {
    let home = Home::new();
    home.open().set("k", "v").unwrap();
    home.daemon().kill();
    let copied = home.path().join("copied");
    copy(&home.store(), &copied);
    assert!(DataCache::open(alone(&copied)).unwrap_err().is_unavailable());
    assert!(open_alone(&home).get("k").unwrap().is_some());
}

#[test]
fn two_caches_of_one_process_share_what_is_open_and_one_that_goes_leaves_it_to_the_other() {
    let home = Home::new();
    home.open().set("k", "v").unwrap();
    for _ in 0..20 {
        let [one, other] = [open_alone(&home), open_alone(&home)];
        assert!(one.get("k").unwrap().is_some());
        drop(one);
        assert!(other.get("k").unwrap().is_some());
    }
    let link = home.path().join("link");
    std::os::unix::fs::symlink(home.store(), &link).unwrap();
    let one = open_alone(&home);
    let other = DataCache::open(alone(&link)).unwrap();
    assert!(one.get("k").unwrap().is_some() && other.get("k").unwrap().is_some());
}

#[test]
fn a_large_value_whose_file_is_out_of_sight_is_asked_for_and_where_the_daemon_misses_it_too_a_miss() {
    let home = Home::new();
    home.start();
    let cache = DataCache::open(home.options().direct(true)).unwrap();
    cache.set("k", noise(1, 1 << 20)).unwrap();
    fs::rename(home.store().join("blobs"), home.store().join("away")).unwrap();
    assert!(cache.get("k").unwrap().is_none());
    // For the value, and again once it could not be opened.
    assert_eq!(cache.stats().unwrap().reads.fallbacks, [(Fallback::Unreachable, 2)]);
    fs::rename(home.store().join("away"), home.store().join("blobs")).unwrap();
    cache.set("k", noise(1, 1 << 20)).unwrap();
    assert!(*cache.get("k").unwrap().unwrap() == noise(1, 1 << 20)[..]);
}
