//! From a folder to a store that can be written: opens or makes the generation, applies what the log has and the index has not,
//! and leaves behind an empty active segment.
//!
//! Within one boot, readers may be attached to the shared index and must not notice; the steps and their order are
//! `recent::restart`'s. After another boot nobody is attached, and nothing in shared memory is believed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datacache_proto::layout::{LAYOUT, LOG, segment_name};
use datacache_proto::recent::{Mark, RestartError, RestartSteps, begin, restart};
use rustix::rand::{GetRandomFlags, getrandom};
use tracing::{debug, info, warn};

use super::access::AccessFile;
use super::blob::BlobStore;
use super::error::{OpenError, is_full};
use super::folder;
use super::index::Index;
use super::replay::{LEAST_SLICE, Replay, ReplayError, SLICE};
use super::room::HEAD;
use super::segment::{self, Segment};
use super::syncer::create_segment;
use super::tables::{Meta, Tables, TablesError};
use super::takeover;

/// How many operations a transaction has while a log is applied that a daemon left behind: as many as 64 MiB of changed pages
/// allow, which are held until the commit.
const BACKLOG_SLICE: usize = 16_384;

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
}

/// Opens the store in `path`, whose lock the caller holds.
pub(super) fn recover(path: &Path) -> Result<Recovered, OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    let live = folder::current(path).map_err(io("find the live generation of"))?;
    let is_new = live.is_none();
    let generation = match live {
        Some(generation) => generation,
        None => folder::create_generation(path).map_err(io("make the folders of"))?,
    };
    let (generation, tables) = open_generation(path, generation)?;
    let mut tables = Arc::new(tables);
    let store_id = identity(path, &tables, is_new)?;
    let access = open_access(&generation, store_id).map_err(io("open the counters of"))?;
    let index = Index::open(&generation, store_id).map_err(io("open the shared index of"))?;
    let log = generation.join(LOG);
    let mut blobs = BlobStore::new(path, Arc::clone(&tables));
    let mut steps = Steps { path, log: log.clone(), store_id, tables: &tables, blobs: &blobs, made: None };
    if catch_up(&steps, index.is_none()).map_err(|source| steps.failed(RestartError::Step { source }))? {
        drop(blobs);
        Arc::into_inner(tables).expect("nobody else has it yet").close();
        tables = Arc::new(open_tables(path, &generation)?);
        blobs = BlobStore::new(path, Arc::clone(&tables));
        steps = Steps { path, log, store_id, tables: &tables, blobs: &blobs, made: None };
    }
    let index = match index {
        Some(index) => {
            debug!("taking over the shared index of this boot");
            restart(&index.words(), &mut steps).map_err(|error| steps.failed(error))?;
            index
        }
        None => begin_anew(&generation, &mut steps)?,
    };
    index.set_mark(Mark::InUse).map_err(io("mark"))?;
    let segment = steps.made.take().expect("both ways make the active segment");
    tables.leave_room();
    if is_new {
        folder::make_current(path, &generation).map_err(io("make the first generation of"))?;
    }
    Ok(Recovered { generation, store_id, tables, blobs, index: Arc::new(index), access, segment })
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
    let tables = open_tables(path, &live)?;
    let (live, tables) = if tables.is_older() { take_over(path, live, tables)? } else { (live, tables) };
    if let Err(error) = folder::remove_others(path, &live) {
        warn!(%error, "generations that are not live can't be removed");
    }
    Ok((live, tables))
}

/// Applies the log to the index of an older layout, and makes a generation of it that has ours. Where that can't be made, the
/// older one is used on, until the next start.
fn take_over(path: &Path, old: PathBuf, tables: Tables) -> Result<(PathBuf, Tables), OpenError> {
    let tables = Arc::new(tables);
    let store_id = identity(path, &tables, false)?;
    let index = Index::open(&old, store_id);
    let index =
        index.map_err(|source| OpenError::Io { action: "open the shared index of", path: path.to_owned(), source })?;
    let blobs = BlobStore::new(path, Arc::clone(&tables));
    let steps = Steps { path, log: old.join(LOG), store_id, tables: &tables, blobs: &blobs, made: None };
    catch_up(&steps, index.is_none()).map_err(|source| steps.failed(RestartError::Step { source }))?;
    let taken_over = takeover::copy(path, &old, &tables, store_id);
    drop(blobs);
    Arc::into_inner(tables).expect("nobody else has it yet").close();
    let live = match taken_over {
        Ok(new) => new,
        // IMPORTANT: only while the link names it: what is written there from now on is looked for there by the next.
        Err(error) if folder::current(path).is_ok_and(|live| live.as_ref() == Some(&old)) => {
            let error = &error as &dyn std::error::Error;
            warn!(error, "the store keeps its older layout until the next start; its clients ask for all they read");
            old
        }
        Err(error) => return Err(error),
    };
    let tables = open_tables(path, &live)?;
    Ok((live, tables))
}

fn open_tables(path: &Path, generation: &Path) -> Result<Tables, OpenError> {
    Tables::open(generation).map_err(|error| match error {
        TablesError::Lmdb { source } => OpenError::Index { action: "open", path: path.to_owned(), source },
        TablesError::LockFile { source } => {
            OpenError::Io { action: "allocate the lock file of", path: path.to_owned(), source }
        }
        TablesError::Room { source } => {
            OpenError::Io { action: "make room for the index of", path: path.to_owned(), source }
        }
        TablesError::Layout { found } => {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            OpenError::Layout { path: path.to_owned(), found, known: LAYOUT }
        }
    })
}

/// Applies what the daemon before has left in the log. In large transactions, in which a page that many operations touch is
/// written once; nobody waits for them. Tells whether there was so much that LMDB has to be closed to give their memory back.
fn catch_up(steps: &Steps<'_>, check_blobs: bool) -> Result<bool, StepError> {
    let before = steps.applied()?;
    let mut applied = steps.apply(check_blobs, BACKLOG_SLICE);
    // Each page that a transaction changes is a new one until it is committed: on a disk that is nearly full only small ones
    // succeed, which use the same pages again.
    for slice in [SLICE, SLICE / 8, LEAST_SLICE] {
        let Err(StepError::Replay { source: error @ ReplayError::Index { .. } }) = &applied else { break };
        let error = error as &dyn std::error::Error;
        warn!(error, slice, "the log can't be applied in large transactions; smaller ones are tried");
        applied = steps.apply(check_blobs, slice);
    }
    applied?;
    let operations = steps.applied()? - before;
    if operations > 0 {
        info!(operations, "applied the log that the daemon before left behind");
    }
    Ok(operations > SLICE as u64)
}

/// Returns the store's identity; a new store gets one, and the layout's number.
fn identity(path: &Path, tables: &Tables, is_new: bool) -> Result<u128, OpenError> {
    let lmdb = |source| OpenError::Index { action: "read the identity in", path: path.to_owned(), source };
    let txn = tables.env.read_txn().map_err(lmdb)?;
    let layout = tables.meta(&txn, Meta::Layout).map_err(lmdb)?;
    let low = tables.meta(&txn, Meta::StoreIdLow).map_err(lmdb)?;
    let high = tables.meta(&txn, Meta::StoreIdHigh).map_err(lmdb)?;
    drop(txn);
    match (layout, low, high) {
        (Some(_), Some(low), Some(high)) => Ok(u128::from(low) | u128::from(high) << 64),
        _ if is_new => draw_identity(path, tables),
        _ => Err(OpenError::Layout { path: path.to_owned(), found: 0, known: LAYOUT }),
    }
}

fn draw_identity(path: &Path, tables: &Tables) -> Result<u128, OpenError> {
    let mut random = [0; 16];
    getrandom(&mut random, GetRandomFlags::empty()).map_err(|errno| OpenError::Io {
        action: "draw an identity for",
        path: path.to_owned(),
        source: errno.into(),
    })?;
    let id = u128::from_le_bytes(random);
    let write = || {
        let mut txn = tables.env.write_txn()?;
        tables.set_meta(&mut txn, Meta::Layout, LAYOUT.into())?;
        tables.set_meta(&mut txn, Meta::StoreIdLow, id as u64)?;
        tables.set_meta(&mut txn, Meta::StoreIdHigh, (id >> 64) as u64)?;
        txn.commit()
    };
    write().map_err(|source| OpenError::Index { action: "write the identity in", path: path.to_owned(), source })?;
    Ok(id)
}

/// Makes a shared index that nobody is attached to. Its first segment's number is above every number that was ever used.
fn begin_anew(generation: &Path, steps: &mut Steps<'_>) -> Result<Index, OpenError> {
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

/// The steps of a restart on the store's own files.
struct Steps<'s> {
    path: &'s Path,
    log: PathBuf,
    store_id: u128,
    tables: &'s Tables,
    blobs: &'s BlobStore,
    made: Option<Arc<Segment>>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("failed to apply the log")]
    Replay {
        #[from]
        source: ReplayError,
    },
    #[error("failed to change the log")]
    Io {
        #[from]
        source: io::Error,
    },
    #[error("failed to read the index")]
    Index {
        #[from]
        source: heed::Error,
    },
}

impl Steps<'_> {
    /// Applies the segments that are there, as far as they follow one another without a gap.
    fn apply(&self, check_blobs: bool, slice: usize) -> Result<(), StepError> {
        let replay = Replay { tables: self.tables, blobs: self.blobs, check_blobs, slice };
        let txn = self.tables.env.read_txn()?;
        let first = self.tables.meta(&txn, Meta::FirstSegment)?.unwrap_or(0);
        drop(txn);
        for number in segment::numbers(&self.log)?.into_iter().filter(|number| *number >= first) {
            // A header that was not written whole: nothing was appended behind it either.
            let Some(segment) = Segment::open(&self.log, number, self.store_id)? else { continue };
            replay.segment(&segment, None, number + 1, |_| ())?;
        }
        Ok(())
    }

    fn applied(&self) -> Result<u64, StepError> {
        let txn = self.tables.env.read_txn()?;
        Ok(self.tables.meta(&txn, Meta::Applied)?.unwrap_or(0))
    }

    fn next_segment(&self) -> Result<u64, StepError> {
        let txn = self.tables.env.read_txn()?;
        Ok(self.tables.meta(&txn, Meta::NextSegment)?.unwrap_or(0))
    }

    /// Makes a segment. On a full disk it gives up for it what is least missed, first segments that the index has and that no view
    /// names, then some of what is reserved, and then the segment that readers still look into: they ask the daemon instead.
    fn make_segment(&self, number: u64) -> Result<Segment, StepError> {
        let make = |head| create_segment(&self.log, number, self.store_id, head);
        let ways: [&dyn Fn() -> Result<(), StepError>; 3] =
            [&|| self.remove_below(number.saturating_sub(1)), &|| Ok(self.tables.room.give_back(2 * HEAD)?), &|| {
                self.remove_below(number)
            }];
        let mut made = make(HEAD);
        for make_way in ways {
            if !made.as_ref().is_err_and(is_full) {
                break;
            }
            make_way()?;
            made = make(HEAD);
        }
        let made = made.or_else(|error| if is_full(&error) { make(0) } else { Err(error) });
        Ok(made?)
    }

    fn remove_below(&self, segment: u64) -> Result<(), StepError> {
        for number in segment::numbers(&self.log)?.into_iter().filter(|number| *number < segment) {
            segment::remove_file(&self.log.join(segment_name(number)))?;
        }
        Ok(())
    }

    fn is_for_want_of_room(&self, error: &StepError) -> bool {
        match error {
            StepError::Io { source } | StepError::Replay { source: ReplayError::Blob { source } } => is_full(source),
            StepError::Index { source: heed::Error::Io(source) }
            | StepError::Replay { source: ReplayError::Index { source: heed::Error::Io(source) } } => {
                self.tables.room.was_missing(source)
            }
            _ => false,
        }
    }

    fn failed(&self, error: RestartError<StepError>) -> OpenError {
        let path = self.path.to_owned();
        if matches!(&error, RestartError::Step { source } if self.is_for_want_of_room(source)) {
            return OpenError::NoSpace { path };
        }
        match error {
            RestartError::Over => {
                OpenError::Io { action: "take over", path, source: io::Error::other("its generation is over") }
            }
            RestartError::Step { source: StepError::Index { source } } => {
                OpenError::Index { action: "read", path, source }
            }
            RestartError::Step { source: StepError::Replay { source: ReplayError::Index { source } } } => {
                OpenError::Index { action: "apply the log to", path, source }
            }
            RestartError::Step { source: StepError::Io { source } } => {
                OpenError::Io { action: "recover", path, source }
            }
            RestartError::Step { source } => {
                OpenError::Io { action: "recover", path, source: io::Error::other(source) }
            }
        }
    }
}

impl RestartSteps for Steps<'_> {
    type Error = StepError;

    /// [`catch_up`] has done it.
    fn apply_all(&mut self) -> Result<(), StepError> {
        Ok(())
    }

    fn unlink(&mut self, segment: u64) -> Result<(), StepError> {
        match segment::remove_file(&self.log.join(segment_name(segment))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn create(&mut self, segment: u64) -> Result<(), StepError> {
        self.made = Some(Arc::new(self.make_segment(segment)?));
        // IMPORTANT: durable before anything is appended. Else a power cut can bring back segments that were removed, and
        // with them operations that later ones had overtaken.
        let mut txn = self.tables.env.write_txn()?;
        self.tables.set_meta(&mut txn, Meta::FirstSegment, segment)?;
        self.tables.set_meta(&mut txn, Meta::NextSegment, segment + 1)?;
        Ok(txn.commit()?)
    }

    fn remove_older(&mut self, segment: u64) -> Result<(), StepError> {
        self.remove_below(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Batch, Command, NewValue, Put};
    use super::super::store::Store;
    use super::super::testing::{NOW, store};
    use super::*;
    use datacache_proto::key::Key;
    use datacache_proto::types::Codec;

    const ENTRIES: i64 = 20_000;

    /// Writes all entries into the log, in the order of their keys.
    fn fill(store: &mut Store, byte: u8) {
        let put = |number: i64| {
            let (namespace, key, value) =
                ("n".into(), Key::integer(number).into(), NewValue::Inline(vec![byte; 300].into()));
            let put = Put { namespace, key, codec: Codec::Bytes, value, expires: None, tags: Vec::new(), holder: None };
            Command::Put(put)
        };
        for first in (0..ENTRIES).step_by(100) {
            let commands = (first..first + 100).map(put).collect();
            let mut results = Vec::new();
            store.write(&mut [Batch::all(commands, None)].into(), NOW, &mut results);
            results.pop().expect("there is room").unwrap();
        }
    }

    #[test]
    fn a_log_that_does_not_fit_in_large_transactions_is_applied_in_small_ones() {
        let folder = tempfile::tempdir().unwrap();
        let mut filled = store(&folder);
        fill(&mut filled, 1);
        filled.close(NOW).unwrap();
        let mut filled = store(&folder);
        fill(&mut filled, 2);
        let (path, generation, store_id) = (filled.path().to_owned(), filled.generation.clone(), filled.id());
        drop(filled);

        let tables = Arc::new(Tables::open(&generation).unwrap());
        let used = std::fs::metadata(generation.join("data.mdb")).unwrap().len();
        // SAFETY: no transaction is under way, and nobody else has the environment.
        #[expect(unsafe_code, reason = "a disk that is nearly full")]
        unsafe {
            tables.env.resize(usize::try_from(used.next_multiple_of(4096)).unwrap() + (2 << 20)).unwrap();
        }
        let blobs = BlobStore::new(&path, Arc::clone(&tables));
        let steps =
            Steps { path: &path, log: generation.join(LOG), store_id, tables: &tables, blobs: &blobs, made: None };
        assert!(steps.apply(false, BACKLOG_SLICE).is_err(), "there is no room for all that a large one changes");
        assert!(catch_up(&steps, false).unwrap());
        assert_eq!(steps.applied().unwrap(), 2 * ENTRIES as u64 + 1);
    }
}
