//! The store as its owner sees it: opened, written, looked at, and told from time to time to take in what its threads did.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};

use datacache_proto::key::Key;
use datacache_proto::layout::{LOG, READER_SLOTS};
use datacache_proto::log::SEGMENT_HEADER;
use datacache_proto::recent::{KeyHash, Mark};
use datacache_proto::record::Record;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Digest, FrameStats, LatencyStats, MovedAside, ReaderStats, StoreStats};
use tracing::debug;

use super::access::AccessFile;
use super::adopter::Adopter;
use super::blob::BlobStore;
use super::command::Holder;
use super::counts::Counts;
use super::crowding::Crowding;
use super::damage::Damage;
use super::deaths::Deaths;
use super::draft::Draft;
use super::error::{OpenError, StoreError};
use super::expiring::Expiring;
use super::failpoint::failpoint;
use super::folder;
use super::headroom::Headroom;
use super::lookup::{Lookup, Seen};
use super::memory::Memory;
use super::moved_aside::moved_aside;
use super::options::StoreOptions;
use super::plan::{Cursor, Plan, Reader};
use super::pools::Pools;
use super::position::Position;
use super::queues::Queues;
use super::readers::Readers;
use super::recovery::Recovered;
use super::rules::Rules;
use super::scarcity::Scarcity;
use super::segment::{self, Segment};
use super::sparseness::Sparseness;
use super::states::{Learned, States};
use super::syncer::{SyncJob, Tail, syncer};
use super::table_keys::namespace_prefix;
use super::tables::Tables;
use super::threads::{Event, Helper, IndexJob, Outbox, applier};
use super::timings::Timings;
use super::trial::recover_trusted;
use super::usage::IndexSize;
use super::verifier::{BlobJob, verifier};

/// The only writer of a store. Belongs to one thread; what it shares with others is in [`Reader`] and [`BlobStore`].
///
/// Dropping it is like the death of the process: what is in the log stays there, for the next to apply. [`Store::close`]
/// ends it in good order.
pub struct Store {
    // The threads first: they end before anything that they use.
    pub(super) applier: Helper<IndexJob>,
    pub(super) syncer: Helper<SyncJob>,
    pub(super) verifier: Helper<BlobJob>,
    pub(super) events: Receiver<Event>,
    pub(super) generation: PathBuf,
    pub(super) options: StoreOptions,
    pub(super) id: u128,
    pub(super) lookup: Lookup,
    /// The index that was replaced: its file takes room until nobody here has it open.
    pub(super) former: Weak<Tables>,
    pub(super) access: AccessFile,
    pub(super) blobs: BlobStore,
    pub(super) adopter: Adopter,
    pub(super) memory: Memory,
    pub(super) pools: Pools,
    pub(super) queues: Queues,
    pub(super) index_size: IndexSize,
    pub(super) headroom: Headroom,
    pub(super) crowding: Crowding,
    pub(super) sparseness: Sparseness,
    pub(super) draft: Draft,
    pub(super) tail: Arc<Tail>,
    /// Where the next frame goes in the active segment.
    pub(super) end: u64,
    /// How many distinct keys the active segment has.
    pub(super) used: usize,
    /// When its first frame was appended.
    pub(super) active_since: Option<Timestamp>,
    /// The same of the segment that is being applied.
    pub(super) applying_since: Option<Timestamp>,
    /// The sequence number of the last operation in the log.
    pub(super) last_seq: u64,
    /// The same of the segment that is being applied.
    pub(super) applying_seq: u64,
    /// The end of the segment that is being applied.
    pub(super) applying_end: Position,
    /// The last sequence number that readers find without the log.
    pub(super) applied: u64,
    /// Why the log can't be applied at the moment, if it can't.
    pub(super) apply_failure: Option<StoreError>,
    pub(super) scarcity: Scarcity,
    /// Set when log and shared index disagree, or a thread is gone: nothing more is written, a restart mends it.
    pub(super) poisoned: bool,
    pub(super) next: Next,
    /// Rotate as soon as that can be done.
    pub(super) checkpoint: bool,
    pub(super) synced: Position,
    /// What was synced behind a segment that is not; it counts once that one is synced or applied.
    pub(super) synced_later: Position,
    pub(super) sync_failed: BTreeSet<u64>,
    pub(super) sync_scheduled: bool,
    pub(super) named: Named,
    pub(super) expiring: Expiring,
    /// Blobs that may belong to nobody any more.
    pub(super) dropped: VecDeque<Digest>,
    /// The same, to be looked at once the segment that is being applied is retired.
    pub(super) dropped_later: Vec<Digest>,
    /// Damaged blobs, each with the sequence number that must be applied before its entries are looked for, and its file, open
    /// so that no other gets its number.
    pub(super) damaged: Vec<(u64, Digest, Option<File>)>,
    pub(super) damage: Damage,
    /// Every entry that ended until then is planned to go; see [`Store::plan_expired`].
    pub(super) swept: Timestamp,
    pub(super) counters: Counters,
    pub(super) timings: Timings,
    pub(super) deaths: Deaths,
    /// The daemon's lock on the folder. Last: it is given back when all else is done.
    pub(super) _lock: File,
}

/// The segment that comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// It is being made.
    Preparing,
    /// It can become active.
    Ready(Arc<Segment>),
    /// It is made once the one that is being applied is retired.
    Later,
    /// It could not be made; the thread that syncs tries it again.
    Failed(StoreError),
}

/// The blobs that operations of the two unapplied segments name.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) active: HashSet<Digest>,
    pub(super) applying: HashSet<Digest>,
}

/// What the store did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that were appended to the log.
    pub frames: u64,
    /// Operations in them.
    pub operations: u64,
    /// Bytes of the log that they take.
    pub log_bytes: u64,
    /// Segments that were applied to the index.
    pub segments: u64,
    /// Times that nothing could be written before a segment was applied, each from the first attempt until it could.
    pub waits: u64,
    /// Records and blobs that were found to be damaged, by readers or by the store itself.
    pub damaged: u64,
}

/// How many entries that have ended are looked at on a page of [`Store::go_on_with_len`].
const LEN_PAGE: usize = 1_024;

/// A count of live entries, as far as it has come.
#[derive(Debug)]
pub struct LenCount {
    namespace: u32,
    now: Timestamp,
    /// How many there were when it began, live or not.
    entries: u64,
    expired: u64,
    after: Vec<u8>,
}

impl LenCount {
    /// Returns how many are live.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.entries.saturating_sub(self.expired)
    }
}

impl Store {
    /// Opens a store, making it where it is new, and applies what a daemon before has left in the log. Blocks, for seconds after
    /// a kill.
    ///
    /// # Errors
    /// [`OpenError::InUse`] where another daemon has it; else what is wrong with the folder.
    pub fn open(options: StoreOptions, now: Timestamp) -> Result<Self, OpenError> {
        let lock = folder::take(&options.path)?;
        let (recovered, deaths) = recover_trusted(&options.path, &options.examiner)?;
        let Recovered { generation, store_id, tables, blobs, index, access, segment, memory, applied } = recovered;
        failpoint!(StoreRecovered);
        let (outbox, events) = Outbox::new(Arc::clone(&options.wake));
        let tail = Arc::new(Tail::new(Arc::clone(&segment), SEGMENT_HEADER as u64));
        let spawn = |source| OpenError::Io { action: "start a thread for", path: options.path.clone(), source };
        let applier = applier(blobs.clone(), outbox.clone()).map_err(spawn)?;
        let interval = options.sync_interval;
        let syncer = syncer(blobs.clone(), Arc::clone(&tail), interval, outbox.clone()).map_err(spawn)?;
        let verifier = verifier(blobs.clone(), outbox.clone()).map_err(spawn)?;
        let adopter = Adopter::new(blobs.clone(), outbox);
        let number = segment.number();
        let pools = Pools::new(Rules::none(), States::new(&options.path), memory.namespaces());
        let index_size = IndexSize::measured(tables.used().unwrap_or_default(), memory.rows());
        let mut store = Self {
            applier,
            syncer,
            verifier,
            events,
            generation,
            id: store_id,
            lookup: Lookup::new(index, tables, segment),
            former: Weak::new(),
            access,
            blobs,
            adopter,
            memory,
            pools,
            queues: Queues::new(number),
            index_size,
            headroom: Headroom::default(),
            crowding: Crowding::default(),
            sparseness: Sparseness::default(),
            draft: Draft::default(),
            tail,
            end: SEGMENT_HEADER as u64,
            used: 0,
            active_since: None,
            applying_since: None,
            last_seq: applied,
            applying_seq: applied,
            applying_end: Position::default(),
            applied,
            apply_failure: None,
            scarcity: Scarcity::default(),
            poisoned: false,
            next: Next::Later,
            checkpoint: false,
            synced: Position { segment: number, offset: SEGMENT_HEADER as u64 },
            synced_later: Position::default(),
            sync_failed: BTreeSet::new(),
            sync_scheduled: false,
            named: Named::default(),
            expiring: Expiring::new(number),
            dropped: VecDeque::new(),
            dropped_later: Vec::new(),
            damaged: Vec::new(),
            damage: Damage::default(),
            swept: Timestamp::default(),
            counters: Counters::default(),
            timings: Timings::default(),
            deaths,
            options,
            _lock: lock,
        };
        store.know_places();
        store.prepare_next();
        store.ask_for_room();
        store.spread_marks();
        store.blobs.begin_checks();
        store.verifier.send(BlobJob::Survey(Arc::clone(&store.lookup.tables)));
        failpoint!(StoreOpened);
        debug!(segment = number, applied, now = now.as_millis(), "the store is open");
        Ok(store)
    }

    /// Returns the store's random identity.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.id
    }

    /// Returns the store's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.options.path
    }

    /// Returns the number of a namespace, `None` where there is none of that name.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<u32> {
        self.memory.namespace(name)
    }

    /// Returns every namespace, by name, with its number.
    #[must_use]
    pub fn namespaces(&self) -> Vec<(String, u32)> {
        self.memory.namespaces().map(|(name, number)| (name.to_owned(), number)).collect()
    }

    /// Returns what a namespace holds, expired entries included until they are removed.
    #[must_use]
    pub fn counts(&self, namespace: u32) -> Counts {
        self.memory.counts(namespace)
    }

    /// Returns what the store did since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Shows a live entry to `found`; `None` where the key has none, or one that is damaged: that goes soon.
    ///
    /// # Errors
    /// [`StoreError::Read`] where the index can't be read.
    pub fn lookup<R>(
        &self,
        namespace: u32,
        key: &Key,
        now: Timestamp,
        found: impl FnOnce(&Record<'_>) -> R,
    ) -> Result<Option<R>, StoreError> {
        let hash = KeyHash::of(namespace, key.encoded());
        let looked = self.lookup.see(&self.lookup.snapshot(), namespace, key.encoded(), hash, |seen, _| match seen {
            Seen::Entry(record) if !record.is_expired(now) && !self.damage.has(&record) => Some(found(&record)),
            Seen::Entry(_) | Seen::Absent => None,
            Seen::Damaged => {
                self.note_damaged(namespace, key);
                None
            }
        });
        looked.or_else(|failure| self.forgive(failure))
    }

    /// Counts the live entries of a namespace, exactly.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn len(&self, namespace: u32, now: Timestamp) -> Result<u64, StoreError> {
        let mut count = self.begin_len(namespace, now);
        while self.go_on_with_len(&mut count)? {}
        Ok(count.live())
    }

    /// Begins to count the live entries of a namespace page by page, for somebody who can't wait while as many as there are have
    /// just ended.
    #[must_use]
    pub fn begin_len(&self, namespace: u32, now: Timestamp) -> LenCount {
        let (entries, expired) = (self.memory.counts(namespace).entries, self.expiring.count_until(now, namespace));
        LenCount { namespace, now, entries, expired, after: namespace_prefix(namespace).to_vec() }
    }

    /// Goes on with a count; tells whether there may be more to count. What is removed between two pages counts as live, and
    /// nothing that is live as not.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn go_on_with_len(&self, count: &mut LenCount) -> Result<bool, StoreError> {
        let &mut LenCount { namespace, now, ref after, .. } = count;
        let due = self.reader().due(namespace, after, now, LEN_PAGE).map_err(|source| StoreError::Read { source })?;
        let Some((last, _)) = due.last() else { return Ok(false) };
        count.after.clone_from(last);
        let stands = |key: &Key| {
            let hash = KeyHash::of(namespace, key.encoded());
            self.lookup.locate(namespace, key.encoded(), hash).is_none()
        };
        count.expired += due.iter().filter(|(_, key)| key.as_ref().is_some_and(stands)).count() as u64;
        Ok(due.len() == LEN_PAGE)
    }

    /// Returns a way to look at the index from other threads.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { tables: Arc::clone(&self.lookup.tables) }
    }

    /// Returns the blobs, for other threads.
    #[must_use]
    pub fn blobs(&self) -> BlobStore {
        self.blobs.clone()
    }

    /// Returns what adopts the blobs of batches, for other threads.
    #[must_use]
    pub fn adopter(&self) -> Adopter {
        self.adopter.clone()
    }

    /// Returns up to `limit` versions that a holder leases.
    #[must_use]
    pub fn leases_of(&self, holder: &Holder, limit: usize) -> Vec<u64> {
        self.memory.leases().of(holder, limit)
    }

    /// Returns everyone who holds a lease.
    #[must_use]
    pub fn holders(&self) -> Vec<Holder> {
        self.memory.leases().holders()
    }

    /// Returns sizes and counts of the store as a whole.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let read = |source| StoreError::Read { source };
        let tables = &self.lookup.tables;
        let blobs = self.memory.blobs();
        let unsynced = match self.end().segment == self.synced.segment {
            true => self.end.saturating_sub(self.synced.offset),
            false => self.end,
        };
        Ok(StoreStats {
            index_bytes: tables.used().map_err(read)?,
            unapplied_operations: self.last_seq - self.applied,
            unapplied_bytes: self.end - SEGMENT_HEADER as u64 + self.lookup.applying.as_ref().map_or(0, |s| s.length()),
            unsynced_bytes: unsynced,
            blobs: blobs.entries,
            blob_bytes: blobs.bytes,
            readers: self.readers()?.places.len() as u64,
            leases: self.memory.leases().count(),
            shortage: self.shortage(),
            moved_aside: self.moved_aside(),
        })
    }

    /// Returns what is known of the index that was moved aside, while its folder is there.
    #[must_use]
    pub fn moved_aside(&self) -> Option<MovedAside> {
        moved_aside(&self.options.path)
    }

    /// Returns who reads the index.
    ///
    /// # Errors
    /// Where that can't be told.
    pub fn readers(&self) -> Result<Readers, StoreError> {
        self.lookup.tables.readers().map_err(|source| StoreError::Read { source: source.into() })
    }

    /// Returns how many read the index, and how far behind the oldest read is. For how long it goes on is not known here.
    ///
    /// # Errors
    /// Where that can't be told.
    pub fn reader_stats(&self) -> Result<ReaderStats, StoreError> {
        let Readers { places, .. } = self.readers()?;
        let last = self.lookup.tables.env.info().last_txn_id as u64;
        let reading = || places.iter().filter_map(|place| place.reading);
        Ok(ReaderStats {
            places: places.len() as u64,
            places_max: READER_SLOTS.into(),
            processes: places.iter().map(|place| place.pid).collect::<BTreeSet<_>>().len() as u64,
            reading: reading().count() as u64,
            behind_transactions: reading().min().map_or(0, |oldest| last.saturating_sub(oldest)),
            oldest_read_ms: None,
        })
    }

    /// Returns since when the log has what the index has not; `None` where that is nothing.
    #[must_use]
    pub fn unapplied_since(&self) -> Option<Timestamp> {
        let active = self.active_since.filter(|_| self.end > SEGMENT_HEADER as u64);
        self.applying_since.into_iter().chain(active).min()
    }

    /// Returns how long the store's own work took; that of calls is not known here.
    #[must_use]
    pub fn latency(&self) -> LatencyStats {
        self.timings.latency()
    }

    /// Returns how much shared a frame of the log.
    #[must_use]
    pub fn frame_stats(&self) -> FrameStats {
        self.timings.frames()
    }

    /// Plans to remove entries whose time is over, `limit` at most on a page. A sweep over all namespaces begins where the one
    /// before ended, and looks from the beginning again after the index changed or the clock stepped back.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn plan_expired(
        &mut self,
        namespace: Option<u32>,
        now: Timestamp,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Plan, StoreError> {
        if now < self.swept {
            self.swept = Timestamp::default();
        }
        let plan = super::sweep::plan(self, namespace, now, cursor, limit)?;
        if plan.next.is_none() && namespace.is_none() {
            self.swept = now;
        }
        Ok(plan)
    }

    /// Returns the earliest moment after `after` at which an entry ends, as far as it is known without looking at each:
    /// an entry that was deleted or touched meanwhile may be what it is about. An entry of the log whose time is over and that no
    /// sweep has removed counts too.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn next_expiry(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let reader = self.reader();
        let mut first = self.expiring.first();
        for (_, namespace) in self.memory.namespaces() {
            let due = reader.first_due(namespace, after).map_err(|source| StoreError::Read { source })?;
            first = [first, due].into_iter().flatten().min();
        }
        Ok(first)
    }

    /// Ends the store in good order: applies the log, and says so. Blocks.
    ///
    /// # Errors
    /// Where the log can't be applied; it stays for the next daemon then.
    pub fn close(mut self, now: Timestamp) -> Result<(), StoreError> {
        let target = self.request_checkpoint();
        while self.applied < target {
            if let Some(failure) = self.apply_failure() {
                return Err(failure);
            }
            match self.events.recv() {
                Ok(event) => self.take(event, now),
                // All threads are gone, which none is while its sender is here.
                Err(_) => return Err(StoreError::ApplyFailed { errno: None }),
            }
            self.progress(now);
        }
        failpoint!(CloseApplied);
        // It may be about to make or remove a segment.
        self.syncer.stop();
        self.applier.stop();
        failpoint!(CloseStopped);
        // IMPORTANT: the log first. Readers of another boot believe the mark only if no log is there.
        let removed = remove_log(&self.generation.join(LOG));
        failpoint!(CloseLogRemoved);
        // What the next start needs for its log, from what this one's has given back. Without it, it looks for room itself.
        self.lookup.tables.leave_room();
        let marked = removed.and_then(|()| self.lookup.index.set_mark(Mark::Closed));
        failpoint!(CloseMarked);
        marked.map_err(|source| StoreError::append(source, &self.options.path))?;
        self.learned().into_iter().for_each(Learned::keep);
        self.deaths.end_well();
        Ok(())
    }
}

fn remove_log(folder: &Path) -> std::io::Result<()> {
    for number in segment::numbers(folder)? {
        segment::remove_file(&folder.join(datacache_proto::layout::segment_name(number)))?;
    }
    File::open(folder)?.sync_all()
}
