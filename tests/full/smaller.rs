//! What makes a store smaller, where not one byte is free.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

use datacache_client::Transfer;
use datacache_client::blocking::DataCache;
use datacache_proto::layout::RECENT;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

use crate::Case;
use crate::disk::{Disk, Kind};
use crate::load::{Load, open};

pub(crate) const CASES: &[Case] = &[
    ("what_makes_a_store_smaller_is_done_with_no_byte_free", no_byte_free),
    ("what_is_deleted_in_another_order_than_it_came_is_applied_with_no_byte_free", scattered),
    ("what_an_eviction_took_is_applied_with_no_byte_free", evicted),
    ("a_store_is_opened_with_no_byte_free", opened),
    ("a_store_is_opened_after_a_loss_of_power_with_no_byte_free", opened_after_power_went),
    ("a_large_value_that_finds_no_room_is_refused_whichever_way_it_came_and_leaves_nothing", large),
    ("entries_with_as_many_tags_as_there_can_be_are_applied_and_deleted_with_no_byte_free", tagged),
    ("writes_return_when_enough_was_deleted", enough_was_deleted),
];

const MIB: u64 = 1 << 20;

/// Somebody else has taken all that the store had left, at the worst of moments: it has a log to apply.
fn full_by_another(home: &Home, kind: Kind) -> (Disk, DataCache, Load) {
    let disk = Disk::mount(home, kind, 96);
    let (cache, mut load) = (open(home), Load::default());
    for number in 0..300 {
        cache.namespace("other").set(number, "v").unwrap();
        cache.namespace("tagged").add("v").key(number).tag("t").run().unwrap();
    }
    disk.take_all_but(40 * MIB);
    let refusal = load.add_until_refused(&cache);
    assert!(refusal.is_no_space(), "{refusal}");
    disk.take_all_but(0);
    (disk, cache, load)
}

fn no_byte_free(kind: Kind) {
    let home = Home::new();
    let (disk, cache, mut load) = full_by_another(&home, kind);
    let daemon = home.daemon();
    let refusal = load.add(&cache).unwrap_err();
    assert!(refusal.is_no_space(), "{refusal}");
    let told = || home.run(["stats", "--json"]).json()["store"]["shortage"].clone();
    assert_eq!(told()["of"], "disk", "{}", told());
    assert!(told()["since_unix_ms"].is_u64() && home.run(["stats"]).text().contains("no space left"), "{}", told());
    load.check(&cache);
    for _ in 0..20 {
        load.delete(&cache, 500).unwrap();
        // Whatever the store gives back, the other one takes.
        disk.take_all_but(0);
    }
    assert_eq!(cache.namespace("tagged").evict("t").unwrap(), 300);
    disk.take_all_but(0);
    assert_eq!(cache.namespace("other").clear().unwrap(), 300);
    assert_eq!(cache.expire().unwrap(), 0);
    // What it lists is in the index: all of that was applied.
    assert_eq!(cache.namespace("tagged").list().map(Result::unwrap).count(), 0);
    assert!(cache.list().page_size(1).next().unwrap().is_ok());
    load.check(&cache);
    assert_eq!(home.daemon().pid(), daemon.pid(), "it lives");
    assert_eq!(home.run(["verify"]).code(), 0);
}

/// The rows of places that go lie all over.
fn scattered(kind: Kind) {
    let home = Home::new();
    let (disk, cache, mut load) = full_by_another(&home, kind);
    let daemon = home.daemon();
    for _ in 0..20 {
        load.delete_scattered(&cache, 500).unwrap();
        // Whatever the store gives back, the other one takes.
        disk.take_all_but(0);
    }
    // What it lists is in the index: all of that was applied.
    assert_eq!(cache.list().map(Result::unwrap).count() as u64, load.left());
    load.check(&cache);
    assert_eq!(home.daemon().pid(), daemon.pid(), "it lives");
    assert_eq!(home.run(["verify"]).code(), 0);
}

/// What was read is given other places while others go, as long as that takes no room.
fn evicted(kind: Kind) {
    let home = Home::new();
    let (disk, cache, load) = full_by_another(&home, kind);
    let daemon = home.daemon();
    load.check(&cache);
    let limit = load.left() / 2;
    assert_eq!(home.run(["config", "set", "limit_entries", &limit.to_string()]).code(), 0);
    // Slice by slice, each of which waits for a disk that other tests keep busy too.
    eventually("the daemon evicts what is too much", 4 * PATIENCE, || {
        disk.take_all_but(0);
        cache.len().unwrap() <= limit
    });
    let log = std::fs::read_to_string(home.store().join("daemon.log")).unwrap();
    assert!(
        !log.contains("a limit can't be kept"),
        "what finds no room waits for the next segment, and no longer:\n{log}"
    );
    let evicted: u64 = cache.stats().unwrap().namespaces.iter().map(|namespace| namespace.evicted).sum();
    assert!(evicted >= load.left() - limit, "{evicted}");
    // What it lists is in the index. It goes on evicting somewhat below the limit.
    eventually("all of that is applied", PATIENCE, || {
        let (before, listed) = (cache.len().unwrap(), cache.list().map(Result::unwrap).count() as u64);
        before == listed && cache.len().unwrap() == before
    });
    assert_eq!(home.daemon().pid(), daemon.pid(), "it lives");
    assert_eq!(home.run(["verify"]).code(), 0);
}

fn opened(kind: Kind) {
    let home = Home::new();
    let (disk, cache, mut load) = full_by_another(&home, kind);
    for is_killed in [true, false, true, false] {
        load.delete(&cache, 500).unwrap();
        let daemon = home.daemon();
        match is_killed {
            true => daemon.kill(),
            false => cache.stop_daemon().unwrap(),
        }
        assert!(daemon.ends(PATIENCE));
        disk.take_all_but(0);
        home.start();
        load.check(&cache);
        // There may be some room at the head of a segment, until the daemon has looked how much there is besides.
        let refusal = load.add_until_refused(&cache);
        assert!(refusal.is_no_space(), "{refusal}");
    }
    disk.give_back();
    eventually("writes return with the space", PATIENCE, || load.add(&cache).is_ok());
    assert_eq!(cache.stats().unwrap().store.shortage, None);
    load.check(&cache);
    assert_eq!(home.run(["verify"]).code(), 0);
}

/// The shared index is of no use then, and another has to be made; who was attached to it is no more.
fn opened_after_power_went(kind: Kind) {
    let home = Home::new();
    let (disk, cache, mut load) = full_by_another(&home, kind);
    drop(cache);
    let daemon = home.daemon();
    daemon.kill();
    assert!(daemon.ends(PATIENCE));
    let index = OpenOptions::new().write(true).open(home.store().join("gen-1").join(RECENT)).unwrap();
    index.write_all_at(&[7; 128], 0).unwrap();
    disk.take_all_but(0);
    let cache = open(&home);
    load.check(&cache);
    load.delete(&cache, 500).unwrap();
    disk.take_all_but(0);
    assert_eq!(cache.namespace("tagged").evict("t").unwrap(), 300);
    load.check(&cache);
    assert_eq!(home.run(["verify"]).code(), 0);
}

/// In the index each of them takes fifty times what it takes in the log, and so many pages are changed by it.
fn tagged(kind: Kind) {
    let home = Home::new();
    let disk = Disk::mount(&home, kind, 96);
    let cache = open(&home);
    disk.take_all_but(40 * MIB);
    let key = |number: u64| format!("{number:0480}");
    let tags = || (0..64).map(|number| number.to_string());
    let mut end = 0;
    let refusal = loop {
        let batch = end..end + 10;
        match cache.add_many(batch.clone().map(|number| (key(number), "v"))).tags(tags()).run() {
            Ok(_) => end = batch.end,
            Err(refusal) => break refusal,
        }
    };
    assert!(refusal.is_no_space(), "{refusal}");
    disk.take_all_but(0);
    for batch in 0..10 {
        assert_eq!(cache.delete_many((batch * 10..batch * 10 + 10).map(key)).unwrap(), 10);
        disk.take_all_but(0);
    }
    // What it lists is in the index.
    assert_eq!(cache.list().map(Result::unwrap).count() as u64, end - 100);
    assert_eq!(cache.evict("7").unwrap(), end - 100);
    assert_eq!(cache.list().count(), 0);
    assert_eq!(home.run(["verify"]).code(), 0);
}

/// The cache itself has filled the disk, with small values and with files.
fn enough_was_deleted(kind: Kind) {
    let home = Home::new();
    let _disk = Disk::mount(&home, kind, 96);
    let (cache, mut load) = (open(&home), Load::default());
    let file = home.file("file", vec![7; 100_000]);
    let mut files = 0..;
    let mut add_file = || {
        // Each is another one.
        std::fs::write(&file, files.next().map(|number: u32| number.to_le_bytes().repeat(50_000)).unwrap()).unwrap();
        cache.namespace("files").add_file(&file).tag("t").run()
    };
    for _ in 0..250 {
        add_file().unwrap();
    }
    assert!(load.add_until_refused(&cache).is_no_space());
    assert!(add_file().unwrap_err().is_no_space());

    assert_eq!(cache.namespace("files").evict("t").unwrap(), 250);
    eventually("writes return", PATIENCE, || load.add(&cache).is_ok());
    assert!(load.add_until_refused(&cache).is_no_space());
    assert!(cache.clear().unwrap() > 0);
    load.forget();
    eventually("writes return", PATIENCE, || load.add(&cache).is_ok());
    eventually("files are taken too", PATIENCE, || add_file().is_ok());
    load.check(&cache);
    assert_eq!(home.run(["verify"]).code(), 0);
}

/// The daemon writes what comes in chunks, the client what goes by file.
fn large(kind: Kind) {
    let home = Home::new();
    let disk = Disk::mount(&home, kind, 64);
    home.start();
    disk.take_all_but(12 * MIB);
    for transfer in [Transfer::Staging, Transfer::Chunks] {
        let cache = DataCache::open(home.options().transfer(transfer)).unwrap();
        let refusal = cache.add_reader(io::repeat(7).take(32 * MIB)).run().unwrap_err();
        let told = format!("of `{}`, or none for its user; free space there", home.store().display());
        assert!(refusal.is_no_space() && refusal.to_string().contains(&told), "{refusal}");
        eventually("nothing is left of it", PATIENCE, || disk.free() > 5 * MIB);
        cache.set("small", "v").unwrap();
    }
}
