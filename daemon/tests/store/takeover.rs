//! Stores of older layouts, made of new ones: what is in them is there afterwards, and whoever dies over it is followed by another.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use datacache_proto::layout::{LAYOUT, LOG, RECENT, meta, tables};

use crate::driver::{Driver, inline};
use crate::older::{BY_SEQ_OF_1, ENTRIES_OF_2, Table, age, with_index};

const ENTRIES: i64 = 500;
/// Where the shared index says which segments there are, in bytes.
const VIEW_AT: u64 = 256;

fn live(store: &Path) -> PathBuf {
    fs::read_link(store.join("current")).unwrap()
}

/// A store with entries in the index, and later ones in the log alone.
fn filled() -> Driver {
    let mut driver = Driver::new();
    for number in 0..ENTRIES {
        driver.put(number, inline(b"first"));
    }
    driver.checkpoint();
    for number in 0..ENTRIES / 2 {
        driver.put(number, inline(b"second"));
    }
    driver
}

fn check(driver: &mut Driver) {
    for number in 0..ENTRIES {
        let value: &[u8] = if number < ENTRIES / 2 { b"second" } else { b"first" };
        assert_eq!(driver.get(number).as_deref(), Some(value), "{number}");
    }
    assert_eq!(driver.len(), ENTRIES as u64);
    driver.checkpoint();
    let (reader, blobs) = (driver.store().reader(), driver.store().blobs());
    let report = reader.verify(&blobs).unwrap();
    let verification = driver.store().conclude(report, false).0;
    assert_eq!((verification.entries, verification.findings), (ENTRIES as u64, Vec::new()));
}

#[test]
fn a_store_of_an_older_layout_is_taken_over_with_its_log_into_another_generation() {
    for layout in [1, 2, 3] {
        let mut driver = filled().revived_after(|store| age(store, layout));
        check(&mut driver);
        let namespace = driver.store().namespace("default").unwrap();
        assert!(driver.store().counts(namespace).charge > ENTRIES as u64 * 100, "layout {layout}");
        let store = driver.path();
        assert_eq!(live(&store), Path::new("gen-2"));
        assert!(!store.join("gen-1").exists(), "the older one is gone");
        driver.put(0_i64, inline(b"third"));
        let mut driver = driver.reopened_after(|_| ());
        assert_eq!(driver.get(0_i64).as_deref(), Some(&b"third"[..]));
        assert_eq!(live(&store), Path::new("gen-2"), "layout {LAYOUT} is left as it is");
    }
}

#[test]
fn whoever_is_attached_to_a_generation_that_is_taken_over_is_told() {
    let mut attached = None;
    let driver = filled().revived_after(|store| {
        age(store, 2);
        attached = Some(File::open(store.join("current").join(RECENT)).unwrap());
    });
    let mut view = [0; 8];
    attached.unwrap().read_exact_at(&mut view, VIEW_AT).unwrap();
    assert_eq!(view, [0xff; 8], "its generation is over");
    drop(driver);
}

/// An old reader may have looked into the log before, and go on to LMDB.
#[test]
fn the_older_index_stays_whole() {
    let kept = tempfile::tempdir().unwrap();
    let mut driver = filled().revived_after(|store| {
        age(store, 2);
        // Another name of the same file, which is still there when the generation is gone.
        fs::hard_link(store.join("current/data.mdb"), kept.path().join("data.mdb")).unwrap();
    });
    check(&mut driver);
    let rows = with_index(kept.path(), |env, txn| {
        let entries: Table = env.open_database(txn, Some(ENTRIES_OF_2)).unwrap().unwrap();
        entries.len(txn).unwrap()
    });
    assert_eq!(rows, ENTRIES as u64 + 1, "the entries, and the name of their namespace");
}

#[test]
fn an_end_before_the_copy_is_live_leaves_the_older_layout_which_is_taken_over_again() {
    let mut driver = filled().revived_after(|store| {
        age(store, 2);
        let half = store.join("gen-2");
        fs::create_dir_all(half.join(LOG)).unwrap();
        fs::write(half.join("data.mdb"), "half").unwrap();
        // As far as it goes before the link is changed.
        let recent = OpenOptions::new().write(true).open(store.join("current").join(RECENT)).unwrap();
        recent.write_all_at(&[0xff; 8], VIEW_AT).unwrap();
    });
    check(&mut driver);
    assert_eq!(live(&driver.path()), Path::new("gen-2"));
}

/// As one is for which there is no room.
#[test]
fn a_store_that_can_not_be_copied_is_used_as_it_is_until_it_can() {
    for layout in [1, 2, 3] {
        let mut driver = filled().revived_after(|store| {
            age(store, layout);
            fs::create_dir(store.join("current.new")).unwrap();
        });
        check(&mut driver);
        let store = driver.path();
        assert_eq!(live(&store), Path::new("gen-1"));
        driver.put(0_i64, inline(b"second"));
        let namespace = driver.store().namespace("default").unwrap();
        assert_eq!(driver.store().counts(namespace).charge, 0, "there is nowhere to write it down");
        let mut driver = driver.revived_after(|_| ());
        check(&mut driver);
        let mut driver = driver.reopened_after(|store| {
            let (found, by_seq) = with_index(&store.join("gen-1"), |env, txn| {
                let numbers: Table = env.open_database(txn, Some(tables::META)).unwrap().unwrap();
                let by_seq: Option<Table> = env.open_database(txn, Some(BY_SEQ_OF_1)).unwrap();
                let found = numbers.get(txn, meta::LAYOUT).unwrap().map(<[u8]>::to_vec);
                let counters: Table = env.open_database(txn, Some(tables::COUNTERS)).unwrap().unwrap();
                assert!(counters.iter(txn).unwrap().all(|row| row.unwrap().1.len() == 16), "as older builds read them");
                (found, by_seq.map_or(0, |by_seq| by_seq.len(txn).unwrap()))
            });
            assert_eq!(
                found,
                Some(u64::from(layout.max(2)).to_le_bytes().to_vec()),
                "who reads it finds the layout it has"
            );
            assert_eq!(by_seq, 0, "nobody keeps it up to date");
            fs::remove_dir(store.join("current.new")).unwrap();
        });
        check(&mut driver);
        assert_eq!(live(&store), Path::new("gen-2"));
    }
}

#[test]
fn an_end_after_that_leaves_nothing_behind() {
    let driver = filled().reopened_after(|store| fs::create_dir_all(store.join("gen-0").join(LOG)).unwrap());
    assert!(!driver.path().join("gen-0").exists());
    assert_eq!(live(&driver.path()), Path::new("gen-1"));
}
