//! What is left to others on the disk is told as that: in the statistics, and where something is refused for it.

use datacache_daemon::eviction::Policy;
use datacache_daemon::store::{BatchResult, NewValue, Put, Reserve, Rule, Rules, StoreError};
use datacache_proto::error::FullCause;

use crate::driver::{Driver, inline};
use crate::limited::{self, MIB, add, limited};

/// More than any disk has: others always take so much that the store is left the least that it ever is.
const ALL: Reserve = Reserve::Bytes(1 << 60);
const LEAST: u64 = 16 * MIB;

fn driver(reserve: Reserve, all: Rule) -> Driver {
    limited(Rules { all, held_percent: 100, reserve, ..Rules::default() })
}

fn put(driver: &mut Driver, key: i64, value: NewValue, pinned: bool) -> BatchResult {
    limited::put(driver, Put { pinned, ..add("default", key, value) })
}

fn cause<T>(refused: &Result<T, StoreError>) -> Option<FullCause> {
    match refused {
        Err(StoreError::Full { of: None, cause }) => Some(*cause),
        _ => None,
    }
}

#[test]
fn the_limit_that_is_told_is_the_one_that_is_kept() {
    let told = |reserve, limit| driver(reserve, Rule { limit, ..Rule::default() }).store().space().limit;
    assert_eq!(
        [None, Some(LEAST / 2), Some(2 * LEAST)].map(|limit| told(ALL, limit)),
        [LEAST, LEAST / 2, LEAST].map(Some)
    );
    let huge = 1 << 60;
    let left = told(Reserve::Bytes(MIB), Some(huge)).expect("there is a limit");
    assert!(left < huge, "there is more free than the reserve, and the store keeps below that: {left}");
    assert!(told(Reserve::Bytes(MIB), None).is_some());
    assert_eq!(told(Reserve::Bytes(0), None), None);
}

#[test]
fn a_value_that_only_others_keep_out_is_refused_for_the_reserve_and_not_for_the_limit() {
    let mut driver = driver(ALL, Rule { limit: Some(24 * MIB), ..Rule::default() });
    let fits = driver.store().fits_anywhere("default", LEAST);
    assert_eq!(cause(&fits), Some(FullCause::Reserve), "{fits:?}");
    let value = driver.stage(&vec![7; LEAST as usize]);
    let refused = put(&mut driver, 1, value, false);
    assert_eq!(cause(&refused), Some(FullCause::Reserve), "{refused:?}");
    assert_eq!(driver.store().space().refused, 1);

    let never = driver.store().fits_anywhere("default", 24 * MIB);
    assert!(matches!(never, Err(StoreError::NeverFits { of: None, limit, .. }) if limit == 24 * MIB), "{never:?}");
    let value = driver.stage(&vec![7; 24 << 20]);
    let never = put(&mut driver, 1, value, false);
    assert!(matches!(never, Err(StoreError::NeverFits { of: None, limit, .. }) if limit == 24 * MIB), "{never:?}");
}

#[test]
fn where_others_fill_the_disk_that_is_the_cause_and_not_a_limit_that_could_be_raised() {
    let mut driver = driver(ALL, Rule { policy: Some(Policy::None), ..Rule::default() });
    let refused = (0..64).find_map(|key| put(&mut driver, key, inline(&vec![7; MIB as usize]), false).err());
    let refused = refused.map_or(Ok(()), Err);
    assert_eq!(cause(&refused), Some(FullCause::Reserve), "{refused:?}");
}

#[test]
fn a_limit_of_entries_is_not_what_others_leave() {
    let mut driver = driver(ALL, Rule { limit_entries: Some(2), ..Rule::default() });
    (0..2).for_each(|key| drop(put(&mut driver, key, inline(b"pinned"), true).unwrap()));
    let refused = put(&mut driver, 2, inline(b"new"), false);
    assert_eq!(cause(&refused), Some(FullCause::Held), "{refused:?}");
}
