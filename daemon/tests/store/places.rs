//! Which place entries have in the eviction's queues, and what they are counted for: over all that replaces, keeps and removes them,
//! a death of the process, and damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use datacache_daemon::eviction::{Note, Place, Queue};
use datacache_daemon::store::{Command, Condition, Holder, NewValue, Outcome, Put};
use datacache_proto::key::Key;
use datacache_proto::layout::{index_key, tables};
use datacache_proto::process::Process;
use datacache_proto::record::Birth;
use datacache_proto::types::{Fault, Finding};

use crate::driver::{Driver, NOW, inline, put};
use crate::older::{Table, with_index};

const KEPT: Place = Place { queue: Queue::Main, note: Note::from_bits(0x92) };

fn birth(driver: &mut Driver, key: i64) -> Birth {
    let namespace = driver.store().namespace("default").unwrap();
    driver.store().lookup(namespace, &Key::from(key), NOW, |record| record.birth).unwrap().unwrap()
}

fn of(driver: &mut Driver, command: impl FnOnce(u32, Key) -> Command, key: i64) -> Outcome {
    let namespace = driver.store().namespace("default").unwrap();
    driver.write(vec![command(namespace, Key::from(key))]).unwrap()[0]
}

fn keep(driver: &mut Driver, key: i64, birth: u64) -> Outcome {
    of(driver, |namespace, key| Command::Keep { namespace, key, birth, place: KEPT }, key)
}

fn evict(driver: &mut Driver, key: i64, birth: u64) -> Outcome {
    of(driver, |namespace, key| Command::Evict { namespace, key, birth }, key)
}

fn delete(driver: &mut Driver, key: i64) -> Outcome {
    of(driver, |namespace, key| Command::Delete { namespace, key, when: Condition::Live }, key)
}

/// Puts a value and gives it a quality besides.
fn put_as(driver: &mut Driver, key: i64, change: impl FnOnce(&mut Put)) {
    let Command::Put(mut put) = put(key, inline(b"v")) else { unreachable!("it is one") };
    change(&mut put);
    driver.write(vec![Command::Put(put)]).unwrap();
}

fn findings(driver: &mut Driver, repair: bool) -> Vec<Finding> {
    driver.checkpoint();
    let (reader, blobs) = (driver.store().reader(), driver.store().blobs());
    let report = reader.verify(&blobs).unwrap();
    let (verification, repairs) = driver.store().conclude(report, repair);
    if repairs.rebuild {
        let corrections = reader.rebuild().unwrap();
        driver.store().correct(&corrections);
    }
    verification.findings
}

/// A place in a queue.
#[derive(Clone, Debug, PartialEq, PartialOrd, Eq, Ord)]
struct Stands {
    birth: u64,
    number: u64,
    note: u8,
    key: Vec<u8>,
}

impl Stands {
    #[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
    fn of((key, row): (&[u8], &[u8])) -> Self {
        Self {
            birth: u64::from_le_bytes(row[1..9].try_into().unwrap()),
            number: u64::from_be_bytes(key[4..].try_into().unwrap()),
            note: row[0],
            key: row[21..].to_vec(),
        }
    }

    fn since_birth(&self) -> bool {
        self.birth == self.number
    }
}

/// Returns the places in a queue, in their order.
fn queue(driver: Driver, name: &str) -> (Driver, Vec<Stands>) {
    let mut places = Vec::new();
    let driver = tampered(driver, name, |table, txn| {
        places = table.iter(txn).unwrap().map(|row| Stands::of(row.unwrap())).collect();
    });
    (driver, places)
}

fn rows_of(driver: Driver, name: &str) -> (Driver, u64) {
    let mut rows = 0;
    let driver = tampered(driver, name, |table, txn| rows = table.len(txn).unwrap());
    (driver, rows)
}

fn encoded(key: i64) -> Vec<u8> {
    Key::from(key).encoded().to_vec()
}

#[test]
fn an_entry_keeps_its_birth_until_it_goes() {
    let mut driver = Driver::new();
    driver.put(1_i64, inline(b"first"));
    let first = birth(&mut driver, 1);
    driver.put(1_i64, inline(b"second"));
    of(&mut driver, |namespace, key| Command::Touch { namespace, key, expires: None }, 1);
    driver.checkpoint();
    driver.put(1_i64, inline(b"third"));
    assert_eq!(birth(&mut driver, 1), first);
    assert_eq!(delete(&mut driver, 1), Outcome::Deleted(true));
    driver.put(1_i64, inline(b"third"));
    assert!(birth(&mut driver, 1).seq > first.seq);
    // What has ended is still there, until it is removed.
    let second = birth(&mut driver, 1);
    put_as(&mut driver, 1, |put| put.expires = Some(NOW));
    driver.put(1_i64, inline(b"fourth"));
    assert_eq!(birth(&mut driver, 1), second);
}

#[test]
fn only_the_entry_that_was_meant_is_evicted_or_kept() {
    let mut driver = Driver::new();
    driver.put(1_i64, inline(b"v"));
    let old = birth(&mut driver, 1).seq;
    assert_eq!(keep(&mut driver, 1, old), Outcome::Kept(true));
    delete(&mut driver, 1);
    assert_eq!(
        [evict(&mut driver, 1, old), keep(&mut driver, 1, old)],
        [Outcome::Evicted(false), Outcome::Kept(false)]
    );
    driver.put(1_i64, inline(b"v"));
    assert_eq!(
        [evict(&mut driver, 1, old), keep(&mut driver, 1, old)],
        [Outcome::Evicted(false), Outcome::Kept(false)]
    );
    let new = birth(&mut driver, 1).seq;
    driver.put(1_i64, inline(b"another"));
    assert_eq!(evict(&mut driver, 1, new), Outcome::Evicted(true), "what replaced it meanwhile is the same entry");
    assert_eq!(driver.get(1_i64), None);
    assert_eq!(findings(&mut driver, false), []);
}

#[test]
fn what_is_held_is_not_evicted_and_counted_apart() {
    let holder = Holder { process: Process { boot: 1, pid: 2, start: 3 }, scope: 4 };
    let mut driver = Driver::new();
    put_as(&mut driver, 1, |put| put.pinned = true);
    put_as(&mut driver, 2, |put| put.holder = Some(holder));
    let births = [1, 2].map(|key| birth(&mut driver, key).seq);
    for (key, birth) in [1, 2].into_iter().zip(births) {
        assert_eq!(evict(&mut driver, key, birth), Outcome::Evicted(false), "{key}");
        assert_eq!(keep(&mut driver, key, birth), Outcome::Kept(true), "{key}");
    }
    let namespace = driver.store().namespace("default").unwrap();
    let counts = driver.store().counts(namespace);
    assert_eq!((counts.entries, counts.held), (2, counts.charge));
    // The same content, not pinned any more.
    put_as(&mut driver, 1, |put| put.pinned = false);
    let counts = driver.store().counts(namespace);
    assert_eq!(2 * counts.held, counts.charge);
    assert_eq!(evict(&mut driver, 1, births[0]), Outcome::Evicted(true));
    put_as(&mut driver, 3, |put| put.pinned = false);
    put_as(&mut driver, 3, |put| put.pinned = true);
    let birth = birth(&mut driver, 3).seq;
    assert_eq!(evict(&mut driver, 3, birth), Outcome::Evicted(false));
    assert_eq!(findings(&mut driver, false), []);
}

/// Everything that becomes of an entry, with the end of the process and of segments in between.
#[test]
fn places_are_exact_after_a_death_of_the_process() {
    for checkpoints in [false, true] {
        let mut driver = Driver::new();
        let pause = |driver: &mut Driver| {
            if checkpoints {
                driver.checkpoint();
            }
        };
        (1..=8).for_each(|key| driver.put(key, inline(b"v")));
        let births: Vec<u64> = (1..=8).map(|key| birth(&mut driver, key).seq).collect();
        pause(&mut driver);
        driver.put(2_i64, inline(b"replaced"));
        for key in 3..=6 {
            assert_eq!(keep(&mut driver, key, births[key as usize - 1]), Outcome::Kept(true));
        }
        let mut driver = driver.revived_after(|_| ());
        driver.put(3_i64, inline(b"replaced"));
        delete(&mut driver, 4);
        delete(&mut driver, 5);
        driver.put(5_i64, inline(b"born again"));
        pause(&mut driver);
        keep(&mut driver, 6, births[5]);
        evict(&mut driver, 7, births[6]);
        keep(&mut driver, 8, births[7]);
        let again = birth(&mut driver, 5).seq;
        let mut driver = driver.revived_after(|_| ());
        assert_eq!(findings(&mut driver, false), []);
        let (driver, small) = queue(driver, tables::SMALL);
        let (driver, main) = queue(driver, tables::MAIN);
        // Until something is evicted, new entries may join the main queue at once.
        let (born, kept): (Vec<_>, Vec<_>) = small.into_iter().chain(main).partition(Stands::since_birth);
        let mut born: Vec<_> = born.into_iter().map(|it| (it.birth, it.key)).collect();
        born.sort();
        assert_eq!(born, [(births[0], encoded(1)), (births[1], encoded(2)), (again, encoded(5))]);
        let kept: Vec<_> = kept.into_iter().map(|it| (it.note, it.birth, it.key)).collect();
        assert_eq!(kept, [3, 6, 8].map(|key| (0x92, births[key as usize - 1], encoded(key))));
        assert_eq!(rows_of(driver, tables::MOVED).1, 3);
    }
}

#[test]
fn no_place_is_left_of_a_namespace_that_is_cleared() {
    let mut driver = Driver::new();
    (0..50).for_each(|key| driver.put(key, inline(b"v")));
    let first = birth(&mut driver, 1).seq;
    keep(&mut driver, 1, first);
    driver.checkpoint();
    let namespace = driver.store().namespace("default").unwrap();
    let plan = driver.store().reader().plan_all(namespace, u64::MAX, None, 100).unwrap();
    driver.write(plan.commands).unwrap();
    let mut driver = driver.revived_after(|_| ());
    let counts = driver.store().counts(namespace);
    assert_eq!((counts.entries, counts.charge, counts.held), (0, 0, 0));
    assert_eq!(findings(&mut driver, false), []);
    for name in [tables::SMALL, tables::MAIN, tables::MOVED] {
        let rows;
        (driver, rows) = rows_of(driver, name);
        assert_eq!(rows, 0, "{name}");
    }
}

#[test]
fn an_expiry_that_comes_or_goes_with_a_touch_is_paid_for() {
    let mut driver = Driver::new();
    driver.put(1_i64, inline(b"v"));
    let namespace = driver.store().namespace("default").unwrap();
    let with = driver.store().counts(namespace).charge;
    of(&mut driver, |namespace, key| Command::Touch { namespace, key, expires: None }, 1);
    let without = driver.store().counts(namespace).charge;
    assert!(without < with, "{without} and {with}");
    driver.checkpoint();
    let expires = Some(NOW.after(Duration::from_secs(1)));
    of(&mut driver, |namespace, key| Command::Touch { namespace, key, expires }, 1);
    assert_eq!(driver.store().counts(namespace).charge, with);
    assert_eq!(findings(&mut driver, false), []);
}

#[test]
fn a_blob_is_paid_for_by_its_blocks_and_by_each_who_names_it() {
    let mut driver = Driver::new();
    let stage = |driver: &mut Driver| -> NewValue { driver.stage(&[7; 50_000]) };
    let value = stage(&mut driver);
    driver.put(1_i64, value);
    let namespace = driver.store().namespace("default").unwrap();
    let one = driver.store().counts(namespace).charge;
    assert!((53_248..54_000).contains(&one), "{one}");
    let value = stage(&mut driver);
    driver.put(2_i64, value);
    assert_eq!(driver.store().counts(namespace).charge, 2 * one);
    assert_eq!(driver.store().stats().unwrap().blobs, 1);
    assert_eq!(findings(&mut driver, false), []);
}

/// A store with three entries, of which the third was kept, and all is in the index.
fn three() -> Driver {
    let mut driver = Driver::new();
    (1..=3).for_each(|key| driver.put(key, inline(b"v")));
    let third = birth(&mut driver, 3).seq;
    keep(&mut driver, 3, third);
    driver
}

/// Changes a table of the index of a store that is closed.
fn tampered<'n>(
    driver: Driver,
    name: impl Into<Option<&'n str>>,
    change: impl FnOnce(Table, &mut heed::RwTxn<'_>),
) -> Driver {
    driver.reopened_after(|store| {
        with_index(&store.join("current"), |env, txn| {
            let table: Table = env.open_database(txn, name.into()).unwrap().unwrap();
            change(table, txn);
        });
    })
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
