//! What is found to be damaged while the store is in use: a miss from that moment on, counted, and removed in the writer's next turn.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;

use datacache_proto::key::Key;
use datacache_proto::record::Record;
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;
use heed::MdbError;
use tracing::{error, warn};

use super::command::{Command, Condition};
use super::condemned::Damaged;
use super::error::StoreError;
use super::examiner::{Occasion, Verdict};
use super::lmdb_damage::is_damage_in_use;
use super::store::Store;
use super::verifier::BlobJob;

/// Blobs that are lost, each with the number of its loss: one that was added again, and is lost once more, has another.
pub type Lost = HashMap<Digest, u64>;

/// Damage that was found and is not dealt with yet.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Entries whose records a look found to be damaged.
    records: RefCell<Vec<(u32, Key)>>,
    /// Blobs that are damaged or gone, and whose entries are still being looked for.
    blobs: Lost,
    /// How many there were.
    losses: u64,
    /// Set when the log or the index can't be read where they must be: the next daemon puts that right.
    needs_restart: Cell<bool>,
}

impl Damage {
    /// Tells whether a record's value is known to be damaged.
    pub(super) fn has(&self, record: &Record<'_>) -> bool {
        !self.blobs.is_empty() && record.value.digest().is_some_and(|digest| self.is_lost(&digest))
    }

    /// Tells whether a blob is damaged or gone, and what named it is still being looked for.
    pub(super) fn is_lost(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    /// What names a blob that was moved out of the way is a miss from now on. Returns the number of its loss.
    pub(super) fn lose(&mut self, digest: Digest) -> u64 {
        self.losses += 1;
        self.blobs.insert(digest, self.losses);
        self.losses
    }

    /// Tells whether a blob has not been there again since it was lost.
    pub(super) fn is_still_lost(&self, digest: &Digest, loss: u64) -> bool {
        self.blobs.get(digest) == Some(&loss)
    }

    /// The blob is there again.
    pub(super) fn pardon(&mut self, digest: &Digest) {
        self.blobs.remove(digest);
    }

    /// The entries are gone that named a blob when it was lost. That it was lost again since then is dealt with apart.
    pub(super) fn forget(&mut self, digest: &Digest, loss: u64) {
        if self.is_still_lost(digest, loss) {
            self.blobs.remove(digest);
        }
    }

    pub(super) fn needs_restart(&self) -> bool {
        self.needs_restart.get()
    }
}

impl Store {
    /// Notes that the record of a key is damaged.
    pub(super) fn note_damaged(&self, namespace: u32, key: &Key) {
        let mut records = self.damage.records.borrow_mut();
        if !records.iter().any(|(number, known)| *number == namespace && known == key) {
            error!(namespace, %key, "a record is damaged; its entry is dropped");
            records.push((namespace, key.clone()));
            (self.options.wake)();
        }
    }

    /// Makes a miss of what can't be read from the log, which the next daemon mends.
    pub(super) fn forgive<R>(&self, failure: StoreError) -> Result<Option<R>, StoreError> {
        let is_miss = matches!(failure, StoreError::Damaged);
        let told = self.pass_on(failure);
        if is_miss { Ok(None) } else { Err(told) }
    }

    /// Leaves to the next daemon what this one can't go on with, where that helps; returns what the caller is told, who comes again then.
    pub(crate) fn pass_on(&self, failure: StoreError) -> StoreError {
        match &failure {
            StoreError::Damaged => {}
            // The thread's own row in the table of readers, and not the index.
            StoreError::Read { source: heed::Error::Mdb(MdbError::BadRslot) } => {}
            StoreError::Read { source } if is_damage_in_use(source) => self.deaths.suspect(),
            _ => return failure,
        }
        if !self.damage.needs_restart.replace(true) {
            let error = &failure as &dyn std::error::Error;
            error!(error, "the log or the index is damaged; the daemon has to start anew");
            (self.options.wake)();
        }
        StoreError::Restarting
    }

    /// Returns what looks the whole index through, for another thread. Blocks, for as long as it takes to read it.
    pub fn examination(&self, occasion: Occasion) -> impl FnOnce() -> io::Result<Verdict> + Send + use<> {
        let (examiner, generation) = (self.options.examiner.clone(), self.generation.clone());
        move || examiner.examine(&generation, occasion)
    }

    /// Returns the process that looks the index through at this moment, where one does.
    pub fn examining_process(&self) -> Option<u32> {
        self.options.examiner.process()
    }

    /// Has the next daemon look the index through before it is opened, and move it aside if it is damaged.
    pub fn distrust(&self) {
        self.deaths.suspect();
    }

    /// Takes note of a blob that is damaged, or gone: `file` is what was found in its place. What names it is a miss from now on,
    /// unless its content was added again meanwhile.
    pub fn condemn(&mut self, digest: Digest, file: Option<File>) {
        if !self.blobs.is_replaced(&digest, file.as_ref()) && !self.damage.is_lost(&digest) {
            let loss = self.damage.lose(digest);
            error!(%digest, "a value is damaged or gone; the entries that name it are dropped");
            self.counters.damaged += 1;
            // Now: whoever reads directly finds the entries until they are gone.
            self.put_away(&digest);
            let target = self.request_checkpoint();
            self.damaged.push(Damaged { target, digest, loss, file });
            (self.options.wake)();
        }
    }

    /// Takes in that what named blobs that were lost is gone.
    pub fn forget_lost(&mut self, lost: &Lost) {
        lost.iter().for_each(|(digest, loss)| self.damage.forget(digest, *loss));
    }

    /// Moves a damaged blob out of the way of its readers.
    fn put_away(&self, digest: &Digest) {
        match self.blobs.set_aside(digest) {
            Ok(Some(aside)) => self.verifier.send(BlobJob::Remove(aside)),
            Ok(None) => {}
            Err(error) => warn!(%digest, %error, "a damaged blob can't be set aside"),
        }
    }

    /// Removes the entries of damaged records; tells whether there were any.
    pub(super) fn remove_damaged(&mut self, now: Timestamp) -> bool {
        let records = self.damage.records.take();
        self.counters.damaged += records.len() as u64;
        let any = !records.is_empty();
        for (namespace, key) in records {
            // Version 0 is that of a damaged record only: one that was replaced meanwhile stays.
            self.write_own(Command::Delete { namespace, key, when: Condition::Version(0) }, now);
        }
        any
    }
}

#[cfg(test)]
mod tests {
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
        let other = Command::Put(Put {
            key: Key::from("other").into(),
            ..put_of(stage(&subject.store.blobs(), subject.digest))
        });
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
}
