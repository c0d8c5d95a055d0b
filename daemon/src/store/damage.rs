//! What is found to be damaged while the store is in use: a miss from that moment on, counted, and removed in the writer's next turn.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;

use datacache_proto::key::Key;
use datacache_proto::recent::KeyHash;
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

    /// Tells whether a damaged record of the index was noted when somebody looked at it, or is not a key's newest any more.
    pub(super) fn is_dealt_with(&self, namespace: u32, key: &Key) -> bool {
        let is_noted = self.damage.records.borrow().iter().any(|(number, known)| *number == namespace && known == key);
        let hash = KeyHash::of(namespace, key.encoded());
        is_noted || self.lookup.locate(namespace, key.encoded(), hash).is_some()
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
mod tests;
