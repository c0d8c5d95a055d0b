//! The end of a store in good order: nothing is left to do for the next who opens it.

use std::fs::File;
use std::path::Path;

use datacache_proto::layout::LOG;
use datacache_proto::recent::Mark;
use datacache_proto::time::Timestamp;

use super::error::StoreError;
use super::failpoint::failpoint;
use super::segment;
use super::states::Learned;
use super::store::Store;

impl Store {
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
