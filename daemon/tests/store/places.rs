//! Which place entries have in the eviction's queues, and what they are counted for: over all that replaces, keeps and removes them,
//! and a death of the process.

mod damage;

use std::time::Duration;

use datacache_daemon::eviction::{Note, Place, Queue};
use datacache_daemon::store::{Command, Condition, Holder, NewValue, Outcome, Put};
use datacache_proto::key::Key;
use datacache_proto::layout::tables;
use datacache_proto::process::Process;
use datacache_proto::record::Birth;
use datacache_proto::types::Finding;

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
