//! The thread for slow work on blobs: hashes new ones, removes those that are set aside, finds what a crash left behind.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use datacache_proto::lost::is_lost;
use datacache_proto::types::Digest;
use tracing::{error, warn};

use super::blob::BlobStore;
use super::blob_row::BlobRow;
use super::content::hash_unless;
use super::damage::Lost;
use super::failpoint::failpoint;
use super::plan::Reader;
use super::tables::Tables;
use super::threads::{Ending, Event, Helper, Outbox};

/// A job of the thread.
#[derive(Debug)]
pub(super) enum BlobJob {
    /// Hash a blob, unless it is still the file that was found to be `equal`, and so is hashed, or is going to be.
    Verify { digest: Digest, equal: Option<u64> },
    /// Remove a file.
    Remove(PathBuf),
    /// Remove the file of a blob that nothing named any more, and tell of it: until then it takes `charge` bytes.
    Discard { path: PathBuf, charge: u64 },
    /// Find the entries that name damaged blobs. The index has everything that was acknowledged before.
    Condemn { lost: Lost, index: Reader },
    /// Find blobs that no record names, and blobs that were never hashed. Once, when the store is opened.
    Survey(Arc<Tables>),
}

/// Starts the thread.
pub(super) fn verifier(blobs: BlobStore, outbox: Outbox) -> io::Result<Helper<BlobJob>> {
    Helper::start("datacache-blobs", outbox.clone(), move |jobs, ending| {
        Verifier { blobs, outbox, ending, waiting: VecDeque::new() }.run(&jobs);
    })
}

struct Verifier {
    blobs: BlobStore,
    outbox: Outbox,
    ending: Ending,
    /// What takes long, in the order in which it came.
    waiting: VecDeque<BlobJob>,
}

impl Verifier {
    fn run(&mut self, jobs: &Receiver<BlobJob>) {
        loop {
            // What takes no time, and gives space back that may be waited for, goes before all that takes long.
            while let Ok(job) = jobs.try_recv() {
                self.take(job);
            }
            match self.waiting.pop_front() {
                Some(job) => self.do_long(job),
                None => match jobs.recv() {
                    Ok(job) => self.take(job),
                    Err(_) => return,
                },
            }
        }
    }

    fn take(&mut self, job: BlobJob) {
        match job {
            BlobJob::Remove(path) => remove(&path),
            BlobJob::Discard { path, charge } => {
                remove(&path);
                self.outbox.send(Event::Discarded { charge });
            }
            long => self.waiting.push_back(long),
        }
    }

    fn do_long(&mut self, job: BlobJob) {
        match job {
            BlobJob::Verify { digest, equal } => self.verify(digest, equal),
            BlobJob::Condemn { lost, index } => self.condemn(lost, &index),
            BlobJob::Survey(tables) => self.survey(tables),
            short => self.take(short),
        }
    }

    /// Not at the store's end, which would have to wait: what was never hashed is hashed after the next start.
    fn verify(&self, digest: Digest, equal: Option<u64>) {
        if self.ending.has_begun() {
            return;
        }
        let file = match self.blobs.open(&digest) {
            Ok(Some(file)) => file,
            // It went before its turn came.
            Ok(None) => return,
            Err(error) => return warn!(%digest, %error, "a blob can't be opened"),
        };
        let metadata = file.metadata();
        if equal.is_some() && equal == metadata.as_ref().ok().map(MetadataExt::ino) {
            return;
        }
        match hash_unless(&file, || self.ending.has_begun()) {
            Ok(None) => {}
            Ok(Some(content)) if content == digest => {
                failpoint!(BlobHashed);
                // As it was before it was read.
                metadata.into_iter().for_each(|metadata| self.blobs.note_checked(&digest, &metadata));
                self.outbox.send(Event::Verified(digest));
            }
            Ok(Some(_)) => {
                error!(%digest, "a blob is not what its name says; the entries that name it are dropped");
                self.outbox.send(Event::Damaged { digest, file });
            }
            Err(error) if is_lost(&error) => {
                error!(%digest, %error, "the disk can't read a blob; the entries that name it are dropped");
                self.outbox.send(Event::Damaged { digest, file });
            }
            Err(error) => warn!(%digest, %error, "a blob can't be read"),
        }
    }

    fn condemn(&self, lost: Lost, index: &Reader) {
        let commands = index.naming(&lost).unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            error!(error, "the entries of damaged blobs can't be found");
            Vec::new()
        });
        self.outbox.send(Event::Condemned { lost, commands });
    }

    fn survey(&mut self, tables: Arc<Tables>) {
        let orphans =
            self.blobs.each_folder(|folder, digests| match digests.map(|digests| unknown(&tables, digests)) {
                Ok(Ok(orphans)) if orphans.is_empty() => {}
                Ok(Ok(orphans)) => {
                    failpoint!(OrphansFound);
                    self.outbox.send(Event::Orphans(orphans));
                }
                Ok(Err(error)) => warn!(%error, "blobs can't be compared with the index"),
                Err(error) => warn!(folder = %folder.display(), %error, "a folder of blobs can't be read"),
            });
        if let Err(error) = orphans {
            warn!(%error, "the folder of blobs can't be read");
        }
        let unverified = unverified(&tables);
        // IMPORTANT: not held for as long as it takes to hash them all: another index may have come in its place by then.
        drop(tables);
        match unverified {
            Ok(digests) => {
                let verify = |digest| BlobJob::Verify { digest, equal: None };
                self.waiting.extend(digests.into_iter().map(verify));
            }
            Err(error) => warn!(%error, "blobs that were never hashed can't be found"),
        }
    }
}

fn unknown(tables: &Tables, mut digests: Vec<Digest>) -> heed::Result<Vec<Digest>> {
    let txn = tables.env.read_txn()?;
    let mut failed = None;
    digests.retain(|digest| match tables.blobs.get(&txn, &digest.0) {
        Ok(row) => row.is_none(),
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    failed.map_or(Ok(digests), Err)
}

fn unverified(tables: &Tables) -> heed::Result<Vec<Digest>> {
    let mut digests = Vec::new();
    let txn = tables.env.read_txn()?;
    for row in tables.blobs.iter(&txn)? {
        let (digest, row) = row?;
        if BlobRow::decode(row).is_some_and(|row| !row.verified) {
            digests.extend(digest.try_into().ok().map(Digest));
        }
    }
    Ok(digests)
}

/// A cache that can't delete a file says so and goes on.
fn remove(path: &std::path::Path) {
    failpoint!(NameLeft);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(path = %path.display(), %error, "a file can't be removed");
        }
        _ => {}
    }
    failpoint!(NameRemoved);
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::layout::blob_path;
    use sha2::Digest as _;
    use std::sync::mpsc::channel;

    /// Has a blob verified, one that equals another or not, and a file removed; returns whether each was done.
    fn verified_and_removed(ending: Ending, is_equal: bool) -> (bool, bool) {
        let folder = tempfile::tempdir().unwrap();
        BlobStore::create_folders(folder.path()).unwrap();
        let tables = Arc::new(Tables::open(folder.path()).unwrap());
        let blobs = BlobStore::new(folder.path(), tables);
        let digest = Digest(sha2::Sha256::digest(b"value").into());
        std::fs::write(blob_path(folder.path(), &digest), b"value").unwrap();
        let aside = blobs.staging().join("aside");
        std::fs::write(&aside, b"old").unwrap();

        let (outbox, events) = Outbox::new(Arc::new(|| ()));
        let (sender, jobs) = channel();
        let inode = std::fs::metadata(blob_path(folder.path(), &digest)).unwrap().ino();
        let equal = Some(if is_equal { inode } else { inode + 1 });
        sender.send(BlobJob::Verify { digest, equal }).unwrap();
        sender.send(BlobJob::Remove(aside.clone())).unwrap();
        drop(sender);
        Verifier { blobs, outbox, ending, waiting: VecDeque::new() }.run(&jobs);
        let verified = matches!(events.try_recv(), Ok(Event::Verified(found)) if found == digest);
        (verified, !aside.exists())
    }

    /// The end of a store that had just been given a hundred gigabytes waited until all of them were hashed.
    #[test]
    fn the_end_waits_for_no_hashing() {
        let ending = Ending::default();
        assert_eq!(verified_and_removed(ending.clone(), false), (true, true));
        ending.begin();
        assert_eq!(verified_and_removed(ending, false), (false, true));
    }

    #[test]
    fn a_blob_is_not_hashed_again_when_its_content_is_added_again() {
        assert_eq!(verified_and_removed(Ending::default(), true), (false, true));
    }

    #[test]
    fn the_end_does_not_wait_for_a_file_to_be_hashed_to_its_own_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 << 20).unwrap();
        let asked = std::cell::Cell::new(0);
        let given_up = || asked.replace(asked.get() + 1) == 3;
        assert_eq!(hash_unless(&file, given_up).unwrap(), None);
    }
}
