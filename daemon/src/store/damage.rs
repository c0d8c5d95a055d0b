//! What is found to be damaged while the store is in use: a miss from that moment on, counted, and removed in the writer's next turn.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fs::File;
use std::io;

use datacache_proto::key::Key;
use datacache_proto::record::Record;
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;
use tracing::{error, warn};

use super::command::{Command, Condition};
use super::error::StoreError;
use super::examiner::Verdict;
use super::store::Store;
use super::trial::is_damage;
use super::verifier::BlobJob;

/// Damage that was found and is not dealt with yet.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Entries whose records a look found to be damaged.
    records: RefCell<Vec<(u32, Key)>>,
    /// Blobs that are damaged or gone, and whose entries are still being looked for.
    blobs: HashSet<Digest>,
    /// Set when the log or the index can't be read where they must be: the next daemon puts that right.
    needs_restart: Cell<bool>,
}

impl Damage {
    /// Tells whether a record's value is known to be damaged.
    pub(super) fn has(&self, record: &Record<'_>) -> bool {
        !self.blobs.is_empty() && record.value.digest().is_some_and(|digest| self.blobs.contains(&digest))
    }

    /// The entries that named a blob are gone, or it is there again.
    pub(super) fn pardon(&mut self, digest: &Digest) {
        self.blobs.remove(digest);
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

    /// Makes a miss of what can't be read from the log, which the next daemon mends, and notes what can't be read from the index.
    pub(super) fn forgive<R>(&self, failure: StoreError) -> Result<Option<R>, StoreError> {
        let outcome = match failure {
            StoreError::Damaged => Ok(None),
            StoreError::Read { source } if is_damage(&source) => {
                self.trial.suspect();
                Err(StoreError::Read { source })
            }
            other => return Err(other),
        };
        if !self.damage.needs_restart.replace(true) {
            error!("the log or the index is damaged; the daemon has to start anew");
            (self.options.wake)();
        }
        outcome
    }

    /// Returns what looks the whole index through, for another thread. Blocks, for as long as it takes to read it.
    pub fn examination(&self) -> impl FnOnce() -> io::Result<Verdict> + Send + use<> {
        let (examiner, generation) = (self.options.examiner.clone(), self.generation.clone());
        move || examiner.examine(&generation)
    }

    /// Has the next daemon look the index through before it is opened, and move it aside if it is damaged.
    pub fn distrust(&self) {
        self.trial.suspect();
    }

    /// Takes note of a blob that is damaged, or gone: `file` is what was found in its place. What names it is a miss from now on,
    /// unless its content was added again meanwhile.
    pub fn condemn(&mut self, digest: Digest, file: Option<File>) {
        if !self.blobs.is_replaced(&digest, file.as_ref()) && self.damage.blobs.insert(digest) {
            error!(%digest, "a value is damaged or gone; the entries that name it are dropped");
            self.counters.damaged += 1;
            // Now: whoever reads directly finds the entries until they are gone.
            self.put_away(&digest);
            let target = self.request_checkpoint();
            self.damaged.push((target, digest, file));
            (self.options.wake)();
        }
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
