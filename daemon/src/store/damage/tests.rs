//! What is told of damage, what is taken back of it, and which entries go for it.

use super::super::blob::Found;
use super::super::command::{Batch, NewValue, Put};
use super::super::store::Next;
use super::super::table_keys::{expiry_key, namespace_prefix, tag_key};
use super::super::testing::{DEADLINE, NOW, put, put_of, stage, store, wait};
use super::super::threads::Event;
use super::*;
use datacache_proto::layout::blob_path;
use datacache_proto::types::Fault;
use sha2::Digest as _;
use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;

/// A store with one value, which was hashed in this boot; and then its disk changed it, which nothing tells of.
struct Subject {
    store: Store,
    digest: Digest,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Subject {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let digest = Digest(sha2::Sha256::digest(b"value").into());
        let value = stage(&store.blobs(), digest);
        put(&mut store, value);
        // The thread that removes its staged name and hashes it has a note written of that.
        let written = store.counters().operations;
        wait(&mut store, |store| store.counters().operations > written);
        let path = blob_path(store.path(), &digest);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "VALUE").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        Self { store, digest, path, _folder: folder }
    }

    /// Hashes it, and returns what is there.
    fn found(&self) -> File {
        match self.store.blobs().examine_blob(&self.digest, 5).unwrap() {
            Found::Damaged(file) => file,
            other => panic!("{other:?}"),
        }
    }

    fn is_hit(&self) -> bool {
        let namespace = self.store.namespace("n").unwrap();
        self.store.lookup(namespace, &Key::from("k"), NOW, |_| ()).unwrap().is_some()
    }

    /// Has the entries sought that name it, and returns what is told of that, which is not dealt with.
    fn sought(&mut self) -> Event {
        self.store.progress(NOW);
        loop {
            match self.store.events.recv_timeout(DEADLINE).expect("its entries are sought in time") {
                condemned @ Event::Condemned { .. } => return condemned,
                other => {
                    self.store.take(other, NOW);
                    self.store.progress(NOW);
                }
            }
        }
    }

    /// Has all of it dealt with, and returns what is stored then, if anything is.
    fn settled(mut self) -> Option<Vec<u8>> {
        let target = self.store.request_checkpoint();
        wait(&mut self.store, |store| store.damaged.is_empty() && store.damage.blobs.is_empty());
        wait(&mut self.store, |store| store.applied() >= target);
        self.is_hit().then(|| fs::read(&self.path).unwrap())
    }
}

fn write(store: &mut Store, command: Command) {
    let mut results = Vec::new();
    store.write(&mut [Batch::of(command, None)].into(), NOW, &mut results);
    results.pop().expect("there is room").unwrap();
}

#[test]
fn a_value_that_was_replaced_since_it_was_looked_at_is_no_miss() {
    let mut subject = Subject::new();
    let damaged = subject.found();
    let value = stage(&subject.store.blobs(), subject.digest);
    put(&mut subject.store, value);
    subject.store.condemn(subject.digest, Some(damaged));
    assert!(subject.is_hit());
    assert_eq!(subject.store.counters().damaged, 0);
    assert_eq!(subject.settled().unwrap(), b"value");
}

/// It was taken for stored already, and its entry was left without a value when the damaged file went.
#[test]
fn content_that_comes_while_damage_is_found_is_stored() {
    let mut subject = Subject::new();
    let value = stage(&subject.store.blobs(), subject.digest);
    let NewValue::Blob(incoming) = &value else { panic!("it is a file") };
    assert!(incoming.equal().is_some(), "nobody knows of the damage yet");
    let damaged = subject.found();
    subject.store.condemn(subject.digest, Some(damaged));
    put(&mut subject.store, value);
    assert_eq!(subject.settled().unwrap(), b"value");
}

/// Each who read it was told of an error of the system, for ever.
#[test]
fn a_value_that_the_disk_can_not_read_is_damaged() {
    let subject = Subject::new();
    fs::remove_file(&subject.path).unwrap();
    // Nothing is mapped there, which the system tells as it tells of a bad sector.
    std::os::unix::fs::symlink("/proc/self/mem", &subject.path).unwrap();
    let found = subject.store.blobs().examine_blob(&subject.digest, 0).unwrap();
    assert!(matches!(found, Found::Damaged(_)), "{found:?}");
}

#[test]
fn content_whose_damage_was_found_is_not_taken_for_checked_any_more() {
    let subject = Subject::new();
    drop(subject.found());
    let value = stage(&subject.store.blobs(), subject.digest);
    let NewValue::Blob(incoming) = &value else { panic!("it is a file") };
    assert_eq!(incoming.equal(), None);
}

/// Each cost a look at every record.
#[test]
fn the_entries_of_all_damaged_values_are_looked_for_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, lost) = (store(&folder), [1, 2, 3].map(|byte| Digest([byte; 32])));
    lost.iter().for_each(|digest| store.condemn(*digest, None));
    store.progress(NOW);
    let sought = loop {
        match store.events.recv_timeout(DEADLINE).expect("they are looked for in time") {
            Event::Condemned { lost, .. } => break lost,
            other => store.take(other, NOW),
        }
    };
    assert_eq!(sought, lost.into_iter().zip(1..).collect());
}

/// Its entry was sought while it was gone, and was removed once it was there again.
#[test]
fn content_that_comes_before_the_entries_of_what_was_damaged_are_removed_stays_and_so_do_they() {
    let mut subject = Subject::new();
    let other =
        Command::Put(Put { key: Key::from("other").into(), ..put_of(stage(&subject.store.blobs(), subject.digest)) });
    write(&mut subject.store, other);
    let target = subject.store.request_checkpoint();
    wait(&mut subject.store, |store| store.applied() >= target);
    let damaged = subject.found();
    subject.store.condemn(subject.digest, Some(damaged));
    let condemned = subject.sought();
    let value = stage(&subject.store.blobs(), subject.digest);
    put(&mut subject.store, value);
    subject.store.take(condemned, NOW);
    subject.store.progress(NOW);
    let namespace = subject.store.namespace("n").unwrap();
    assert_eq!(subject.store.counts(namespace).entries, 2);
    assert!(subject.store.lookup(namespace, &Key::from("other"), NOW, |_| ()).unwrap().is_some());
    assert_eq!(subject.settled().unwrap(), b"value");
}

/// The end of the first look was that of the second too, whose deletes were not to hold any more: its entry stayed, without a value.
#[test]
fn what_names_content_that_is_lost_again_while_its_entries_are_sought_goes_as_well() {
    let mut subject = Subject::new();
    let damaged = subject.found();
    subject.store.condemn(subject.digest, Some(damaged));
    let first = subject.sought();
    let value = stage(&subject.store.blobs(), subject.digest);
    write(&mut subject.store, Command::Put(Put { key: Key::from("other").into(), ..put_of(value) }));
    subject.store.condemn(subject.digest, Some(File::open(&subject.path).unwrap()));
    subject.store.take(first, NOW);
    subject.store.progress(NOW);
    let namespace = subject.store.namespace("n").unwrap();
    assert!(subject.store.lookup(namespace, &Key::from("other"), NOW, |_| ()).unwrap().is_none());
    wait(&mut subject.store, |store| store.counts(namespace).entries == 0);
    assert_eq!(subject.settled(), None);
}

/// All were removed in one turn, each in a frame of its own, and all other writers waited; and those that had to wait for a segment
/// were left.
#[test]
fn the_many_entries_of_a_damaged_value_go_in_slices_and_wait_for_room() {
    let mut subject = Subject::new();
    let names = |key: i64| {
        let value = stage(&subject.store.blobs(), subject.digest);
        Batch::of(Command::Put(Put { key: Key::from(key).into(), ..put_of(value) }), None)
    };
    let batches: Vec<_> = (0..700).map(names).collect();
    for batch in batches {
        subject.store.write(&mut [batch].into(), NOW, &mut Vec::new());
    }
    let namespace = subject.store.namespace("n").unwrap();
    assert_eq!(subject.store.counts(namespace).entries, 701);
    let damaged = subject.found();
    subject.store.condemn(subject.digest, Some(damaged));
    let condemned = subject.sought();
    subject.store.take(condemned, NOW);
    let next = std::mem::replace(&mut subject.store.next, Next::Later);
    let segment_bytes = std::mem::replace(&mut subject.store.options.segment_bytes, 1);
    subject.store.progress(NOW);
    assert_eq!((subject.store.counts(namespace).entries, subject.store.has_more_to_remove()), (701, false));
    (subject.store.next, subject.store.options.segment_bytes) = (next, segment_bytes);
    for left in [701 - 256, 701 - 2 * 256] {
        let frames = subject.store.counters().frames;
        subject.store.progress(NOW);
        assert_eq!((subject.store.counts(namespace).entries, subject.store.has_more_to_remove()), (left, true));
        assert_eq!(subject.store.counters().frames, frames + 1);
    }
    subject.store.progress(NOW);
    assert_eq!((subject.store.counts(namespace).entries, subject.store.damage.blobs.len()), (0, 0));
}

/// Each operation that named it made it good again.
#[test]
fn a_damaged_value_that_is_touched_stays_a_miss() {
    let mut subject = Subject::new();
    let damaged = subject.found();
    subject.store.condemn(subject.digest, Some(damaged));
    let namespace = subject.store.namespace("n").unwrap();
    write(&mut subject.store, Command::Touch { namespace, key: Key::from("k"), expires: None });
    assert!(!subject.is_hit());
    assert_eq!(subject.settled(), None);
}

/// All that it asked of the index failed from then on, and it went on.
#[test]
fn a_daemon_whose_own_row_among_the_readers_is_damaged_leaves_it_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    put(&mut store, NewValue::Inline(vec![1].into()));
    let target = store.request_checkpoint();
    wait(&mut store, |store| store.applied() >= target);
    let (namespace, key) = (store.namespace("n").unwrap(), Key::from("k"));
    let look = |store: &Store| store.lookup(namespace, &key, NOW, |_| ());
    assert!(look(&store).unwrap().is_some() && !store.is_poisoned());
    // The rows stand behind two lines of the cache.
    let table = File::options().write(true).open(store.path().join("current/lock.mdb")).unwrap();
    table.write_all_at(&[0; 1_024], 128).unwrap();
    assert!(matches!(look(&store), Err(StoreError::Restarting)));
    assert!(store.is_poisoned());
    let mut results = Vec::new();
    let delete = Command::Delete { namespace, key: key.clone(), when: Condition::Live };
    store.write(&mut [Batch::of(delete, None)].into(), NOW, &mut results);
    assert!(matches!(results.pop(), Some(Err(StoreError::Restarting))));
    drop(store);
    let store = super::super::testing::store(&folder);
    assert!(look(&store).unwrap().is_some() && !store.is_poisoned());
}

/// LMDB takes a key without a byte for a mistake, each daemon took that for damage that only the next one mends, and ended.
#[test]
fn a_row_whose_content_is_gone_is_passed_over_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let tables = &store.lookup.tables;
    let mut txn = tables.env.write_txn().unwrap();
    tables.by_expiry.put(&mut txn, &expiry_key(1, NOW, 1), &[]).unwrap();
    tables.by_tag.put(&mut txn, &tag_key(1, "t", 1), &[]).unwrap();
    txn.commit().unwrap();
    let reader = store.reader();
    assert_eq!(reader.due(1, &namespace_prefix(1), NOW, 9).unwrap().len(), 1);
    let report = reader.verify(&store.blobs()).unwrap();
    let (verification, _) = store.conclude(report, false);
    let found: Vec<_> = verification.findings.iter().map(|finding| finding.fault).collect();
    assert_eq!(found, [Fault::WrongIndexRow; 2]);
}
