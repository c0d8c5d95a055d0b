//! A limit in bytes holds between two applies too, and after each, although what comes splits full pages.

use std::time::Duration;

use datacache_daemon::store::Command;
use datacache_proto::key::Key;

use crate::driver::{Driver, NOW, inline};
use crate::limited::{MIB, add, bytes, packed, some};

/// Adds entries under keys in the disorder of hashes, in one call.
fn add_some(driver: &mut Driver, random: &mut fastrand::Rng, entries: usize, length: usize) {
    driver.write(some(random, entries, length)).unwrap();
}

/// Has much come to a packed store, at one go and with what is applied in between.
fn fill_anew(limit: u64, length: usize) {
    let mut random = fastrand::Rng::with_seed(1);
    let mut driver = packed(limit, || some(&mut random, 1_000, length));
    let before = driver.store().space().entries;
    for round in 0..3 {
        for _ in 0..12 {
            add_some(&mut driver, &mut random, 100, length);
            let usage = driver.store().usage();
            assert!(usage.total() <= limit, "of {limit}, round {round}: {usage:?}");
        }
        driver.checkpoint();
        let usage = driver.store().usage();
        assert!(usage.total() <= limit, "of {limit}, after round {round}: {usage:?}");
    }
    let left = driver.store().space().entries;
    // Pages of which each has room for three rows are half empty once they were split.
    assert!(left * 5 >= before * 2, "of {limit}: {left} of {before}");
}

#[test]
fn a_store_whose_pages_have_room_for_one_more_takes_no_more_than_its_limit_while_much_comes() {
    [8, 32].into_iter().for_each(|mib| fill_anew(mib * MIB, 300));
}

#[test]
fn a_store_whose_pages_are_full_takes_no_more_than_its_limit_while_much_comes() {
    [8, 32].into_iter().for_each(|mib| fill_anew(mib * MIB, 1_000));
}

#[test]
fn a_store_that_fills_for_the_first_time_takes_no_more_than_its_limit() {
    for length in [300, 1_000] {
        let (mut driver, mut random) = (Driver::new(), fastrand::Rng::with_seed(2));
        driver.store().set_rules(bytes(8 * MIB));
        for _ in 0..240 {
            add_some(&mut driver, &mut random, 100, length);
            let usage = driver.store().usage();
            assert!(usage.total() <= 8 * MIB, "{length} bytes: {usage:?}");
        }
        assert!(driver.store().evicted(1) > 0);
    }
}

/// An eviction takes room in the log before it gives any, and what makes nothing larger in the end is taken up to the limit.
#[test]
fn an_eviction_beside_the_calls_leads_no_further_than_the_limit_either() {
    let mut driver = Driver::new();
    driver.store().set_rules(bytes(8 * MIB));
    let key = |number: usize| Key::text(&format!("{number:08}").repeat(250));
    let puts = (0..12_000).map(|number| Command::Put(add("default", key(number), inline(&[7]))));
    let expires = Some(NOW.after(Duration::from_secs(60)));
    let touches = (11_000..12_000).map(|number| Command::Touch { namespace: 1, key: key(number), expires });
    for command in puts.chain(touches) {
        driver.write(vec![command]).unwrap();
        loop {
            let before = driver.store().usage().total();
            let goes_on = driver.store().evict_surplus(NOW).unwrap();
            let usage = driver.store().usage();
            assert!(usage.total() <= before.max(8 * MIB), "{before} before: {usage:?}");
            if !goes_on {
                break;
            }
        }
    }
}

/// What is not applied yet is reckoned with before more comes, and no reason to evict.
#[test]
fn a_store_that_rests_below_its_limit_stays_whole() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut driver = packed(8 * MIB, || some(&mut random, 1_000, 300));
    driver.store().set_rules(bytes(16 * MIB));
    add_some(&mut driver, &mut random, 200, 300);
    let (entries, taken) = (driver.store().space().entries, driver.store().usage().total());
    // Just below the mark from which on it is evicted, as it is.
    driver.store().set_rules(bytes(taken * 64 / 62));
    driver.relieve();
    assert_eq!(driver.store().space().entries, entries);
}

#[test]
fn what_is_told_of_the_index_are_the_pages_that_it_takes() {
    let mut random = fastrand::Rng::with_seed(4);
    let mut driver = packed(8 * MIB, || some(&mut random, 1_000, 300));
    add_some(&mut driver, &mut random, 100, 300);
    let (space, stats) = (driver.store().space(), driver.store().stats().unwrap());
    assert_eq!(space.index_bytes, stats.index_bytes);
    assert!(space.log_bytes >= stats.unapplied_bytes && space.bytes == space.index_bytes + space.log_bytes);
}
