//! What becomes of a blob that could not be written through: it gets another file.
//!
//! The system tells once that it could not write pages, and takes them for written from then on: the next sync of that file would
//! succeed, and the index name what no disk has. All pages of a copy are still to be written, so what is said of them can be
//! believed. It is written through before it has the blob's name: what it takes the place of may have been on the disk. Where that
//! fails too, the same is true of its pages, and another copy gets the name, which is the next one's to sync. Where the content
//! can't be copied, or is lost already, the blob goes, and what names it is a miss.
//!
//! Several threads sync the same blob, each for a promise of its own. They do it one after the other: who comes while it is copied is
//! not to be told of the file before that all is well.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(test)]
use datacache_proto::layout::BLOBS;
use datacache_proto::types::Digest;
use tracing::{error, warn};

use super::blob::BlobStore;
use super::content::CHUNK;
use super::error::StoreError;
use super::upload::Upload;

/// How many blobs can be synced at the same time, at the most.
const TURNS: usize = 64;

/// The turns at the syncing of blobs: of one blob, one at a time.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<[Mutex<()>; TURNS]>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(std::array::from_fn(|_| Mutex::default())))
    }
}

impl Turns {
    /// Waits for the turn at a blob.
    ///
    /// IMPORTANT: the blob is opened after that. It may get another file meanwhile.
    pub(super) fn at(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        self.0[usize::from(digest.0[0]) % TURNS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobStore {
    /// Writes a blob through to the disk, of which `file` was opened in this turn.
    ///
    /// # Errors
    /// Where that fails, and fails again with a copy: then it is not on the disk, and has another file or none.
    pub(super) fn write_through(&self, digest: &Digest, file: &File) -> io::Result<()> {
        self.sync_content(file).or_else(|error| {
            error!(%digest, %error, "a value can't be written through to the disk; it is copied");
            if self.renew(digest, file) { Ok(()) } else { Err(error) }
        })
    }

    /// Writes a staged file through to the disk before it is adopted.
    ///
    /// # Errors
    /// Where that fails: it has no name any more then, so that nobody takes it for another attempt.
    pub(super) fn write_staged_through(&self, path: &Path, file: &File) -> Result<(), StoreError> {
        self.sync_content(file).map_err(|source| {
            fs::remove_file(path).ok();
            StoreError::blob("write through", source, self.folder())
        })
    }

    fn sync_content(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        super::failing::sync(&self.folder().join(BLOBS))?;
        file.sync_data()
    }

    /// Puts a copy in the place of a blob, or nothing; tells whether it has one that is on the disk.
    fn renew(&self, digest: &Digest, file: &File) -> bool {
        let error = match self.copy_into_place(digest, file) {
            Ok(is_on_disk) => return is_on_disk,
            Err(error) => error,
        };
        if self.is_replaced(digest, Some(file)) {
            return false;
        }
        error!(%digest, error = &error as &dyn std::error::Error, "it can't be copied, and is dropped");
        let removed = self.set_aside(digest).and_then(|aside| aside.map_or(Ok(()), fs::remove_file));
        if let Err(error) = removed {
            warn!(%digest, %error, "a blob that the disk has not got can't be removed");
        }
        false
    }

    fn copy_into_place(&self, digest: &Digest, file: &File) -> Result<bool, StoreError> {
        let copy = self.copy(file)?;
        let is_on_disk = copy.file().is_some_and(|copy| self.sync_content(copy).is_ok());
        let copy = if is_on_disk { copy } else { self.copy(file)? };
        copy.take_the_place_of(digest).map(|()| is_on_disk)
    }

    fn copy(&self, file: &File) -> Result<Upload, StoreError> {
        let (mut copy, mut chunk) = (self.create_upload()?, vec![0; CHUNK]);
        loop {
            match file.read_at(&mut chunk, copy.len()) {
                Ok(0) => return Ok(copy),
                Ok(have) => copy.write_chunk(&chunk[..have])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(StoreError::Blob { action: "read", source }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::PathBuf;
    use std::time::Duration;

    use datacache_proto::layout::blob_path;
    use sha2::Digest as _;

    use super::super::command::NewValue;
    use super::super::failing::FailingSyncs;
    use super::super::store::Store;
    use super::super::testing::{put, stage, store, wait};
    use super::*;

    fn digest() -> Digest {
        Digest(sha2::Sha256::digest(b"value").into())
    }

    /// A store with an entry whose blob could not be synced, and the file that it had then, held open: its number is not given
    /// away. `spoil` does with the file before what becomes of it on a disk that fails.
    fn failed(folder: &tempfile::TempDir, spoil: impl FnOnce(PathBuf)) -> (Store, File) {
        let mut store = store(folder);
        let value = stage(&store.blobs(), digest());
        put(&mut store, value);
        let (end, blob) = (store.end(), blob_path(store.path(), &digest()));
        let file = File::open(&blob).unwrap();
        spoil(blob);
        let failing = FailingSyncs::below(folder.path());
        store.request_sync();
        wait(&mut store, |store| store.sync_failed(end));
        drop(failing);
        (store, file)
    }

    fn number_of(file: &File) -> u64 {
        file.metadata().unwrap().ino()
    }

    fn apply(store: &mut Store) {
        let target = store.request_checkpoint();
        wait(store, |store| store.applied() >= target);
    }

    /// Stages the value under another name than the first time.
    fn stage_again(store: &Store) -> NewValue {
        let (blobs, name) = (store.blobs(), "again");
        fs::write(blobs.staging().join(name), b"value").unwrap();
        NewValue::Blob(blobs.receive(name, 5, digest(), false).unwrap())
    }

    /// Returns how many files lie in the staging folder that no test has put there.
    fn staged(store: &Store) -> usize {
        let files = fs::read_dir(store.blobs().staging()).unwrap();
        files.filter(|file| file.as_ref().unwrap().file_name() != "staged").count()
    }

    /// The index named the very file of which a sync had failed, as soon as another sync of it succeeded.
    #[test]
    fn the_index_names_no_file_whose_sync_failed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, before) = failed(&folder, |_| ());
        apply(&mut store);
        let blob = blob_path(store.path(), &digest());
        let metadata = fs::metadata(&blob).unwrap();
        assert_ne!(metadata.ino(), number_of(&before));
        assert_eq!((fs::read(blob).unwrap(), metadata.permissions().mode() & 0o777), (b"value".to_vec(), 0o400));
        assert_eq!(staged(&store), 0, "the file before is gone");
    }

    #[test]
    fn a_blob_whose_content_is_lost_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = failed(&folder, |blob| {
            fs::remove_file(&blob).unwrap();
            fs::write(blob, b"other").unwrap();
        });
        apply(&mut store);
        assert!(!blob_path(store.path(), &digest()).exists());
        assert_eq!(staged(&store), 0);
        let value = stage_again(&store);
        put(&mut store, value);
        assert_eq!(fs::read(blob_path(store.path(), &digest())).unwrap(), b"value", "it can be added again");
    }

    #[test]
    fn the_index_waits_for_a_blob_that_it_can_not_have_synced() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let value = stage(&store.blobs(), digest());
        put(&mut store, value);
        let before = File::open(blob_path(store.path(), &digest())).unwrap();
        let failing = FailingSyncs::below(folder.path());
        let target = store.request_checkpoint();
        wait(&mut store, Store::apply_failed);
        assert!(store.applied() < target);
        drop(failing);
        wait(&mut store, |store| store.applied() >= target);
        assert_ne!(fs::metadata(blob_path(store.path(), &digest())).unwrap().ino(), number_of(&before));
    }

    #[test]
    fn what_a_batch_could_not_sync_is_told_and_adopted_anew_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let adopt = |value| match value {
            NewValue::Blob(mut incoming) => store.adopter().adopt(&mut [&mut incoming]).map(|()| incoming),
            NewValue::Inline(_) => panic!("a staged value is a file"),
        };
        let failing = FailingSyncs::below(folder.path());
        adopt(stage(&store.blobs(), digest())).unwrap_err();
        drop(failing);
        let failed = fs::metadata(store.blobs().staging().join("staged")).unwrap().ino();
        let incoming = adopt(stage_again(&store)).unwrap();
        assert!(store.blobs().check_adopted(&incoming).is_ok());
        assert_ne!(fs::metadata(blob_path(store.path(), &digest())).unwrap().ino(), failed);
    }

    /// The file was synced that had its place then, which was another's by the time that the copy got it.
    #[test]
    fn who_syncs_a_blob_while_it_is_copied_syncs_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let value = stage(&store.blobs(), digest());
        put(&mut store, value);
        let (blobs, blob) = (store.blobs(), blob_path(store.path(), &digest()));
        let before = File::open(&blob).unwrap();
        let number = move || fs::metadata(&blob).unwrap().ino();
        let (other, number_there) = (blobs.clone(), number.clone());
        let (told, heard) = std::sync::mpsc::channel();
        let failing = FailingSyncs::first_below(&store.path().join(BLOBS), move || {
            let (done, is_done) = std::sync::mpsc::channel();
            let syncs = std::thread::spawn(move || {
                other.sync([digest()].iter()).unwrap();
                done.send(()).ok();
                number_there()
            });
            // Who has to wait for this one is not waited for any longer.
            is_done.recv_timeout(Duration::from_millis(500)).ok();
            told.send(syncs).unwrap();
        });
        blobs.sync([digest()].iter()).unwrap();
        drop(failing);
        assert_eq!(heard.recv().unwrap().join().unwrap(), number());
        assert_ne!(number(), number_of(&before));
    }

    /// It was not written through: what had been on the disk was not any more.
    #[test]
    fn a_copy_is_on_the_disk_before_it_takes_the_place_of_a_blob() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let value = stage(&store.blobs(), digest());
        put(&mut store, value);
        let blobs = store.blobs();
        let failing = FailingSyncs::first_below(&store.path().join(BLOBS), || ());
        blobs.sync([digest()].iter()).expect("the copy can be written through");
        drop(failing);
        assert_eq!(staged(&store), 0);
    }

    /// A call that is repeated would find it, and the sync of it would succeed.
    #[test]
    fn a_staged_file_whose_sync_failed_can_not_be_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        fs::write(store.blobs().staging().join("staged"), b"value").unwrap();
        let failing = FailingSyncs::below(folder.path());
        store.blobs().receive("staged", 5, digest(), true).unwrap_err();
        drop(failing);
        assert!(store.blobs().receive("staged", 5, digest(), true).is_err());
    }
}
