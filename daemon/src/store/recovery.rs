//! From a folder to a store that can be written: opens or makes the generation, applies what the log has and the index has not,
//! and leaves behind an empty active segment.
//!
//! Within one boot, readers may be attached to the shared index and must not notice; the steps and their order are
//! `recent::restart`'s. After another boot nobody is attached, and nothing in shared memory is believed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datacache_proto::layout::LOG;
use datacache_proto::recent::{Mark, RestartError, RestartSteps, begin, restart};
use tracing::{debug, warn};

use super::access::AccessFile;
use super::blob::BlobStore;
use super::error::OpenError;
use super::failpoint::failpoint;
use super::generation;
use super::identity::identity;
use super::index::Index;
use super::load::{applied, load};
use super::memory::Memory;
use super::restart_steps::{Steps, catch_up};
use super::segment::{self, Segment};
use super::tables::Tables;
use super::takeover::take_over;

/// A store that is ready to be written.
pub(super) struct Recovered {
    pub(super) generation: PathBuf,
    pub(super) store_id: u128,
    pub(super) tables: Arc<Tables>,
    pub(super) blobs: BlobStore,
    pub(super) index: Arc<Index>,
    pub(super) access: AccessFile,
    /// Active and empty.
    pub(super) segment: Arc<Segment>,
    /// What the index knows.
    pub(super) memory: Memory,
    /// The last sequence number whose operation is in the index.
    pub(super) applied: u64,
}

/// Opens the store in `path`, whose lock the caller holds.
pub(super) fn recover(path: &Path) -> Result<Recovered, OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    let live = generation::current(path).map_err(io("find the live generation of"))?;
    let is_new = live.is_none();
    let generation = match live {
        Some(generation) => {
            generation::check_generation(path, &generation)?;
            generation
        }
        None => generation::create_generation(path).map_err(io("make the folders of"))?,
    };
    let (generation, tables) = open_generation(path, generation)?;
    let mut tables = Arc::new(tables);
    failpoint!(TablesOpened);
    let store_id = identity(path, &tables, is_new)?;
    let access = open_access(&generation, store_id).map_err(io("open the counters of"))?;
    failpoint!(AccessOpened);
    let index = Index::open(&generation, store_id).map_err(io("open the shared index of"))?;
    let log = generation.join(LOG);
    let mut blobs = BlobStore::new(path, Arc::clone(&tables));
    let mut steps = Steps { path, log: log.clone(), store_id, tables: &tables, blobs: &blobs, made: None };
    if catch_up(&steps, index.is_none()).map_err(|source| steps.failed(RestartError::Step { source }))? {
        drop(blobs);
        Arc::into_inner(tables).expect("nobody else has it yet").close();
        tables = Arc::new(Tables::open_in(path, &generation)?);
        blobs = BlobStore::new(path, Arc::clone(&tables));
        steps = Steps { path, log, store_id, tables: &tables, blobs: &blobs, made: None };
    }
    failpoint!(LogCaughtUp);
    // Here, where damage that it meets with is still a reason to look the index through at once.
    let lmdb = |source| OpenError::Index { action: "read", path: path.to_owned(), source };
    let (memory, applied) = (load(&tables).map_err(lmdb)?, applied(&tables).map_err(lmdb)?);
    let index = match index {
        Some(index) => {
            debug!("taking over the shared index of this boot");
            restart(&index.words(), &mut steps).map_err(|error| steps.failed(error))?;
            index
        }
        None => begin_anew(&generation, &mut steps)?,
    };
    index.set_mark(Mark::InUse).map_err(io("mark"))?;
    failpoint!(MarkedInUse);
    let segment = steps.made.take().expect("both ways make the active segment");
    tables.leave_room();
    if is_new {
        generation::make_current(path, &generation).map_err(io("make the first generation of"))?;
    }
    Ok(Recovered { generation, store_id, tables, blobs, index: Arc::new(index), access, segment, memory, applied })
}

/// Opens the file of hints and counters, made anew where it does not fit. Before there is an index: readers look for both.
fn open_access(generation: &Path, store_id: u128) -> io::Result<AccessFile> {
    if let Some(access) = AccessFile::open(generation, store_id)? {
        return Ok(access);
    }
    // Readers that are attached would go on counting in the file before, or must not read this daemon's store themselves.
    Index::end(generation, store_id)?;
    AccessFile::create(generation, store_id)
}

/// Opens the live generation, in place of one of an older layout another, and removes what is not live.
fn open_generation(path: &Path, live: PathBuf) -> Result<(PathBuf, Tables), OpenError> {
    let tables = Tables::open_in(path, &live)?;
    let (live, tables) = if tables.is_older() { take_over(path, live, tables)? } else { (live, tables) };
    if let Err(error) = generation::remove_others(path, &live) {
        warn!(%error, "generations that are not live can't be removed");
    }
    Ok((live, tables))
}

/// Makes a shared index that nobody is attached to. Its first segment's number is above every number that was ever used.
pub(super) fn begin_anew(generation: &Path, steps: &mut Steps<'_>) -> Result<Index, OpenError> {
    let path = steps.path;
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    let numbers = segment::numbers(&steps.log).map_err(io("list the log of"))?;
    let next = steps.next_segment().map_err(|error| steps.failed(RestartError::Step { source: error }))?;
    let number = numbers.last().map_or(0, |last| last + 1).max(next).max(1);
    steps.create(number).map_err(|error| steps.failed(RestartError::Step { source: error }))?;
    let index = Index::create(generation, steps.store_id, |words| {
        begin(&words, number);
    });
    let index = index.map_err(io("make the shared index of"))?;
    steps.remove_older(number).map_err(|error| steps.failed(RestartError::Step { source: error }))?;
    Ok(index)
}
