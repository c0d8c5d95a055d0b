//! The opening of a store: what was recovered becomes one that is in use, with its threads.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use datacache_proto::log::SEGMENT_HEADER;
use datacache_proto::time::Timestamp;
use tracing::debug;

use super::adopter::Adopter;
use super::condemned::Condemned;
use super::crowding::Crowding;
use super::damage::Damage;
use super::draft::Draft;
use super::error::OpenError;
use super::expiring::Expiring;
use super::failpoint::failpoint;
use super::folder;
use super::headroom::Headroom;
use super::index_size::IndexSize;
use super::lookup::Lookup;
use super::options::StoreOptions;
use super::pools::Pools;
use super::position::Position;
use super::queues::Queues;
use super::recovery::Recovered;
use super::rules::Rules;
use super::scarcity::Scarcity;
use super::sparseness::Sparseness;
use super::states::States;
use super::store::{Counters, Named, Next, Store};
use super::syncer::{Tail, syncer};
use super::threads::{Outbox, applier};
use super::timings::Timings;
use super::trial::recover_trusted;
use super::verifier::{BlobJob, verifier};

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
        let index_size = IndexSize::opened(tables.used().unwrap_or_default(), memory.rows());
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
            condemned: Condemned::default(),
            damage: Damage::default(),
            swept: Timestamp::default(),
            upcoming: None,
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
}
