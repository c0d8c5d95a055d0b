//! A store whose files were tampered with: what is wrong is found, and what can be mended is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::driver::{Driver, NOW, digest, inline};
use crate::limited::{MIB, bytes, some};
use datacache_daemon::store::{Found, Store};
use datacache_proto::key::{Key, Tag};
use datacache_proto::layout::{blob_path, index_key, tables};
use datacache_proto::types::{Fault, Verification};
use heed::types::Bytes;
use heed::{Database, EnvOpenOptions, RwTxn};

struct Subject(Driver);

impl Subject {
    /// A store with ten small entries, tagged and with an expiry, and four blobs.
    fn filled() -> Self {
        let mut driver = Driver::new();
        for number in 0..10_i64 {
            driver.put(number, inline(&[b'v'; 100]));
        }
        for number in 0..4 {
            let blob = driver.stage(&content(number));
            driver.put(format!("blob {number}"), blob);
        }
        // One operation made the namespace, and each blob is noted once it was hashed in the background.
        driver.wait(|store| store.counters().operations >= 1 + 10 + 4 + 4);
        Self(driver)
    }

    fn store(&mut self) -> &mut Store {
        self.0.store()
    }

    /// Closes the store, tampers with its folder, and opens it again.
    fn tampered(self, tamper: impl FnOnce(&Path)) -> Self {
        Self(self.0.reopened_after(tamper))
    }

    fn verify(&mut self, repair: bool) -> Verification {
        self.0.checkpoint();
        let (reader, blobs) = (self.store().reader(), self.store().blobs());
        let report = reader.verify(&blobs).unwrap();
        let (verification, repairs) = self.store().conclude(report, repair);
        self.0.write(reader.naming(&repairs.lost_blobs).unwrap()).unwrap();
        self.store().forget_lost(&repairs.lost_blobs);
        self.0.write(repairs.commands).unwrap();
        if repairs.rebuild {
            self.0.checkpoint();
            let corrections = reader.rebuild().unwrap();
            self.store().correct(&corrections);
        }
        verification
    }

    /// Verifies until nothing is found: what a repair leaves to the store's threads is done soon.
    fn verify_until_clean(&mut self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let findings = self.verify(false).findings;
            if findings.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "still there after the repair: {findings:?}");
            self.store().progress(NOW);
            std::thread::yield_now();
        }
    }
}

fn content(number: u8) -> Vec<u8> {
    vec![number; 50_000]
}

fn path_of(store: &Path, number: u8) -> PathBuf {
    blob_path(store, &digest(&content(number)))
}

/// Changes a table of the index behind the daemon's back.
#[expect(unsafe_code, reason = "LMDB maps its file")]
fn tamper_with(store: &Path, table: Option<&str>, change: impl FnOnce(Database<Bytes, Bytes>, &mut RwTxn<'_>)) {
    let mut options = EnvOpenOptions::new();
    options.map_size(1 << 30).max_dbs(tables::COUNT);
    // SAFETY: no daemon has the store open, and this process opens it once.
    let env = unsafe { options.open(store.join("current")) }.unwrap();
    let mut txn = env.write_txn().unwrap();
    let database = env.open_database(&txn, table).unwrap().unwrap();
    change(database, &mut txn);
    txn.commit().unwrap();
    env.prepare_for_closing().wait();
}

fn faults(verification: &Verification) -> BTreeMap<String, usize> {
    let mut faults = BTreeMap::new();
    for finding in &verification.findings {
        *faults.entry(finding.fault.to_string()).or_default() += 1;
    }
    faults
}

fn only(fault: Fault) -> BTreeMap<String, usize> {
    BTreeMap::from([(fault.to_string(), 1)])
}

#[test]
fn nothing_is_found_in_a_sound_store() {
    let verification = Subject::filled().tampered(|_| ()).verify(false);
    assert_eq!(verification.findings, []);
    assert_eq!((verification.entries, verification.blobs), (14, 4));
    assert_eq!(verification.bytes, 10 * 100 + 4 * 50_000);
}

/// Damages the third blob.
fn flip_a_bit(store: &Path) {
    let path = path_of(store, 2);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[777] ^= 4;
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_in_a_blob_is_found_and_its_entry_goes() {
    let mut subject = Subject::filled().tampered(flip_a_bit);
    let verification = subject.verify(true);
    assert_eq!(faults(&verification), only(Fault::DamagedBlob));
    assert!(verification.findings[0].repaired);
    assert_eq!(subject.0.len(), 13);
    subject.verify_until_clean();
    // The same content can be stored again.
    let blob = subject.0.stage(&content(2));
    subject.0.put("again", blob);
    subject.verify_until_clean();
    assert_eq!(subject.0.len(), 14);
}

/// It went with what was found to be damaged before.
#[test]
fn content_that_is_added_again_during_a_repair_stays() {
    let mut subject = Subject::filled().tampered(flip_a_bit);
    subject.0.checkpoint();
    let (reader, blobs) = (subject.store().reader(), subject.store().blobs());
    let report = reader.verify(&blobs).unwrap();
    let lost = subject.store().conclude(report, true).1.lost_blobs;
    assert_eq!((lost.len(), subject.0.get("blob 2")), (1, None), "it is a miss by now");
    let deletes = reader.naming(&lost).unwrap();
    let blob = subject.0.stage(&content(2));
    subject.0.put("blob 2", blob);
    subject.0.write(deletes).unwrap();
    subject.store().forget_lost(&lost);
    assert!(subject.0.get("blob 2").is_some());
    subject.verify_until_clean();
    assert_eq!(subject.0.len(), 14);
}

/// A look takes minutes. What had come since then was set aside in the place of what was found, and its entry was gone.
#[test]
fn content_that_is_added_again_before_what_was_found_is_told_stays_and_is_no_finding() {
    let is_gone = |store: &Path| fs::remove_file(path_of(store, 2)).unwrap();
    for tamper in [flip_a_bit as fn(&Path), is_gone] {
        let mut subject = Subject::filled().tampered(tamper);
        subject.0.checkpoint();
        let (reader, blobs) = (subject.store().reader(), subject.store().blobs());
        let report = reader.verify(&blobs).unwrap();
        let blob = subject.0.stage(&content(2));
        subject.0.put("blob 2", blob);
        let (verification, repairs) = subject.store().conclude(report, true);
        assert_eq!((faults(&verification), repairs.lost_blobs.len()), (BTreeMap::new(), 0));
        assert!(subject.0.get("blob 2").is_some());
        subject.verify_until_clean();
        assert_eq!(subject.0.len(), 14);
    }
}

/// It was hashed before, and nothing tells of the change: it was taken for equal, and the damage stayed.
#[test]
fn content_that_is_added_again_takes_the_place_of_what_its_disk_damaged() {
    let mut subject = Subject::filled();
    let path = path_of(&subject.0.path(), 2);
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, vec![0xff; 50_000]).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let found = subject.store().blobs().examine_blob(&digest(&content(2)), 50_000).unwrap();
    assert!(matches!(found, Found::Damaged(_)), "{found:?}");
    let blob = subject.0.stage(&content(2));
    subject.0.put("again", blob);
    assert!(fs::read(&path).unwrap() == content(2));
}

/// Its entries stay until the index has all that may name it; who read directly streamed the damage until then.
#[test]
fn a_damaged_blob_is_out_of_sight_at_once_and_one_that_was_added_again_stays() {
    let mut subject = Subject::filled();
    let path = path_of(&subject.0.path(), 2);
    let there = || File::open(&path).ok();
    let (damaged, name) = (there(), digest(&content(2)));
    subject.store().condemn(name, damaged);
    assert!(!path.exists());
    assert_eq!(subject.0.get("blob 2"), None);
    let blob = subject.0.stage(&content(2));
    subject.0.put("again", blob);
    subject.store().condemn(name, None);
    subject.0.checkpoint();
    assert!(fs::read(&path).unwrap() == content(2));
    assert_eq!((subject.0.get("again").is_some(), subject.store().counters().damaged), (true, 1));
    subject.verify_until_clean();
}

#[test]
fn a_missing_blob_is_found_and_its_entry_goes() {
    let mut subject = Subject::filled().tampered(|store| fs::remove_file(path_of(store, 1)).unwrap());
    assert_eq!(faults(&subject.verify(false)), only(Fault::MissingBlob));
    assert_eq!((subject.0.len(), subject.store().counters().damaged), (14, 0), "without `repair` nothing changes");
    assert_eq!(faults(&subject.verify(true)), only(Fault::MissingBlob));
    assert_eq!((subject.0.len(), subject.store().counters().damaged), (13, 1));
    subject.verify_until_clean();
}

/// It ended the look, with no more than "check the disk": nothing else was found, or mended, for as long as it stood there.
#[test]
fn a_value_that_can_not_be_read_for_what_stands_there_is_told_and_left_while_all_else_is_mended() {
    let mut subject = Subject::filled();
    subject.0.checkpoint();
    let (path, missing) = (path_of(&subject.0.path(), 2), path_of(&subject.0.path(), 1));
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    // Whoever opens it is told of too many links, root too.
    std::os::unix::fs::symlink(&path, &path).unwrap();
    fs::remove_file(&missing).unwrap();
    let found = subject.verify(true);
    let both = BTreeMap::from([(Fault::MissingBlob.to_string(), 1), (Fault::UnreadableBlob.to_string(), 1)]);
    assert_eq!(faults(&found), both);
    let told = found.findings.iter().find(|finding| finding.fault == Fault::UnreadableBlob).unwrap();
    let unread = told.unread.as_ref().unwrap();
    assert_eq!((unread.path.as_str(), unread.errno), (path.to_str().unwrap(), 40));
    assert_eq!((told.digest, told.repaired), (Some(digest(&content(2))), false));
    assert!(path.is_symlink(), "nothing is removed");
    fs::rename(&aside, &path).unwrap();
    subject.verify_until_clean();
    assert_eq!((subject.0.len(), subject.0.get("blob 2").is_some()), (13, true));
}

#[test]
fn a_damaged_record_is_found_and_its_entry_goes() {
    let mut subject = Subject::filled().tampered(|store| {
        tamper_with(store, tables::ENTRIES, |entries, txn| {
            let index_key = index_key(1, Key::from(3).encoded());
            let mut row = entries.get(txn, &index_key).unwrap().unwrap().to_vec();
            *row.last_mut().unwrap() ^= 1;
            entries.put(txn, &index_key, &row).unwrap();
        });
    });
    let found = faults(&subject.verify(true));
    assert_eq!(found[&Fault::DamagedRecord.to_string()], 1, "{found:?}");
    subject.verify_until_clean();
    assert_eq!(subject.store().counters().damaged, 1);
    let namespace = subject.store().namespace("default").unwrap();
    assert_eq!(subject.store().counts(namespace).entries, 13);
    assert_eq!(subject.store().counts(namespace).bytes, 9 * 100 + 4 * 50_000);
}

#[test]
fn a_damaged_record_that_somebody_met_with_before_its_repair_counts_once() {
    for is_removed in [false, true] {
        let mut subject = Subject::filled().tampered(|store| {
            tamper_with(store, tables::ENTRIES, |entries, txn| {
                let index_key = index_key(1, Key::from(3).encoded());
                let mut row = entries.get(txn, &index_key).unwrap().unwrap().to_vec();
                *row.last_mut().unwrap() ^= 1;
                entries.put(txn, &index_key, &row).unwrap();
            });
        });
        let (reader, blobs) = (subject.store().reader(), subject.store().blobs());
        let report = reader.verify(&blobs).unwrap();
        assert_eq!(subject.0.get(3), None);
        if is_removed {
            subject.store().progress(NOW);
        }
        subject.store().conclude(report, true);
        subject.store().progress(NOW);
        assert_eq!(subject.store().counters().damaged, 1);
    }
}

/// It looks at slices of the index, between which all of it may change.
#[test]
fn nothing_is_found_in_a_sound_store_that_is_written_meanwhile() {
    let mut subject = Subject::filled();
    let put = |driver: &mut Driver, from: i64, byte: u8| {
        let puts = (from..from + 1_000).map(|number| crate::driver::put(number, inline(&[byte; 20])));
        driver.write(puts.collect()).unwrap();
    };
    (0..10).for_each(|thousand| put(&mut subject.0, thousand * 1_000, 1));
    let (reader, blobs) = (subject.store().reader(), subject.store().blobs());
    let verifying = std::thread::spawn(move || (0..4).map(|_| reader.verify(&blobs).unwrap()).collect::<Vec<_>>());
    let mut byte = 1;
    while !verifying.is_finished() {
        byte = if byte == 250 { 1 } else { byte + 1 };
        put(&mut subject.0, i64::from(byte % 10) * 1_000, byte);
        subject.0.checkpoint();
    }
    for report in verifying.join().unwrap() {
        let (verification, _) = subject.store().conclude(report, false);
        assert_eq!(verification.findings, []);
    }
}

/// It was an error for whoever read it, again and again.
#[test]
fn a_damaged_record_is_a_miss_for_its_reader_and_then_gone() {
    let mut subject = Subject::filled().tampered(|store| {
        tamper_with(store, tables::ENTRIES, |entries, txn| {
            let index_key = index_key(1, Key::from(3).encoded());
            let mut row = entries.get(txn, &index_key).unwrap().unwrap().to_vec();
            *row.last_mut().unwrap() ^= 1;
            entries.put(txn, &index_key, &row).unwrap();
        });
    });
    for _ in 0..2 {
        assert_eq!(subject.0.get(3), None);
    }
    subject.store().progress(NOW);
    assert_eq!((subject.store().counters().damaged, subject.0.len()), (1, 13));
    subject.0.checkpoint();
    assert_eq!(subject.verify(false).findings.iter().filter(|it| it.fault == Fault::DamagedRecord).count(), 0);
}

#[test]
fn a_lost_row_of_the_tag_index_and_a_wrong_count_are_made_anew() {
    let mut subject = Subject::filled().tampered(|store| {
        tamper_with(store, Some(tables::BY_TAG), |by_tag, txn| {
            let row = by_tag.first(txn).unwrap().unwrap().0.to_vec();
            by_tag.delete(txn, &row).unwrap();
        });
        tamper_with(store, Some(tables::COUNTERS), |counters, txn| {
            counters.put(txn, &[0, 0, 0, 1], &[9; 16]).unwrap();
        });
    });
    let found = faults(&subject.verify(true));
    assert_eq!(found, BTreeMap::from([(Fault::WrongIndexRow.to_string(), 1), (Fault::WrongCount.to_string(), 1)]));
    subject.verify_until_clean();
    assert_eq!(subject.0.len(), 14);
    let namespace = subject.store().namespace("default").unwrap();
    let reader = subject.store().reader();
    let page = reader.list(namespace, None, Some(&Tag::new("t").unwrap()), None, 100, NOW).unwrap();
    assert_eq!(page.entries.len(), 14);
}

#[test]
fn an_orphan_among_the_blobs_is_removed_at_the_next_start() {
    let orphan = content(9);
    let mut subject =
        Subject::filled().tampered(|store| fs::write(blob_path(store, &digest(&orphan)), &orphan).unwrap());
    let path = blob_path(&subject.0.path(), &digest(&orphan));
    subject.0.wait(|_| !path.exists());
    subject.verify_until_clean();
    assert_eq!(subject.0.len(), 14);
}

/// What was counted anew was taken for new rows, and evicted for.
#[test]
fn counts_that_are_put_right_are_no_reason_to_evict() {
    let (mut driver, mut random) = (Driver::new(), fastrand::Rng::with_seed(1));
    while driver.store().usage().total() < 6 * MIB {
        driver.write(some(&mut random, 500, 300)).unwrap();
        driver.checkpoint();
    }
    let entries = driver.store().space().entries;
    let mut subject = Subject(driver).tampered(|store| {
        tamper_with(store, Some(tables::COUNTERS), |counters, txn| {
            counters.put(txn, &[0, 0, 0, 1], &[9; 16]).unwrap();
        });
    });
    subject.store().set_rules(bytes(8 * MIB));
    subject.verify(true);
    assert_eq!(subject.store().space().entries, entries);
    assert!(!subject.store().has_surplus());
    subject.0.checkpoint();
    subject.0.relieve();
    assert_eq!(subject.store().evicted(1), 0);
    let level = subject.store().usage();
    subject.0.write(some(&mut random, 100, 300)).unwrap();
    assert!(level.total() < 8 * MIB && subject.store().evicted(1) == 0, "{level:?}");
}
