//! The store as its owner sees it: what it consists of, and the looks at it that are only a step.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};

use datacache_proto::key::Key;
use datacache_proto::recent::KeyHash;
use datacache_proto::record::Record;
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;

use super::access::AccessFile;
use super::adopter::Adopter;
use super::blob::BlobStore;
use super::command::Holder;
use super::condemned::{Condemned, Damaged};
use super::counts::Counts;
use super::crowding::Crowding;
use super::damage::Damage;
use super::deaths::Deaths;
use super::draft::Draft;
use super::error::StoreError;
use super::expiring::Expiring;
use super::headroom::Headroom;
use super::index_size::IndexSize;
use super::lookup::{Lookup, Seen};
use super::memory::Memory;
use super::options::StoreOptions;
use super::plan::Reader;
use super::pools::Pools;
use super::position::Position;
use super::queues::Queues;
use super::scarcity::Scarcity;
use super::segment::Segment;
use super::sparseness::Sparseness;
use super::sweep::Upcoming;
use super::syncer::{SyncJob, Tail};
use super::tables::Tables;
use super::threads::{Event, Helper, IndexJob};
use super::timings::Timings;
use super::verifier::BlobJob;

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
    /// Damaged blobs whose entries are to be looked for.
    pub(super) damaged: Vec<Damaged>,
    /// Those entries, once they are found.
    pub(super) condemned: Condemned,
    pub(super) damage: Damage,
    /// Every entry that ended until then is planned to go; see [`Store::plan_expired`].
    pub(super) swept: Timestamp,
    /// When the next entry of the index ends, as far as a sweep has seen it.
    pub(super) upcoming: Option<Upcoming>,
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
    /// Steps of packing that freed pages of the index.
    pub packings: u64,
    /// Records and blobs that were found to be damaged, by readers or by the store itself.
    pub damaged: u64,
}

impl Store {
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
}
