//! Places after damage: what is wrong with them is found and mended, and what is lost of the log leaves none wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use datacache_daemon::eviction::{Note, Place, Queue};
use datacache_daemon::store::{Command, Condition, Outcome, Put};
use datacache_proto::key::Key;
use datacache_proto::layout::{index_key, tables};
use datacache_proto::types::Fault;

use super::{birth, encoded, evict, findings, keep, queue, rows_of, tampered};
use crate::driver::{Driver, NOW, inline, put};

/// A store with three entries, of which the third was kept, and all is in the index.
fn three() -> Driver {
    let mut driver = Driver::new();
    (1..=3).for_each(|key| driver.put(key, inline(b"v")));
    let third = birth(&mut driver, 3).seq;
    keep(&mut driver, 3, third);
    driver
}

fn check_mended(mut driver: Driver, fault: Fault) {
    let found = findings(&mut driver, true);
    assert!(!found.is_empty() && found.iter().all(|finding| finding.fault == fault && finding.repaired), "{found:?}");
    assert_eq!(findings(&mut driver, false), []);
    let third = birth(&mut driver, 3).seq;
    assert_eq!(
        [keep(&mut driver, 3, third), evict(&mut driver, 3, third)],
        [Outcome::Kept(true), Outcome::Evicted(true)]
    );
    assert_eq!(findings(&mut driver, false), []);
}

#[test]
fn a_place_that_is_lost_is_made_anew_and_the_others_stay() {
    let (driver, before) = queue(three(), tables::MAIN);
    let driver = tampered(driver, tables::SMALL, |small, txn| {
        let first = small.first(txn).unwrap().unwrap().0.to_vec();
        small.delete(txn, &first).unwrap();
    });
    let (mut driver, _) = queue(driver, tables::SMALL);
    assert_eq!(findings(&mut driver, true).len(), 1);
    assert_eq!(findings(&mut driver, false), []);
    let (_, after) = queue(driver, tables::MAIN);
    assert_eq!(before, after, "what was kept since its birth stands where it stood");
}

#[test]
fn a_place_without_an_entry_is_found_and_goes() {
    check_mended(
        tampered(three(), tables::SMALL, |small, txn| {
            let (key, row) = small.first(txn).unwrap().map(|(key, row)| (key.to_vec(), row.to_vec())).unwrap();
            let other = [&key[..4], &[0xff; 8]].concat();
            small.put(txn, &other, &row).unwrap();
        }),
        Fault::WrongIndexRow,
    );
}

/// They stayed until the store was looked at as a whole.
#[test]
fn the_place_of_a_damaged_record_goes_when_that_is_replaced_or_dropped() {
    let mut driver = tampered(three(), tables::ENTRIES, |entries, txn| {
        for key in [1, 3] {
            let index_key = index_key(1, &encoded(key));
            let mut row = entries.get(txn, &index_key).unwrap().unwrap().to_vec();
            *row.last_mut().unwrap() ^= 1;
            entries.put(txn, &index_key, &row).unwrap();
        }
    });
    driver.put(1, inline(b"new"));
    assert_eq!(driver.get(3), None);
    driver.store().progress(NOW);
    let born = birth(&mut driver, 1).seq;
    driver.checkpoint();
    let (driver, small) = queue(driver, tables::SMALL);
    let (driver, main) = queue(driver, tables::MAIN);
    let standing: Vec<_> = small.iter().chain(&main).map(|stands| (stands.key.clone(), stands.birth == born)).collect();
    assert_eq!(BTreeMap::from_iter(standing.clone()), [(encoded(1), true), (encoded(2), false)].into());
    assert_eq!((standing.len(), rows_of(driver, tables::MOVED).1), (2, 0));
}

#[test]
fn a_row_that_leads_to_no_place_is_found_and_goes() {
    check_mended(
        tampered(three(), tables::MOVED, |moved, txn| moved.put(txn, &[7; 8], &[1; 13]).unwrap()),
        Fault::WrongIndexRow,
    );
}

#[test]
fn a_charge_that_was_counted_wrongly_is_counted_anew() {
    let tamper = |of: usize| {
        tampered(three(), tables::COUNTERS, |counters, txn| {
            let mut row = counters.get(txn, &[0, 0, 0, 1]).unwrap().unwrap().to_vec();
            row[of] ^= 1;
            counters.put(txn, &[0, 0, 0, 1], &row).unwrap();
        })
    };
    check_mended(tamper(16), Fault::WrongCount);
    check_mended(tamper(24), Fault::WrongCount);
}

fn short_or_long(key: i64) -> Key {
    if key % 2 == 0 { Key::from(key) } else { Key::from(format!("{key:0900}")) }
}

/// Does something to one of a few entries, or to one that was there once.
fn anything(driver: &mut Driver, rng: &mut fastrand::Rng, births: &mut Vec<(i64, u64)>) {
    let key = rng.i64(0..6);
    let namespace = driver.store().namespace("default");
    let (Some(namespace), true) = (namespace, rng.u8(0..3) > 0) else {
        let value = inline(&vec![1; rng.usize(0..3_000)]);
        let Command::Put(put) = put(short_or_long(key), value) else { unreachable!("it is one") };
        let expires = put.expires.filter(|_| rng.bool());
        driver.write(vec![Command::Put(Put { pinned: rng.u8(0..4) == 0, expires, ..put })]).unwrap();
        return;
    };
    let found = driver.store().lookup(namespace, &short_or_long(key), NOW, |record| record.birth.seq).unwrap();
    births.extend(found.map(|birth| (key, birth)));
    let (meant, birth) = births[rng.usize(..births.len())];
    let (key, meant) = (short_or_long(key), short_or_long(meant));
    let place = Place { queue: [Queue::Small, Queue::Main][rng.usize(..2)], note: Note::from_bits(rng.u8(..)) };
    let command = match rng.u8(0..6) {
        0 => Command::Delete { namespace, key, when: Condition::Live },
        1 => Command::Touch { namespace, key, expires: None },
        2 => Command::Evict { namespace, key: meant, birth },
        _ => Command::Keep { namespace, key: meant, birth, place },
    };
    driver.write(vec![command]).unwrap();
}

/// Changes bytes of the log here and there.
fn spoil(log: &Path, rng: &mut fastrand::Rng) {
    for segment in fs::read_dir(log).unwrap() {
        let path = segment.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
        if end > 4_096 {
            (0..6).for_each(|_| bytes[rng.usize(4_096..end)] ^= 0x10);
        }
        fs::write(&path, bytes).unwrap();
    }
}

/// What stands behind damage is good, and comes upon what was there before that: an entry of another birth, or none.
#[test]
fn places_are_exact_where_parts_of_the_log_are_lost() {
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..8 {
        let (mut driver, mut births) = (Driver::new(), Vec::new());
        (0..6).for_each(|key| driver.put(short_or_long(key), inline(b"v")));
        births.push((0, 1));
        (0..15).for_each(|_| anything(&mut driver, &mut rng, &mut births));
        driver.checkpoint();
        (0..60).for_each(|_| anything(&mut driver, &mut rng, &mut births));
        let mut driver = driver.revived_after(|store| spoil(&store.join("current/log"), &mut rng));
        assert_eq!(findings(&mut driver, false), []);
        (0..15).for_each(|_| anything(&mut driver, &mut rng, &mut births));
        assert_eq!(findings(&mut driver, false), []);
    }
}
