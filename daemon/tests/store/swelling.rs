//! A limit in bytes holds whatever splits pages: entries with many rows, those that grow, large batches and very many small ones, also where
//! the limit is small.

use std::collections::VecDeque;

use datacache_daemon::eviction::Policy;
use datacache_daemon::store::{Batch, Command, Put, Rule, StoreError};
use datacache_proto::error::FullCause;
use datacache_proto::key::Tag;

use crate::driver::{Driver, NOW, inline};
use crate::limited::{MIB, add, bytes, packed, rules, some};

/// Writes batches, with what they bring applied now and then, to a store that never takes more than `limit`.
fn write_below(limit: u64, driver: &mut Driver, batches: impl Iterator<Item = Vec<Command>>) {
    for (number, batch) in batches.enumerate() {
        driver.write(batch).unwrap();
        if number % 12 == 11 {
            driver.checkpoint();
        }
        let usage = driver.store().usage();
        assert!(usage.total() <= limit, "after {} batches, of {limit}: {usage:?}", number + 1);
    }
    driver.checkpoint();
    let usage = driver.store().usage();
    assert!(usage.total() <= limit, "in the end, of {limit}: {usage:?}");
}

/// Returns entries with so many tags of a few thousand.
fn tagged(random: &mut fastrand::Rng, entries: usize, tags: usize) -> Vec<Command> {
    let mut tag = || Tag::new(&format!("user:{:05}", random.u32(0..3_000))).unwrap();
    let mut all: Vec<Vec<Tag>> = (0..entries).map(|_| (0..tags).map(|_| tag()).collect()).collect();
    for tags in &mut all {
        tags.sort();
        tags.dedup();
    }
    let put = |tags| Command::Put(Put { tags, ..add("default", random.i64(..), inline(&[7; 200])) });
    all.into_iter().map(put).collect()
}

#[test]
fn each_tag_may_split_a_page_of_its_own() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut driver = packed(16 * MIB, || tagged(&mut random, 500, 8));
    write_below(16 * MIB, &mut driver, (0..36).map(|_| tagged(&mut random, 50, 8)));
}

#[test]
fn entries_that_become_larger_split_pages_as_new_ones_do() {
    let (mut random, mut keys) = (fastrand::Rng::with_seed(1), Vec::new());
    let put = |key: i64, length| Command::Put(add("default", key, inline(&vec![7; length])));
    let mut driver = packed(16 * MIB, || {
        let new: Vec<_> = (0..1_000).map(|_| random.i64(..)).collect();
        keys.extend_from_slice(&new);
        new.into_iter().map(|key| put(key, 300)).collect()
    });
    keys.retain(|key| driver.get(*key).is_some());
    random.shuffle(&mut keys);
    let larger = |keys: &[i64]| keys.iter().map(|key| put(*key, 900)).collect();
    write_below(16 * MIB, &mut driver, keys.chunks(100).take(60).map(larger));
}

#[test]
fn a_limit_holds_that_is_as_small_as_some_hundred_pages() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut driver = packed(MIB, || some(&mut random, 100, 1_000));
    write_below(MIB, &mut driver, (0..120).map(|_| some(&mut random, 10, 1_000)));
}

/// They split nearly a page for each of their rows, for which room is made and packed.
#[test]
fn batches_of_an_eighth_of_the_limit_leave_more_than_half_of_what_fits() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut driver = packed(8 * MIB, || some(&mut random, 1_000, 1_000));
    let mut least = driver.store().space().entries;
    assert!(least > 4_500, "{least}");
    for _ in 0..8 {
        write_below(8 * MIB, &mut driver, std::iter::once(some(&mut random, 1_000, 1_000)));
        least = least.min(driver.store().space().entries);
    }
    assert!(least > 2_400, "{least}");
}

/// What many clients write at once, or one without waiting for answers, is one frame.
#[test]
fn what_a_frame_has_already_counts_for_the_batches_that_are_to_join_it() {
    let (mut driver, mut random) = (Driver::new(), fastrand::Rng::with_seed(1));
    driver.store().set_rules(bytes(8 * MIB));
    while driver.store().usage().total() < 4 * MIB {
        driver.write(some(&mut random, 100, 1_000)).unwrap();
        driver.checkpoint();
    }
    let mut batches: VecDeque<_> =
        some(&mut random, 3_000, 1_000).into_iter().map(|command| Batch::of(command, None)).collect();
    let mut results = Vec::new();
    driver.store().write(&mut batches, NOW, &mut results);
    assert!(results.len() > 500 && !batches.is_empty(), "{}", results.len());
    driver.checkpoint();
    let usage = driver.store().usage();
    assert!(usage.total() <= 8 * MIB, "{usage:?}");
}

/// A batch waited for room for ever that nothing gave.
#[test]
fn where_nothing_may_be_evicted_a_batch_without_room_is_refused_however_large_it_is() {
    for size in [1, 200, 5_000] {
        let (mut driver, mut random) = (Driver::new(), fastrand::Rng::with_seed(1));
        driver.store().set_rules(rules(Rule { limit: Some(8 * MIB), policy: Some(Policy::None), ..Rule::default() }));
        let refused = loop {
            match driver.write(some(&mut random, size, 300)) {
                Ok(_) => assert!(driver.store().usage().total() <= 8 * MIB),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::Full { cause: FullCause::Policy, .. }), "{refused}");
        assert!(size > 200 || driver.store().usage().total() > 7 * MIB, "{:?}", driver.store().usage());
    }
}
