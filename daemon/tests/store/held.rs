//! Limits where much of what is there is held: what may go is found at little cost, and where nothing may, nothing is done.

use std::ops::{Bound, Range};

use datacache_daemon::eviction::Policy;
use datacache_daemon::store::{BatchResult, Command, Condition, Holder, Put, Reserve, Rule, Rules, StoreError};
use datacache_proto::error::FullCause;
use datacache_proto::layout::{index_key, tables};
use datacache_proto::process::Process;
use datacache_proto::time::Timestamp;
use heed::{Env, RwTxn};

use crate::driver::{Driver, NOW, inline};
use crate::limited::{MIB, add, limited, put};
use crate::older::{Table, with_index};

const ALL_BUT_NONE: [Policy; 4] = [Policy::S3Fifo, Policy::Lru, Policy::Lfu, Policy::Fifo];
/// Keys of entries that are pinned begin there.
const PINNED: i64 = 1_000_000;

/// Limits of the whole store, all of which may be held.
fn rules(all: Rule) -> Rules {
    Rules { all, held_percent: 100, reserve: Reserve::Bytes(0), ..Rules::default() }
}

fn entries(limit: u64) -> Rules {
    rules(Rule { limit_entries: Some(limit), ..Rule::default() })
}

fn bytes(limit: u64) -> Rules {
    rules(Rule { limit: Some(limit), ..Rule::default() })
}

/// Adds entries that are a value of so many bytes, pinned from [`PINNED`] on.
fn put_all(driver: &mut Driver, namespace: &str, keys: Range<i64>, length: usize) {
    for key in keys {
        put(driver, Put { pinned: key >= PINNED, ..add(namespace, key, inline(&vec![7; length])) }).unwrap();
    }
}

fn has(driver: &mut Driver, namespace: &str, key: i64) -> bool {
    let store = driver.store();
    let namespace = store.namespace(namespace).unwrap();
    store.lookup(namespace, &key.into(), NOW, |_| ()).unwrap().is_some()
}

fn count(driver: &mut Driver, namespace: &str, keys: Range<i64>) -> usize {
    keys.into_iter().filter(|key| has(driver, namespace, *key)).count()
}

fn total(driver: &mut Driver) -> u64 {
    driver.store().space().entries
}

fn operations(driver: &mut Driver) -> u64 {
    driver.store().counters().operations
}

fn is_full(told: &BatchResult, cause: FullCause) -> bool {
    matches!(told, Err(StoreError::Full { of: None, cause: told }) if *told == cause)
}

#[test]
fn where_most_entries_are_held_the_others_make_way_at_little_cost() {
    for policy in [Policy::S3Fifo, Policy::Lru] {
        for held in [500, 950, 990] {
            let mut driver = limited(rules(Rule { policy: Some(policy), ..entries(1_000).all }));
            put_all(&mut driver, "default", PINNED..PINNED + held, 5);
            put_all(&mut driver, "default", 0..1_000 - held, 5);
            let before = operations(&mut driver);
            for key in 5_000..5_300 {
                put_all(&mut driver, "default", key..key + 1, 5);
                assert!(total(&mut driver) <= 1_000 && has(&mut driver, "default", key));
                if key % 100 == 0 {
                    driver.checkpoint();
                }
            }
            let each = (operations(&mut driver) - before) / 300;
            assert!(each <= 5, "{each} operations an addition by {policy}, {held} held");
            assert_eq!(count(&mut driver, "default", PINNED..PINNED + held), held as usize);
        }
    }
}

/// All that is held was passed over once more, slice by slice, each time that many had been deleted, or the settings were read again.
#[test]
fn what_was_passed_over_is_not_looked_at_again_where_others_are_deleted() {
    const HELD: i64 = 4_750;
    for policy in [Policy::S3Fifo, Policy::Fifo] {
        let limits = rules(Rule { policy: Some(policy), ..entries(5_000).all });
        let mut driver = limited(limits.clone());
        put_all(&mut driver, "default", PINNED..PINNED + HELD, 5);
        put_all(&mut driver, "default", 0..300, 5);
        for round in 1..4 {
            delete_all(&mut driver, 100_000 * (round - 1)..100_000 * (round - 1) + 300);
            for first in (0..26).map(|turn| 100_000 * round + 1_000 + 200 * turn) {
                let put = |key| Command::Put(add("default", key, inline(b"value")));
                driver.write((first..first + 200).map(put).collect()).unwrap();
                delete_all(&mut driver, first..first + 200);
            }
            driver.checkpoint();
            driver.store().set_rules(limits.clone());
            let before = driver.slices;
            put_all(&mut driver, "default", 100_000 * round..100_000 * round + 300, 5);
            let slices = driver.slices - before;
            assert!(slices <= 10, "{slices} slices of an eviction for 300 additions by {policy}");
            assert!(total(&mut driver) <= 5_000);
        }
        assert_eq!(count(&mut driver, "default", PINNED..PINNED + HELD), HELD as usize);
    }
}

/// Deletes entries of the first namespace in one call.
fn delete_all(driver: &mut Driver, keys: Range<i64>) {
    let delete = |key: i64| Command::Delete { namespace: 1, key: key.into(), when: Condition::Live };
    driver.write(keys.map(delete).collect()).unwrap();
}

#[test]
fn where_most_bytes_are_held_the_others_make_way_at_little_cost() {
    let mut driver = limited(bytes(4 * MIB));
    let mut held = 0;
    while driver.store().space().held_bytes < 4 * MIB * 9 / 10 {
        put_all(&mut driver, "default", PINNED + held..PINNED + held + 1, 3_000);
        held += 1;
    }
    driver.checkpoint();
    let before = operations(&mut driver);
    for key in 0..1_000 {
        put_all(&mut driver, "default", key..key + 1, 3_000);
        let slices = driver.relieve();
        assert!(slices < 50, "{slices} slices beside addition {key}");
        if key % 200 == 199 {
            driver.checkpoint();
        }
    }
    let each = (operations(&mut driver) - before) / 1_000;
    assert!(each <= 10, "{each} operations an addition");
    assert_eq!(count(&mut driver, "default", PINNED..PINNED + held), held as usize);
}

/// Its new places were applied, which woke it, and it gave others.
#[test]
fn a_store_above_its_limit_in_which_nothing_can_go_comes_to_rest() {
    let mut driver = limited(rules(Rule::default()));
    put_all(&mut driver, "default", PINNED..PINNED + 700, 2_900);
    put_all(&mut driver, "default", 0..100, 2_900);
    driver.checkpoint();
    for limits in [bytes(MIB), entries(100)] {
        driver.store().set_rules(limits);
        let before = operations(&mut driver);
        driver.relieve();
        driver.checkpoint();
        assert_eq!(total(&mut driver), 700, "what may go is gone");
        assert!(operations(&mut driver) - before <= 300, "{}", operations(&mut driver) - before);
        let (before, slices) = (driver.store().counters(), driver.relieve());
        assert!(!driver.store().has_surplus() && slices <= 40, "{slices}");
        (0..3).for_each(|_| assert_eq!(driver.relieve(), 0));
        assert_eq!(driver.store().counters().frames, before.frames);
        driver.store().set_rules(rules(Rule::default()));
        put_all(&mut driver, "default", 0..100, 2_900);
    }
}

#[test]
fn what_is_refused_because_all_is_held_costs_nothing() {
    let mut driver = limited(entries(500));
    put_all(&mut driver, "default", PINNED..PINNED + 500, 5);
    let before = driver.store().counters().frames;
    for key in 0..10 {
        let refused = put(&mut driver, add("default", key, inline(b"new")));
        assert!(is_full(&refused, FullCause::Held), "{refused:?}");
    }
    assert_eq!(driver.store().counters().frames, before);
}

#[test]
fn what_is_let_go_is_found_again() {
    let holder = Some(Holder { process: Process { boot: 1, pid: 2, start: 3 }, scope: 4 });
    for policy in ALL_BUT_NONE {
        let limits = rules(Rule { policy: Some(policy), ..entries(300).all });
        let mut driver = limited(limits.clone());
        put_all(&mut driver, "default", PINNED..PINNED + 300, 5);
        for round in 0..6 {
            assert!(is_full(&put(&mut driver, add("default", -1, inline(b"new"))), FullCause::Held));
            if round % 2 == 0 {
                driver.checkpoint();
            }
            if round == 3 {
                driver = driver.reopened_after(|_| ());
                driver.store().set_rules(limits.clone());
            }
            // What was pinned is so no longer; its value is the same or another.
            let unpinned = PINNED + 7 * round;
            put(&mut driver, add("default", unpinned, inline(&vec![7; 5 + (round % 3) as usize]))).unwrap();
            let pinned = Put { pinned: true, ..add("default", round, inline(b"new")) };
            put(&mut driver, pinned).unwrap();
            assert!(!has(&mut driver, "default", unpinned), "round {round} by {policy}");
            assert_eq!(total(&mut driver), 300);
        }
        put(&mut driver, Put { holder, ..add("default", PINNED + 100, inline(b"bound")) }).unwrap();
        assert!(is_full(&put(&mut driver, add("default", -1, inline(b"new"))), FullCause::Held));
        put(&mut driver, add("default", PINNED + 100, inline(b"free"))).unwrap();
        put(&mut driver, add("default", -1, inline(b"new"))).unwrap();
        assert!(!has(&mut driver, "default", PINNED + 100));
        driver.checkpoint();
        let report = driver.store().reader().verify(&driver.store().blobs()).unwrap();
        assert_eq!(driver.store().conclude(report, false).0.findings, []);
    }
}

#[test]
fn where_entries_are_too_many_those_of_the_pool_with_most_entries_go() {
    let own = Rule { policy: Some(Policy::Fifo), ..Rule::default() };
    let mut driver = limited(Rules { namespaces: [("big".to_owned(), own)].into(), ..entries(500) });
    put_all(&mut driver, "big", 0..10, 100_000);
    put_all(&mut driver, "small", 0..1_500, 5);
    assert_eq!(count(&mut driver, "big", 0..10), 10);
    assert!((490..=500).contains(&total(&mut driver)));
}

#[test]
fn pinned_entries_have_a_share_of_the_entries() {
    let mut driver = limited(Rules { held_percent: 50, ..entries(20) });
    put_all(&mut driver, "default", 0..20, 5);
    let pin = |driver: &mut Driver, key| put(driver, Put { pinned: true, ..add("default", key, inline(b"pinned")) });
    (10..20).for_each(|key| drop(pin(&mut driver, key).unwrap()));
    for key in [5, 100] {
        let refused = pin(&mut driver, key);
        assert!(is_full(&refused, FullCause::HeldEntries { limit: 10 }), "{refused:?}");
    }
    pin(&mut driver, 15).unwrap();
    put_all(&mut driver, "default", 200..300, 5);
    assert_eq!((count(&mut driver, "default", 10..20), total(&mut driver)), (10, 20));
    // The count is kept over a restart.
    driver = driver.reopened_after(|_| ());
    driver.store().set_rules(Rules { held_percent: 50, ..entries(20) });
    assert!(is_full(&pin(&mut driver, 100), FullCause::HeldEntries { limit: 10 }));
    put(&mut driver, add("default", 10, inline(b"free"))).unwrap();
    pin(&mut driver, 100).unwrap();
}

#[test]
fn a_bound_value_that_takes_the_place_of_another_counts_as_held_in_full() {
    let holder = Some(Holder { process: Process { boot: 1, pid: 2, start: 3 }, scope: 4 });
    let mut driver = limited(Rules { held_percent: 50, ..bytes(4 * MIB) });
    let mut refused = 0;
    for key in 0..30 {
        put(&mut driver, add("default", key, inline(&vec![7; 100_000]))).unwrap();
        // On the same value a lease holds nothing: it is there for good.
        put(&mut driver, Put { holder, ..add("default", key, inline(&vec![7; 100_000])) }).unwrap();
        let told = put(&mut driver, Put { holder, ..add("default", key, inline(&vec![8; 100_000])) });
        refused += u32::from(matches!(told, Err(StoreError::Full { cause: FullCause::HeldLimit { .. }, .. })));
        assert!(driver.store().space().held_bytes <= 2 * MIB, "{key}");
    }
    assert!((5..15).contains(&refused), "{refused}");
}

/// It was taken for a lease on what is there for good, or for one more on what is held: neither counted, and all of the store was held.
#[test]
fn what_is_held_is_counted_where_what_had_expired_or_stood_before_it_in_the_batch_was_the_same() {
    let holder = Some(Holder { process: Process { boot: 1, pid: 2, start: 3 }, scope: 4 });
    let ended = Some(Timestamp::from_millis(NOW.as_millis() - 1));
    let value = |key, byte: u8| add("default", key, inline(&vec![byte; 100_000]));
    for (expires, pinned, batched) in [(ended, false, false), (ended, true, false), (None, false, true)] {
        let mut driver = limited(Rules { held_percent: 50, ..bytes(4 * MIB) });
        let mut refused = 0;
        for key in 0..30 {
            put(&mut driver, Put { expires, ..value(key, 7) }).unwrap();
            let held = |byte| Command::Put(Put { pinned, holder: holder.filter(|_| !pinned), ..value(key, byte) });
            let told = driver.write(if batched { vec![held(7), held(8)] } else { vec![held(7)] });
            refused += u32::from(matches!(told, Err(StoreError::Full { cause: FullCause::HeldLimit { .. }, .. })));
            assert!(driver.store().space().held_bytes <= 2 * MIB, "{key}");
        }
        assert!((5..15).contains(&refused), "{refused}");
    }
}

/// The second of them was counted as held, and the batch refused.
#[test]
fn leases_in_one_batch_on_what_is_there_for_good_hold_nothing() {
    let holder = Some(Holder { process: Process { boot: 1, pid: 2, start: 3 }, scope: 4 });
    let value = |key: i64| add("default", key, inline(&vec![7; 100_000]));
    let mut driver = limited(Rules { held_percent: 50, ..bytes(4 * MIB) });
    for key in 0..21 {
        put(&mut driver, Put { pinned: key < 19, ..value(key) }).unwrap();
    }
    let leased = || (0..3).flat_map(|_| (19..21).map(|key| Command::Put(Put { holder, ..value(key) }))).collect();
    let held = driver.store().space().held_bytes;
    assert!(held + 200_000 > 2 * MIB, "{held}");
    for _ in 0..2 {
        driver.write(leased()).unwrap();
    }
    assert_eq!(driver.store().space().held_bytes, held);
}

/// The log has their places until it is applied, and they were taken for all that there is.
#[test]
fn what_is_left_is_found_behind_the_places_of_all_that_went() {
    for (limit, held) in [(300, 250), (3, 0), (3, 2)] {
        let limits = entries(limit);
        let own = Rule { policy: Some(Policy::S3Fifo), ..Rule::default() };
        let apart = Rules { namespaces: [("default".to_owned(), own)].into(), ..limits.clone() };
        let mut driver = limited(limits.clone());
        put_all(&mut driver, "default", PINNED..PINNED + held, 5);
        put_all(&mut driver, "default", 0..3_000, 5);
        for key in 3_000..3_030 {
            // A pool that is new begins with the first places.
            driver.store().set_rules(apart.clone());
            driver.store().set_rules(limits.clone());
            let before = driver.slices;
            put_all(&mut driver, "default", key..key + 1, 5);
            assert!(driver.slices - before <= 80, "{} slices with {held} of {limit} held", driver.slices - before);
        }
        assert!(total(&mut driver) <= limit);
    }
}

/// Only damage takes places away, and a repair makes them anew.
#[test]
fn where_a_pool_gives_nothing_another_one_does_and_it_is_asked_again_after_a_repair() {
    let own = Rule { policy: Some(Policy::Fifo), ..Rule::default() };
    let limits = |limit| Rules { namespaces: [("own".to_owned(), own)].into(), ..entries(limit) };
    let mut driver = limited(limits(300));
    put_all(&mut driver, "default", 0..200, 5);
    put_all(&mut driver, "own", 0..100, 5);
    driver = driver.reopened_after(|store| with_index(&store.join("current"), forget_places_of_the_first));
    driver.store().set_rules(limits(300));
    put_all(&mut driver, "own", 1_000..1_200, 5);
    assert_eq!(count(&mut driver, "default", 0..200), 200);
    driver.store().set_rules(limits(100));
    assert!(driver.relieve() < 20 && !driver.store().has_surplus());
    assert_eq!(total(&mut driver), 200, "all of the other one is gone");
    driver.checkpoint();
    let reader = driver.store().reader();
    let report = reader.verify(&driver.store().blobs()).unwrap();
    assert!(driver.store().conclude(report, true).1.rebuild);
    driver.store().correct(&reader.rebuild().unwrap());
    driver.relieve();
    assert!(total(&mut driver) <= 100);
}

/// Takes the places of the first namespace away.
fn forget_places_of_the_first(env: &Env, txn: &mut RwTxn<'_>) {
    for name in [tables::SMALL, tables::MAIN] {
        let table: Table = env.open_database(txn, Some(name)).unwrap().unwrap();
        let (first, second) = (index_key(1, &[]).to_vec(), index_key(2, &[]).to_vec());
        table.delete_range(txn, &(Bound::Included(&first[..]), Bound::Excluded(&second[..]))).unwrap();
    }
}
