//! Adopting files ahead of the batch that names them, so that the disk has them before the log says so: that takes
//! milliseconds a file, which the writer must not wait for.
//!
//! A batch is there whole or not at all, but a blob that a power cut took would take its entry alone. So the blobs of a batch
//! are written through, with their folders, before its frame is appended, and off the writer's thread. What makes that safe:
//! - A file gets its blob's name by a link that never replaces another, so it does not matter on which thread.
//! - Until an operation names it, a blob belongs to nobody and the writer would remove it. A pin holds it: it is there before the
//!   link, the writer looks for it and moves the blob aside under one lock, and it goes when the batch is gone.
//! - The writer takes a batch only if each of its blobs is pinned and still the very file that was written through. One
//!   that was found to be damaged meanwhile, and set aside, is not, whatever is there in its place: the caller looks again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datacache_proto::types::Digest;

use super::blob::BlobStore;
use super::error::StoreError;
use super::failpoint::failpoint;
use super::incoming::Incoming;
use super::threads::{Event, Outbox};

/// How often a file is looked at whose blob changes between the look and its adoption.
const LOOKS: usize = 8;

/// Adopts files for batches, from any thread.
#[derive(Clone)]
pub struct Adopter {
    blobs: BlobStore,
    pins: Arc<Pins>,
    outbox: Outbox,
}

/// How many batches under way hold each blob.
#[derive(Debug, Default)]
struct Pins(Mutex<HashMap<Digest, usize>>);

/// Keeps a blob that no operation names yet from being removed.
pub(super) struct Pin {
    digest: Digest,
    pins: Arc<Pins>,
    outbox: Outbox,
}

impl Adopter {
    pub(super) fn new(blobs: BlobStore, outbox: Outbox) -> Self {
        Self { blobs, pins: Arc::default(), outbox }
    }

    /// Gives files their blobs' names and writes both through to the disk. Blocks. They stay until a batch that names them was
    /// done, or all that came of these is dropped.
    ///
    /// # Errors
    /// Where they can't be adopted or written through; none is held then.
    pub fn adopt(&self, files: &mut [&mut Incoming]) -> Result<(), StoreError> {
        let pins = files.iter_mut().map(|file| self.adopt_one(file)).collect::<Result<Vec<_>, _>>()?;
        failpoint!(BatchAdopted);
        let failed = |source| StoreError::blob("write through", source, self.blobs.folder());
        self.blobs.sync(pins.iter().map(|pin| &pin.digest)).map_err(failed)?;
        failpoint!(BatchDurable);
        // IMPORTANT: only now, a pin tells the writer that the disk has the file.
        files.iter_mut().zip(pins).for_each(|(file, pin)| file.hold(pin));
        Ok(())
    }

    fn adopt_one(&self, file: &mut Incoming) -> Result<Pin, StoreError> {
        let pin = self.pin(file.digest());
        for _ in 0..LOOKS {
            match self.blobs.adopt(file) {
                Ok(()) => return Ok(pin),
                Err(StoreError::BlobChanged) => *file = self.blobs.receive_again(file, false)?,
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::BlobChanged)
    }

    fn pin(&self, digest: Digest) -> Pin {
        *self.pins.lock().entry(digest).or_default() += 1;
        Pin { digest, pins: Arc::clone(&self.pins), outbox: self.outbox.clone() }
    }

    /// Does what removes a blob, unless it is held; nobody gets hold of it meanwhile.
    pub(super) fn unless_held<R>(&self, digest: &Digest, remove: impl FnOnce() -> R) -> Option<R> {
        let pins = self.pins.lock();
        (!pins.contains_key(digest)).then(remove)
    }
}

impl Pins {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pin {
    /// The writer looks whether anybody else needs the blob.
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        let Some(count) = pins.get_mut(&self.digest) else { return };
        *count -= 1;
        if *count == 0 {
            pins.remove(&self.digest);
            drop(pins);
            self.outbox.send(Event::Orphans(vec![self.digest]));
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pin").field(&self.digest).finish()
    }
}

impl fmt::Debug for Adopter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopter").field("pins", &self.pins).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Batch, Command, NewValue, Put};
    use super::super::store::Store;
    use super::super::testing::{NOW, put_of, stage, store, wait};
    use super::super::write::BatchResult;
    use super::*;
    use datacache_proto::key::Key;
    use datacache_proto::layout::blob_path;
    use sha2::Digest as _;

    fn digest() -> Digest {
        Digest(sha2::Sha256::digest(b"value").into())
    }

    fn staged(store: &Store) -> Incoming {
        match stage(&store.blobs(), digest()) {
            NewValue::Blob(incoming) => incoming,
            NewValue::Inline(_) => panic!("a staged value is a file"),
        }
    }

    fn adopted(store: &Store) -> Incoming {
        let mut incoming = staged(store);
        store.adopter().adopt(&mut [&mut incoming]).unwrap();
        incoming
    }

    /// Puts a file under `k`, together with a small value.
    fn write(store: &mut Store, incoming: Incoming) -> BatchResult {
        let put = |key: &str, value| Command::Put(Put { key: Key::from(key).into(), ..put_of(value) });
        let commands = vec![put("k", NewValue::Blob(incoming)), put("small", NewValue::Inline(vec![1].into()))];
        let mut results = Vec::new();
        store.write(&mut [Batch::all(commands, None)].into(), NOW, &mut results);
        results.pop().expect("there is room")
    }

    fn is_there(store: &Store) -> bool {
        blob_path(store.path(), &digest()).exists()
    }

    #[test]
    fn a_batch_is_not_taken_before_its_blobs_are_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let incoming = staged(&store);
        assert!(matches!(write(&mut store, incoming), Err(StoreError::BlobChanged)));
        assert_eq!(store.counters().operations, 0);
        let incoming = adopted(&store);
        assert!(write(&mut store, incoming).is_ok());
    }

    #[test]
    fn a_blob_that_can_not_be_adopted_is_not_held() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let mut incoming = staged(&store);
        // A link that leads to itself can't be opened, whoever we are.
        let path = blob_path(store.path(), &digest());
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(store.adopter().adopt(&mut [&mut incoming]).is_err());
        assert!(store.adopter.pins.lock().is_empty());
        assert!(matches!(write(&mut store, incoming), Err(StoreError::BlobChanged)));
    }

    #[test]
    fn a_blob_stays_while_its_batch_is_under_way_and_goes_when_that_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let (one, other) = (adopted(&store), adopted(&store));
        store.take(Event::Orphans(vec![digest()]), NOW);
        store.progress(NOW);
        drop(one);
        store.progress(NOW);
        assert!(is_there(&store), "another batch holds it");
        drop(other);
        wait(&mut store, |store| !is_there(store));
    }

    #[test]
    fn a_blob_stays_when_its_batch_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let incoming = adopted(&store);
        write(&mut store, incoming).unwrap();
        assert!(store.adopter.pins.lock().is_empty());
        let target = store.request_checkpoint();
        wait(&mut store, |store| store.applied() >= target && store.dropped.is_empty());
        assert!(is_there(&store));
    }

    /// The new file has the name, but nobody has written it through.
    #[test]
    fn a_batch_looks_again_when_another_file_came_in_the_place_of_its_blob() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let incoming = adopted(&store);
        let path = blob_path(store.path(), &digest());
        std::fs::rename(&path, folder.path().join("aside")).unwrap();
        assert!(matches!(write(&mut store, incoming.clone()), Err(StoreError::BlobChanged)));
        std::fs::write(&path, b"value").unwrap();
        assert!(matches!(write(&mut store, incoming), Err(StoreError::BlobChanged)));
        let incoming = adopted(&store);
        assert!(write(&mut store, incoming).is_ok());
    }
}
