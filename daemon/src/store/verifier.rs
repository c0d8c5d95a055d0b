//! The thread for slow work on blobs: hashes new ones, removes those that are set aside, finds what a crash left behind.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use datacache_proto::types::Digest;
use tracing::{error, warn};

use super::blob::{BlobStore, hash_of};
use super::plan::Reader;
use super::tables::{BlobRow, Tables};
use super::threads::{Event, Helper, Outbox};

/// A job of the thread.
#[derive(Debug)]
pub(super) enum BlobJob {
    /// Hash a blob.
    Verify(Digest),
    /// Remove a file.
    Remove(PathBuf),
    /// Find the entries that name a damaged blob. The index has everything that was acknowledged before.
    Condemn(Digest),
    /// Find blobs that no record names, and blobs that were never hashed. Once, when the store is opened.
    Survey,
}

/// Starts the thread.
pub(super) fn verifier(tables: Arc<Tables>, blobs: BlobStore, outbox: Outbox) -> io::Result<Helper<BlobJob>> {
    Helper::start("datacache-blobs", outbox.clone(), move |jobs| Verifier { tables, blobs, outbox }.run(&jobs))
}

struct Verifier {
    tables: Arc<Tables>,
    blobs: BlobStore,
    outbox: Outbox,
}

impl Verifier {
    fn run(&self, jobs: &Receiver<BlobJob>) {
        while let Ok(job) = jobs.recv() {
            match job {
                BlobJob::Verify(digest) => self.verify(digest),
                BlobJob::Remove(path) => remove(&path),
                BlobJob::Condemn(digest) => self.condemn(digest),
                BlobJob::Survey => self.survey(),
            }
        }
    }

    fn verify(&self, digest: Digest) {
        let content = match self.blobs.open(&digest) {
            Ok(Some(file)) => hash_of(&file),
            // It went before its turn came.
            Ok(None) => return,
            Err(error) => return warn!(%digest, %error, "a blob can't be opened"),
        };
        match content {
            Ok(content) if content == digest => self.outbox.send(Event::Verified(digest)),
            Ok(_) => {
                error!(%digest, "a blob is not what its name says; the entries that name it are dropped");
                self.outbox.send(Event::Damaged(digest));
            }
            Err(error) => warn!(%digest, %error, "a blob can't be read"),
        }
    }

    fn condemn(&self, digest: Digest) {
        let reader = Reader { tables: Arc::clone(&self.tables) };
        match reader.naming(digest) {
            Ok(commands) => self.outbox.send(Event::Condemned(commands)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                error!(%digest, error, "the entries of a damaged blob can't be found");
            }
        }
    }

    fn survey(&self) {
        let orphans = self.blobs.each_folder(|digests| match self.unknown(digests) {
            Ok(orphans) if orphans.is_empty() => {}
            Ok(orphans) => self.outbox.send(Event::Orphans(orphans)),
            Err(error) => warn!(%error, "blobs can't be compared with the index"),
        });
        if let Err(error) = orphans {
            warn!(%error, "the folder of blobs can't be read");
        }
        match self.unverified() {
            Ok(digests) => digests.into_iter().for_each(|digest| self.verify(digest)),
            Err(error) => warn!(%error, "blobs that were never hashed can't be found"),
        }
    }

    fn unknown(&self, mut digests: Vec<Digest>) -> heed::Result<Vec<Digest>> {
        let txn = self.tables.env.read_txn()?;
        let mut failed = None;
        digests.retain(|digest| match self.tables.blobs.get(&txn, &digest.0) {
            Ok(row) => row.is_none(),
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        failed.map_or(Ok(digests), Err)
    }

    fn unverified(&self) -> heed::Result<Vec<Digest>> {
        let mut digests = Vec::new();
        let txn = self.tables.env.read_txn()?;
        for row in self.tables.blobs.iter(&txn)? {
            let (digest, row) = row?;
            if BlobRow::decode(row).is_some_and(|row| !row.verified) {
                digests.extend(digest.try_into().ok().map(Digest));
            }
        }
        Ok(digests)
    }
}

/// A cache that can't delete a file says so and goes on.
fn remove(path: &std::path::Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(path = %path.display(), %error, "a file can't be removed");
        }
        _ => {}
    }
}
