//! What is evicted makes room, although it leaves a little of every page: sparse pages are filled up before more goes.

use std::ops::Range;

use datacache_daemon::store::{Command, Condition, Put};
use datacache_proto::key::Key;
use datacache_proto::types::Codec;

use crate::driver::{Driver, inline};
use crate::limited::{MIB, bytes};

/// Keys in the disorder of hashes.
fn key(number: u64) -> Key {
    Key::from(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[..])
}

/// Adds entries of `length` bytes, several in each call.
fn add(driver: &mut Driver, numbers: Range<u64>, length: usize) {
    let put = |number| Put {
        namespace: "default".into(),
        key: key(number).into(),
        codec: Codec::Bytes,
        value: inline(&vec![7; length]),
        expires: None,
        tags: Vec::new(),
        pinned: false,
        holder: None,
    };
    for numbers in numbers.collect::<Vec<_>>().chunks(8) {
        driver.write(numbers.iter().map(|number| Command::Put(put(*number))).collect()).unwrap();
    }
}

/// Has all limits kept, as measured.
fn settle(driver: &mut Driver) {
    loop {
        driver.checkpoint();
        let evicted = driver.store().evicted(1);
        driver.relieve();
        if driver.store().evicted(1) == evicted {
            return;
        }
    }
}

fn assert_clean(driver: &mut Driver) {
    driver.checkpoint();
    let report = driver.store().reader().verify(&driver.store().blobs()).unwrap();
    let (verification, _) = driver.store().conclude(report, false);
    assert_eq!(verification.findings, []);
}

/// Returns a store with entries of `length` bytes, after its limit was lowered by a part of what it takes; and how many are left.
fn lowered(entries: u64, length: usize, by: u64) -> (Driver, u64) {
    let mut driver = Driver::new();
    add(&mut driver, 0..entries, length);
    driver.checkpoint();
    let taken = driver.store().usage().total();
    driver.store().set_rules(bytes(taken - taken / by));
    settle(&mut driver);
    let usage = driver.store().usage();
    assert!(usage.total() <= taken - taken / by, "{usage:?} of {taken}");
    assert_clean(&mut driver);
    let left = driver.store().space().entries;
    (driver, left)
}

/// Half of them went.
#[test]
fn a_limit_that_is_lowered_by_a_twentieth_costs_hardly_an_entry() {
    for length in [100, 300, 1_000] {
        let (driver, left) = lowered(8_000, length, 20);
        assert!(left >= 7_600, "{length} bytes: {left}");
        let mut driver = driver.revived_after(|_| ());
        assert_eq!(driver.len(), left);
        let found = (0..8_000).filter(|number| driver.get(key(*number)).is_some_and(|value| value == vec![7; length]));
        assert_eq!(found.count() as u64, left);
    }
}

/// It would have evicted by what its rows are reckoned at, until the pages are below the limit.
#[test]
fn a_call_on_a_store_whose_limit_was_lowered_costs_hardly_an_entry() {
    let mut driver = Driver::new();
    add(&mut driver, 0..8_000, 300);
    driver.checkpoint();
    let limit = driver.store().usage().total() * 19 / 20;
    driver.store().set_rules(bytes(limit));
    add(&mut driver, 10_000..10_008, 300);
    let left = driver.store().space().entries;
    assert!(left >= 7_800, "{left}");
    assert!(driver.store().usage().total() <= limit);
}

#[test]
fn nothing_is_refused_for_pages_that_can_be_packed() {
    let mut driver = Driver::new();
    add(&mut driver, 0..8_000, 300);
    driver.checkpoint();
    let deleted = (0..8_000).filter(|number| number % 10 >= 4);
    for number in deleted {
        driver.write(vec![Command::Delete { namespace: 1, key: key(number), when: Condition::Live }]).unwrap();
    }
    driver.checkpoint();
    let limit = driver.store().usage().total() * 6 / 10;
    driver.store().set_rules(bytes(limit));
    add(&mut driver, 10_000..10_001, 300);
    let left = driver.store().space().entries;
    assert!(left >= 3_000, "{left} of 3,201");
}

#[test]
fn where_packing_brings_nothing_eviction_goes_on() {
    // Each value has a page of its own, which is full.
    let (_, left) = lowered(1_000, 3_000, 20);
    assert!((850..960).contains(&left), "{left}");
    let (_, left) = lowered(8_000, 300, 2);
    assert!((3_400..4_800).contains(&left), "{left}");
    // One page has all of them.
    lowered(5, 300, 20);
}

#[test]
fn a_full_cache_keeps_its_pages_full_while_entries_come_and_go() {
    let mut driver = Driver::new();
    driver.store().set_rules(bytes(4 * MIB));
    for from in (0..30_000).step_by(100) {
        add(&mut driver, from..from + 100, 300);
        driver.relieve();
    }
    settle(&mut driver);
    let (usage, of) = (driver.store().usage(), driver.store().namespace_space(1));
    assert!(usage.total() <= 4 * MIB, "{usage:?}");
    assert!(of.bytes * 100 >= usage.index * 60, "{} of {usage:?}", of.bytes);
    assert_clean(&mut driver);
}
