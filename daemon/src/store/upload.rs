//! A value that comes in chunks: a staged file that the daemon itself writes, hashing as it goes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use datacache_proto::layout::blob_path;
use datacache_proto::types::Digest;
use rustix::fs::{CWD, FlockOperation, Mode, RenameFlags};
use sha2::Digest as _;

use super::blob::BlobStore;
use super::error::StoreError;
use super::failpoint::failpoint;
use super::incoming::Incoming;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// An upload under way. Dropping it removes what was written.
#[derive(Debug)]
pub struct Upload {
    blobs: BlobStore,
    file: Option<File>,
    path: PathBuf,
    hasher: sha2::Sha256,
    length: u64,
}

impl Upload {
    pub(super) fn create(blobs: BlobStore) -> Result<Self, StoreError> {
        let (file, path) =
            create_new(&blobs.staging()).map_err(|source| StoreError::blob("create", source, blobs.folder()))?;
        failpoint!(UploadMade);
        // Locked like a client's own: a sweep passes it over.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| StoreError::blob("lock", errno.into(), blobs.folder()))?;
        Ok(Self { blobs, file: Some(file), path, hasher: sha2::Sha256::new(), length: 0 })
    }

    /// Appends a chunk.
    ///
    /// # Errors
    /// Where it can't be written; the upload is of no more use then.
    pub fn write_chunk(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        let Some(file) = &mut self.file else {
            return Err(finished_before("write"));
        };
        file.write_all(chunk).map_err(|source| StoreError::blob("write", source, self.blobs.folder()))?;
        failpoint!(UploadWritten);
        self.hasher.update(chunk);
        self.length += chunk.len() as u64;
        Ok(())
    }

    /// Returns how many bytes were written.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty upload is an ordinary one")]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns its file, until it is finished.
    pub(super) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Returns the value, ready to be adopted. With `durable`, writes it through to the disk.
    ///
    /// # Errors
    /// Where the file can't be read back or written through.
    pub fn finish(mut self, durable: bool) -> Result<Incoming, StoreError> {
        let file = self.file.take().ok_or_else(|| finished_before("finish"))?;
        let digest = Digest(std::mem::take(&mut self.hasher).finalize().into());
        let path = std::mem::take(&mut self.path);
        failpoint!(UploadFinished);
        self.blobs.examine(file, path, self.length, digest, durable)
    }

    /// Makes this the file of a blob that is there and has the same content; the file that it had before goes.
    ///
    /// # Errors
    /// Where the content is another, or the blob is gone: then all is as it was.
    pub(super) fn take_the_place_of(mut self, digest: &Digest) -> Result<(), StoreError> {
        let failed = |source| StoreError::Blob { action: "replace", source };
        let Some(file) = &self.file else { return Err(finished_before("replace")) };
        if Digest(std::mem::take(&mut self.hasher).finalize().into()) != *digest {
            return Err(failed(std::io::Error::other("its content is another than its name says")));
        }
        rustix::fs::fchmod(file, Mode::RUSR).map_err(|errno| failed(errno.into()))?;
        let blob = blob_path(self.blobs.folder(), digest);
        // What is dropped, and so removed, is then the file before.
        rustix::fs::renameat_with(CWD, &self.path, CWD, blob, RenameFlags::EXCHANGE)
            .map_err(|errno| failed(errno.into()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.file.is_some() {
            // What can't be removed is swept later.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// Makes a file of a name that nobody has.
///
/// IMPORTANT: never opens one that is there. One that a daemon of the same process number left behind when it died may be
/// another name of a blob.
fn create_new(staging: &Path) -> std::io::Result<(File, PathBuf)> {
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = staging.join(format!("upload-{}-{number}", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn finished_before(action: &'static str) -> StoreError {
    StoreError::Blob { action, source: std::io::Error::other("finished before") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_dead_daemon_left_is_not_taken_again() {
        let staging = tempfile::tempdir().unwrap();
        let (_, path) = create_new(staging.path()).unwrap();
        std::fs::write(&path, "adopted").unwrap();
        // What the next names are going to be, whichever of them other tests take meanwhile.
        let next = NEXT.load(Ordering::Relaxed);
        let names =
            (next..next + 64).map(|number| staging.path().join(format!("upload-{}-{number}", std::process::id())));
        let names: Vec<_> = names.collect();
        names.iter().for_each(|name| std::fs::hard_link(&path, name).unwrap());

        let (_, new) = create_new(staging.path()).unwrap();
        assert!(!names.contains(&new));
        assert_eq!(std::fs::read(&path).unwrap(), b"adopted");
    }
}
