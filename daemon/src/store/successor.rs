//! A generation that takes the place of the live one while the store is in use: the same index, in a file without the free pages.
//!
//! LMDB gives no page back to the filesystem, so a file is as long as its index ever was. Whoever has time copies the rows into a
//! new generation (takeover does the same for another layout), beside the daemon and in a snapshot. It takes over only where nothing
//! was written since: then both have the same content, the log is empty, and what the writer knows by heart holds for the one as for
//! the other. So a write during the copy wins, and the copy is thrown away.
//!
//! # The order
//! 1. The successor has all that a live generation has, and all of it is on the disk: index, empty segment, shared index. The files `access`
//!    and `checked` are the same as before, under a second name: who counts or looks there goes on.
//! 2. On the writer's thread: readers of the live one are told that it is over, and go where the link leads.
//! 3. The link leads to the successor, in one step and for good. From here on the store writes there.
//! 4. The one before is removed. It is kept open for a while: a thread that ends gives back its place in LMDB's table of readers.
//!
//! Whoever dies before step 3 leaves the live generation, whose shared index the next daemon makes anew; whoever dies later, the
//! successor. Both are whole, and a start removes what is not live. The file before keeps its blocks for as long as any process has it
//! open: clients let go of it when they read next, or end.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datacache_proto::layout::{ACCESS, CHECKED, LOG};
use datacache_proto::log::SEGMENT_HEADER;
use datacache_proto::recent::{FILE_LEN, Mark, RestartError, finish};
use datacache_proto::time::Timestamp;
use tracing::{error, warn};

use super::blob::BlobStore;
use super::error::OpenError;
use super::expiring::Expiring;
use super::failpoint::failpoint;
use super::generation;
use super::index::Index;
use super::position::Position;
use super::queues::Queues;
use super::recovery::begin_anew;
use super::restart_steps::Steps;
use super::room::HEAD;
use super::segment::Segment;
use super::store::{Next, Store};
use super::tables::{Meta, Tables};

/// A file that is shorter is left as it is (32 MiB): a reserve as large lies behind its end.
const WORTH_IT: u64 = 32 << 20;

/// What a successor is made of, for another thread.
#[derive(Debug)]
pub struct Succession {
    path: PathBuf,
    live: PathBuf,
    store_id: u128,
    tables: Arc<Tables>,
    blobs: BlobStore,
    /// The last sequence number, which the index has.
    applied: u64,
    /// The number of its first segment.
    number: u64,
}

/// A generation that can become the live one.
#[derive(Debug)]
pub struct Successor {
    path: PathBuf,
    generation: PathBuf,
    tables: Arc<Tables>,
    index: Arc<Index>,
    segment: Arc<Segment>,
    applied: u64,
}

/// The generation that was live before. Its index is closed when this is dropped, if nobody else looks into it.
#[derive(Debug)]
pub struct Former {
    path: PathBuf,
    live: PathBuf,
    _tables: Arc<Tables>,
}

impl Store {
    /// Tells whether the index has a large file of which at least half is free. What can't be looked at has not.
    #[must_use]
    pub fn has_much_free(&self) -> bool {
        let tables = &self.lookup.tables;
        let is_free = |used| tables.room.end().is_ok_and(|length| length >= WORTH_IT && used <= length / 2);
        !tables.is_older() && tables.used().is_ok_and(is_free)
    }

    /// Returns what makes a successor of the live generation; `None` while the index has not everything, or something is to be done
    /// about the log.
    #[must_use]
    pub fn succession(&self) -> Option<Succession> {
        self.is_at_rest().then(|| Succession {
            path: self.options.path.clone(),
            live: self.generation.clone(),
            store_id: self.id,
            tables: Arc::clone(&self.lookup.tables),
            blobs: self.blobs.clone(),
            applied: self.applied,
            // Above the one that is prepared.
            number: self.lookup.active.number() + 2,
        })
    }

    /// Tells whether the index has everything, and no thread is to do anything about the log.
    fn is_at_rest(&self) -> bool {
        let is_applied = self.applied == self.last_seq && self.end == SEGMENT_HEADER as u64;
        let is_ready = self.lookup.applying.is_none() && matches!(self.next, Next::Ready(_));
        is_applied
            && is_ready
            && !self.sparseness.is_under_way
            && self.scarcity.asked == 0
            && !self.is_short()
            && !self.is_poisoned()
    }

    /// Goes on in a successor. Takes a few milliseconds, since the disk is waited for. `None` where that failed: the daemon has to start
    /// anew then.
    ///
    /// # Errors
    /// The successor, for which it is too late: something was written since it was begun, or is to be done. All is as before.
    pub fn succeed(&mut self, successor: Successor) -> Result<Option<Former>, Successor> {
        if !self.is_at_rest() || successor.applied != self.last_seq {
            return Err(successor);
        }
        // IMPORTANT: in this order, as for a takeover. Else a daemon that died in between would leave readers where nobody writes.
        finish(&self.lookup.index.words());
        failpoint!(SuccessionBegun);
        if let Err(error) = generation::put_current(&self.options.path) {
            // Which of the two the next daemon finds does not matter.
            error!(%error, "the link to the index can't be changed; the daemon has to start anew");
            self.poisoned = true;
            return Ok(None);
        }
        failpoint!(SuccessionDone);
        Ok(Some(self.go_on_in(successor)))
    }

    fn go_on_in(&mut self, successor: Successor) -> Former {
        let Successor { path, generation, tables, index, segment, .. } = successor;
        let number = segment.number();
        let former = std::mem::replace(&mut self.lookup.tables, Arc::clone(&tables));
        self.former = Arc::downgrade(&former);
        self.blobs.look_into(tables);
        self.lookup.index = index;
        self.lookup.trail.clear();
        self.tail.rotate(Arc::clone(&segment), SEGMENT_HEADER as u64);
        self.lookup.active = segment;
        self.expiring = Expiring::new(number);
        self.queues = Queues::new(number);
        self.synced = Position { segment: number, offset: SEGMENT_HEADER as u64 };
        self.swept = Timestamp::default();
        self.generation.clone_from(&generation);
        self.measure();
        self.check_counts();
        self.prepare_next();
        self.ask_for_room();
        Former { path, live: generation, _tables: former }
    }
}

impl Succession {
    /// Makes the successor, as long as `goes_on` says so; `None` where it was over before. Blocks for as long as it takes to read and
    /// write all that the index has.
    ///
    /// # Errors
    /// Where it can't be made. The store is as before.
    pub fn prepare(self, goes_on: impl Fn() -> bool) -> Result<Option<Successor>, OpenError> {
        let io = |source| OpenError::Io { action: "make another generation of", path: self.path.clone(), source };
        let used = self.tables.used().map_err(|source| self.index(source))?;
        let wanted = used + FILE_LEN + 4 * HEAD;
        if !self.tables.room.has_room_for_another(wanted).map_err(io)? {
            return Err(OpenError::NoSpace { path: self.path.clone() });
        }
        let generation = generation::create_generation_after(&self.path, &self.live).map_err(io)?;
        let made = self.fill(&generation, goes_on);
        if !matches!(made, Ok(Some(_))) {
            remove(&self.path, &generation);
        }
        made
    }

    fn fill(&self, generation: &Path, goes_on: impl Fn() -> bool) -> Result<Option<Successor>, OpenError> {
        let io = |source| OpenError::Io { action: "make another generation of", path: self.path.clone(), source };
        if !self.tables.copy_to(generation, goes_on).map_err(|source| self.index(source))? {
            return Ok(None);
        }
        failpoint!(SuccessorCopied);
        share(&self.live, generation).map_err(io)?;
        let tables = Arc::new(Tables::open_in(&self.path, generation)?);
        if !self.note_numbers(&tables).map_err(|source| self.index(source))? {
            return Ok(None);
        }
        let (index, segment) = self.begin(generation, &tables)?;
        tables.leave_room();
        // IMPORTANT: the names of the files in it, and its own, before anything names it.
        let synced = File::open(generation).and_then(|folder| folder.sync_all());
        synced.and_then(|()| File::open(&self.path)?.sync_all()).map_err(io)?;
        generation::prepare_current(&self.path, generation).map_err(io)?;
        failpoint!(SuccessorReady);
        let (path, generation) = (self.path.clone(), generation.to_owned());
        Ok(Some(Successor { path, generation, tables, index, segment, applied: self.applied }))
    }

    /// Tells whether the copy has everything and may become as large as the original, and notes which segment it begins with.
    fn note_numbers(&self, tables: &Tables) -> heed::Result<bool> {
        let mut txn = tables.env.write_txn()?;
        let fits = tables.meta(&txn, Meta::Applied)?.unwrap_or(0) == self.applied
            && tables.env.info().map_size >= self.tables.env.info().map_size;
        tables.set_meta(&mut txn, Meta::NextSegment, self.number)?;
        txn.commit()?;
        Ok(fits)
    }

    /// Makes its first segment and the shared index that names it.
    fn begin(&self, generation: &Path, tables: &Tables) -> Result<(Arc<Index>, Arc<Segment>), OpenError> {
        let (path, log) = (&self.path, generation.join(LOG));
        let mut steps = Steps { path, log, store_id: self.store_id, tables, blobs: &self.blobs, made: None };
        let index = begin_anew(generation, &mut steps)?;
        let marked = index.set_mark(Mark::InUse);
        marked.map_err(|source| steps.failed(RestartError::Step { source: source.into() }))?;
        Ok((Arc::new(index), steps.made.take().expect("it was begun with one")))
    }

    fn index(&self, source: heed::Error) -> OpenError {
        OpenError::Index { action: "copy", path: self.path.clone(), source }
    }
}

impl Successor {
    /// Throws it away. Blocks.
    pub fn discard(self) {
        let Self { path, generation, .. } = self;
        remove(&path, &generation);
    }
}

impl Former {
    /// Removes its files. Their blocks are given back once nobody has them open. Blocks.
    pub fn remove(&self) {
        // IMPORTANT: not where the folder was replaced meanwhile: what is there is another daemon's.
        let is_ours = generation::current(&self.path).is_ok_and(|live| live.as_ref() == Some(&self.live));
        if is_ours && let Err(error) = generation::remove_others(&self.path, &self.live) {
            warn!(%error, "generations that are not live can't be removed");
        }
        failpoint!(FormerRemoved);
    }
}

/// Gives a generation those files of the live one that processes go on with.
fn share(live: &Path, generation: &Path) -> io::Result<()> {
    for name in [ACCESS, CHECKED] {
        match fs::hard_link(live.join(name), generation.join(name)) {
            // What was hashed is not kept on every filesystem.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name == CHECKED => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Removes a generation that does not become the live one.
fn remove(path: &Path, generation: &Path) {
    let removed = generation::forget_current(path).and_then(|()| fs::remove_dir_all(generation));
    if let Err(error) = removed {
        warn!(%error, "a generation that is not live can't be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Batch, Command, Condition, NewValue, Put};
    use super::super::making_way::Way;
    use super::super::rules::{Reserve, Rule, Rules};
    use super::super::testing::{NOW, options, put, put_of, store, wait};
    use super::*;
    use datacache_proto::key::Key;
    use datacache_proto::layout::{CURRENT, DATA_FILE};
    use datacache_proto::recent::{View, Word, Words};
    use datacache_proto::types::Digest;
    use sha2::Digest as _;
    use std::os::unix::fs::MetadataExt as _;

    const VALUE: usize = 1 << 20;
    const VALUES: i64 = 40;

    fn write(store: &mut Store, command: Command) {
        let (mut batches, mut results) = ([Batch::of(command, None)].into(), Vec::new());
        store.write(&mut batches, NOW, &mut results);
        while results.is_empty() {
            wait(store, |store| matches!(store.next, Next::Ready(_)));
            store.write(&mut batches, NOW, &mut results);
        }
        results.pop().expect("there is one").unwrap();
    }

    fn apply(store: &mut Store) {
        while !store.is_at_rest() {
            // What its threads find out is written by itself.
            let target = store.request_checkpoint();
            wait(store, |store| store.applied() >= target && (store.is_at_rest() || store.end > SEGMENT_HEADER as u64));
        }
    }

    /// Adds large entries and has them applied, and all but one go again.
    fn emptied(folder: &tempfile::TempDir) -> Store {
        let mut store = store(folder);
        for key in 0..VALUES {
            let value = NewValue::Inline(vec![u8::try_from(key).unwrap(); VALUE].into());
            write(&mut store, Command::Put(Put { key: Key::integer(key).into(), ..put_of(value) }));
        }
        apply(&mut store);
        assert!(!store.has_much_free());
        let namespace = store.namespace("n").unwrap();
        for key in 1..VALUES {
            write(&mut store, Command::Delete { namespace, key: Key::integer(key), when: Condition::Live });
        }
        apply(&mut store);
        assert!(store.has_much_free());
        store
    }

    fn prepared(store: &Store) -> Successor {
        let succession = store.succession().expect("nothing is to be done");
        succession.prepare(|| true).unwrap().expect("it goes on")
    }

    fn get(store: &Store, key: &Key) -> Option<usize> {
        let length = |record: &datacache_proto::record::Record<'_>| match record.value {
            datacache_proto::record::Value::Inline(value) => value.len(),
            datacache_proto::record::Value::Blob { length, .. } => usize::try_from(length).unwrap(),
        };
        store.read(store.namespace("n").unwrap(), key, NOW, length).unwrap()
    }

    fn live(store: &Store) -> PathBuf {
        fs::read_link(store.path().join(CURRENT)).unwrap()
    }

    #[test]
    fn a_store_goes_on_in_a_smaller_index_and_nothing_is_left_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = emptied(&folder);
        let blob = stage_blob(&store);
        write(&mut store, Command::Put(Put { key: Key::from("blob").into(), ..put_of(blob) }));
        apply(&mut store);
        let attached = Index::open(&store.generation, store.id).unwrap().expect("the store has one");
        store.access.access().count(0, 7, true);
        let (counts, before) = (store.counts(store.namespace("n").unwrap()), fs::metadata(data(&store)).unwrap());

        let successor = prepared(&store);
        assert!(!View::from_word(attached.words().load(Word::View)).is_over(), "it is only made yet");
        let former = store.succeed(successor).expect("nobody wrote").expect("the link can be changed");
        assert!(View::from_word(attached.words().load(Word::View)).is_over());
        former.remove();
        drop(former);
        assert_eq!(live(&store), Path::new("gen-2"));
        assert!(!store.path().join("gen-1").exists() && !store.path().join("current.new").exists());
        let after = fs::metadata(data(&store)).unwrap();
        assert!(after.blocks() * 512 < before.blocks() * 512 / 4, "{before:?} {after:?}");
        assert_eq!(store.counts(store.namespace("n").unwrap()), counts);
        assert_eq!(store.reads(7).map(|reads| reads.hits), Some(1), "what was counted goes on to count");
        assert!(store.blobs().is_verified(&digest()).is_ok());

        wait(&mut store, |store| matches!(store.next, Next::Ready(_)));
        put(&mut store, NewValue::Inline(vec![7].into()));
        let check = |store: &Store| {
            let found = [Key::integer(0), Key::integer(1), "blob".into(), "k".into()].map(|key| get(store, &key));
            assert_eq!(found, [Some(VALUE), None, Some(5), Some(1)]);
        };
        check(&store);
        apply(&mut store);
        check(&store);
        put(&mut store, NewValue::Inline(vec![8].into()));
        drop(store);
        let store = Store::open(options(&folder), NOW).unwrap();
        check(&store);
        store.close(NOW).unwrap();
        check(&Store::open(options(&folder), NOW).unwrap());
    }

    /// For as long as both had blocks the disk was short of them, and entries were evicted that the smaller index was to keep.
    #[test]
    fn the_file_before_is_not_evicted_for_while_it_is_about_to_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = emptied(&folder);
        let before = store.lookup.tables.room.end().unwrap();
        let successor = prepared(&store);
        let former = store.succeed(successor).unwrap().expect("the link can be changed");
        former.remove();
        assert!(store.spare().unwrap() >= before);
        drop(former);
        assert!(store.spare().unwrap() < before);
    }

    /// The places were looked for in a segment of the index before: none was found, and what was new was refused.
    #[test]
    fn what_is_added_in_a_smaller_index_is_evicted_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = emptied(&folder);
        let successor = prepared(&store);
        store.succeed(successor).unwrap().expect("the link can be changed");
        wait(&mut store, |store| matches!(store.next, Next::Ready(_)));
        let all = Rule { limit_entries: Some(3), ..Rule::default() };
        store.set_rules(Rules { all, reserve: Reserve::Bytes(0), ..Rules::default() });
        let namespace = store.namespace("n").unwrap();
        for key in 100..110 {
            let value = NewValue::Inline(vec![7].into());
            let put = Command::Put(Put { key: Key::integer(key).into(), ..put_of(value) });
            let batch = Batch::of(put.clone(), None);
            while let way @ (Way::Again | Way::Refused(_)) = store.make_way(&batch, NOW) {
                assert!(matches!(way, Way::Again), "{key}: {way:?}");
            }
            write(&mut store, put);
            assert!(store.counts(namespace).entries <= 3);
        }
    }

    fn data(store: &Store) -> PathBuf {
        store.generation.join(DATA_FILE)
    }

    fn digest() -> Digest {
        Digest(sha2::Sha256::digest(b"value").into())
    }

    fn stage_blob(store: &Store) -> NewValue {
        super::super::testing::stage(&store.blobs(), digest())
    }

    #[test]
    fn a_write_during_the_copy_wins() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = emptied(&folder);
        let successor = prepared(&store);
        put(&mut store, NewValue::Inline(vec![7].into()));
        let late = store.succeed(successor).expect_err("it has not what was written");
        late.discard();
        apply(&mut store);
        let late = prepared(&store);
        assert_eq!((live(&store).as_path(), get(&store, &"k".into())), (Path::new("gen-1"), Some(1)));
        put(&mut store, NewValue::Inline(vec![7, 8].into()));
        apply(&mut store);
        store.succeed(late).expect_err("it has not what was written and applied").discard();
        assert!(!store.path().join("gen-2").exists() && !store.path().join("current.new").exists());
        let successor = prepared(&store);
        assert!(store.succeed(successor).unwrap().is_some());
        assert_eq!(get(&store, &"k".into()), Some(2));
    }

    #[test]
    fn a_copy_that_is_given_up_or_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = emptied(&folder);
        assert!(store.succession().unwrap().prepare(|| false).unwrap().is_none());
        assert!(!store.path().join("gen-2").exists());
        fs::create_dir(store.path().join("current.new")).unwrap();
        let failed = store.succession().unwrap().prepare(|| true).unwrap_err();
        assert!(matches!(failed, OpenError::Io { .. }), "{failed:?}");
        fs::remove_dir(store.path().join("current.new")).unwrap();
        drop(prepared(&store));
        drop(store);
        let store = Store::open(options(&folder), NOW).unwrap();
        assert!(!store.path().join("gen-2").exists(), "a daemon died before it was live");
        assert_eq!(get(&store, &Key::integer(0)), Some(VALUE));
    }
}
