//! The steps of a restart on the store's own files, and what comes before them: what the log has and the index has not is applied.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datacache_proto::layout::segment_name;
use datacache_proto::recent::{RestartError, RestartSteps};
use tracing::{info, warn};

use super::blob::BlobStore;
use super::error::{OpenError, is_full};
use super::failpoint::failpoint;
use super::replay::{LEAST_SLICE, Replay, ReplayError, SLICE};
use super::room::HEAD;
use super::segment::{self, Segment};
use super::syncer::create_segment;
use super::tables::{Meta, Tables};

/// How many operations a transaction has while a log is applied that a daemon left behind: as many as 64 MiB of changed pages
/// allow, which are held until the commit.
const BACKLOG_SLICE: usize = 16_384;

/// The steps of a restart on the store's own files.
pub(super) struct Steps<'s> {
    pub(super) path: &'s Path,
    pub(super) log: PathBuf,
    pub(super) store_id: u128,
    pub(super) tables: &'s Tables,
    pub(super) blobs: &'s BlobStore,
    pub(super) made: Option<Arc<Segment>>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
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
        let replay = Replay { tables: self.tables, blobs: self.blobs, check_blobs, salvage: !check_blobs, slice };
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

    pub(super) fn next_segment(&self) -> Result<u64, StepError> {
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

    pub(super) fn failed(&self, error: RestartError<StepError>) -> OpenError {
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
        failpoint!(TakeoverRetired);
        match segment::remove_file(&self.log.join(segment_name(segment))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn create(&mut self, segment: u64) -> Result<(), StepError> {
        failpoint!(TakeoverCleared);
        self.made = Some(Arc::new(self.make_segment(segment)?));
        failpoint!(TakeoverSegmentMade);
        // IMPORTANT: durable before anything is appended. Else a power cut can bring back segments that were removed, and
        // with them operations that later ones had overtaken.
        let mut txn = self.tables.env.write_txn()?;
        self.tables.set_meta(&mut txn, Meta::FirstSegment, segment)?;
        self.tables.set_meta(&mut txn, Meta::NextSegment, segment + 1)?;
        txn.commit()?;
        failpoint!(TakeoverSegmentNoted);
        Ok(())
    }

    fn remove_older(&mut self, segment: u64) -> Result<(), StepError> {
        failpoint!(TakeoverViewed);
        self.remove_below(segment)?;
        failpoint!(TakeoverSwept);
        Ok(())
    }
}

/// Applies what the daemon before has left in the log. In large transactions, in which a page that many operations touch is
/// written once; nobody waits for them. Tells whether there was so much that LMDB has to be closed to give their memory back.
pub(super) fn catch_up(steps: &Steps<'_>, check_blobs: bool) -> Result<bool, StepError> {
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

#[cfg(test)]
mod tests {
    use super::super::command::{Batch, Command, NewValue, Put};
    use super::super::store::Store;
    use super::super::testing::{NOW, put_of, store};
    use super::*;
    use datacache_proto::key::Key;
    use datacache_proto::layout::LOG;

    const ENTRIES: i64 = 20_000;

    /// Writes all entries into the log, in the order of their keys.
    fn fill(store: &mut Store, byte: u8) {
        let put = |number: i64| {
            let value = NewValue::Inline(vec![byte; 300].into());
            Command::Put(Put { key: Key::integer(number).into(), ..put_of(value) })
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
