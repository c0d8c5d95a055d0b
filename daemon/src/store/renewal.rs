//! What becomes of a blob that could not be written through: it gets another file.
//!
//! The system tells once that it could not write pages, and takes them for written from then on: the next sync of that file would
//! succeed, and the index name what no disk has. All pages of a copy are still to be written, so what is said of them can be
//! believed. Where the content can't be copied, or is lost already, the blob goes, and what names it is a miss.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use datacache_proto::types::Digest;
use tracing::{error, warn};

use super::blob::BlobStore;
use super::content::CHUNK;
use super::error::StoreError;

impl BlobStore {
    /// Writes a blob through to the disk, of which `file` was opened just now.
    ///
    /// # Errors
    /// Where that fails: then it is not on the disk, and has another file or none.
    pub(super) fn write_through(&self, digest: &Digest, file: &File) -> io::Result<()> {
        self.sync_content(file).inspect_err(|error| {
            error!(%digest, %error, "a value can't be written through to the disk; it is copied");
            self.renew(digest, file);
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
        super::failing::sync(self.folder())?;
        file.sync_data()
    }

    /// Puts a copy in the place of a blob, or nothing.
    fn renew(&self, digest: &Digest, file: &File) {
        let Err(error) = self.copy_into_place(digest, file) else { return };
        if self.is_replaced(digest, Some(file)) {
            return;
        }
        error!(%digest, error = &error as &dyn std::error::Error, "it can't be copied, and is dropped");
        let removed = self.set_aside(digest).and_then(|aside| aside.map_or(Ok(()), fs::remove_file));
        if let Err(error) = removed {
            warn!(%digest, %error, "a blob that the disk has not got can't be removed");
        }
    }

    fn copy_into_place(&self, digest: &Digest, file: &File) -> Result<(), StoreError> {
        let (mut copy, mut chunk) = (self.create_upload()?, vec![0; CHUNK]);
        loop {
            match file.read_at(&mut chunk, copy.len()) {
                Ok(0) => return copy.take_the_place_of(digest),
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
