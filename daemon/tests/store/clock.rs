//! A wall clock that is set forward and back under a store.

use std::time::Duration;

use datacache_daemon::store::{Batch, Command, Outcome, Store};
use datacache_proto::key::Key;
use datacache_proto::time::Timestamp;

use crate::driver::{Driver, NOW, inline, put};

const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Writes at a moment, and returns the version of what was written.
fn write_at(driver: &mut Driver, now: Timestamp, command: Command) -> u64 {
    let mut results = Vec::new();
    driver.store().write(&mut [Batch::of(command, None)].into(), now, &mut results);
    match results.pop().unwrap().unwrap()[..] {
        [Outcome::Added(added)] => added.version,
        ref other => panic!("{other:?}"),
    }
}

fn sees(driver: &mut Driver, key: &str, now: Timestamp) -> bool {
    let namespace = driver.store().namespace("default").unwrap();
    driver.store().lookup(namespace, &Key::from(key), now, |_| ()).unwrap().is_some()
}

fn due(store: &mut Store, now: Timestamp) -> usize {
    store.plan_expired(None, now, None, 100).unwrap().commands.len()
}

/// Sweeps as a daemon does before it waits: what ends next is known after that, and not before.
fn next_expiry_seen_at(store: &mut Store, now: Timestamp) -> Option<Timestamp> {
    let just_after = Timestamp::from_millis(now.as_millis() + 1);
    assert_eq!((store.next_expiry(now), due(store, now)), (Some(just_after), 0));
    store.next_expiry(now)
}

#[test]
fn versions_grow_whatever_the_clock_shows() {
    let mut driver = Driver::new();
    let writes = [(NOW, b"a"), (NOW.after(YEAR), b"b"), (NOW, b"c"), (Timestamp::from_millis(1), b"d"), (NOW, b"e")];
    let versions = writes.map(|(now, value)| write_at(&mut driver, now, put("k", inline(value))));
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    let mut driver = driver.revived_after(|_| ());
    assert!(write_at(&mut driver, Timestamp::from_millis(1), put("k", inline(b"f"))) > versions[4]);
}

/// The driver's entries live for an hour from `NOW` on.
#[test]
fn an_entry_is_gone_from_its_deadline_on_as_the_clock_shows_it_and_there_before() {
    for is_applied in [false, true] {
        let mut driver = Driver::new();
        driver.put("k", inline(b"v"));
        if is_applied {
            driver.checkpoint();
        }
        let deadline = NOW.after(HOUR);
        assert!(sees(&mut driver, "k", NOW) && !sees(&mut driver, "k", deadline));
        assert_eq!(next_expiry_seen_at(driver.store(), NOW), Some(deadline));
        // Set forward for a moment, in which nothing was swept, and back.
        assert!(!sees(&mut driver, "k", NOW.after(YEAR)) && sees(&mut driver, "k", NOW));
        let just_before = Timestamp::from_millis(deadline.as_millis() - 1);
        assert_eq!(due(driver.store(), just_before), 0);
        assert_eq!(due(driver.store(), deadline), 1);
        // A sweep that was planned and not done is planned again, also by a clock that was set back.
        assert_eq!((due(driver.store(), just_before), due(driver.store(), deadline)), (0, 1));
        assert_eq!(next_expiry_seen_at(driver.store(), NOW), Some(deadline));
    }
}
