//! A file in the store's staging folder that is being written: ours alone, locked, and gone when we are done.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use datacache_proto::layout::STAGING;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::error::{Error, IoContext};
use crate::random::random;

/// A staged file. The lock on it tells the daemon's sweep that somebody is at it; dropping it removes what the daemon
/// has not taken.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) name: String,
    pub(crate) file: File,
    path: PathBuf,
    /// A forked child must not remove its parent's file.
    pid: u32,
}

impl Staged {
    /// Creates an empty one in `store`.
    ///
    /// # Errors
    /// Where it can't be created.
    pub(crate) fn create(store: &Path) -> Result<Self, Error> {
        let name = format!("{:016x}.part", random());
        let path = store.join(STAGING).join(&name);
        let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = opened.during("create", &path).map_err(|error| error.within(store))?;
        let staged = Self { name, file, path, pid: std::process::id() };
        staged.file.try_lock().map_err(std::io::Error::from).during("lock", &staged.path)?;
        Ok(staged)
    }

    /// Tells whether it lies in `store`.
    pub(crate) fn is_in(&self, store: &Path) -> bool {
        self.path.parent().is_some_and(|folder| folder == store.join(STAGING))
    }

    fn store(&self) -> &Path {
        self.path.ancestors().nth(2).unwrap_or(&self.path)
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Where there is no room, or the system fails.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        let written = self.file.write_all_at(bytes, offset).during("write", &self.path);
        written.map_err(|error| error.within(self.store()))
    }

    /// Reads back what there is at `offset`; nothing at the end.
    ///
    /// # Errors
    /// Where the system fails.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.file.read_at(buffer, offset).during("read back", &self.path)
    }

    /// Shares the blocks of `source` instead of copying them; tells whether the filesystem can.
    pub(crate) fn share(&self, source: &File) -> bool {
        rustix::fs::ioctl_ficlone(&self.file, source).is_ok()
    }

    /// Takes room for `length` bytes, more than none, so that a full disk shows before anything is written.
    ///
    /// # Errors
    /// Where there is no room for so much.
    pub(crate) fn reserve(&self, length: u64) -> Result<(), Error> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(()) => Ok(()),
            Err(errno) => Err(errno).during("reserve room for", &self.path).map_err(|error| error.within(self.store())),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            return;
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::debug!(%error, path = %self.path.display(), "a staged file stays until the daemon's sweep");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::TryLockError;
    use std::os::unix::fs::PermissionsExt;

    fn store() -> tempfile::TempDir {
        let store = tempfile::tempdir().unwrap();
        std::fs::create_dir(store.path().join(STAGING)).unwrap();
        store
    }

    fn count(store: &Path) -> usize {
        std::fs::read_dir(store.join(STAGING)).unwrap().count()
    }

    #[test]
    fn a_staged_file_is_private_locked_and_gone_at_the_end() {
        let store = store();
        let staged = Staged::create(store.path()).unwrap();
        assert_eq!(staged.file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let other = File::open(store.path().join(STAGING).join(&staged.name)).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(staged);
        assert_eq!(count(store.path()), 0);
    }

    #[test]
    fn one_that_the_daemon_took_is_not_missed() {
        let store = store();
        let staged = Staged::create(store.path()).unwrap();
        std::fs::remove_file(store.path().join(STAGING).join(&staged.name)).unwrap();
        drop(staged);
    }

    #[test]
    fn room_that_is_not_there_is_refused_before_anything_is_written() {
        let store = store();
        let error = Staged::create(store.path()).unwrap().reserve(1 << 60).unwrap_err();
        // Some filesystems say that no file is as long.
        let is_told = matches!(&error, Error::NoSpace { folder, .. } if folder == store.path());
        assert!(is_told || matches!(&error, Error::Io { action: "reserve room for", .. }), "{error}");
        assert_eq!(count(store.path()), 0);
    }

    #[test]
    fn reserved_room_does_not_count_as_length() {
        let store = store();
        let staged = Staged::create(store.path()).unwrap();
        staged.reserve(100_000).unwrap();
        staged.write(b"short", 0).unwrap();
        assert_eq!(staged.file.metadata().unwrap().len(), 5);
    }

    #[test]
    fn a_file_of_another_process_is_left_alone() {
        let store = store();
        let mut staged = Staged::create(store.path()).unwrap();
        staged.pid += 1;
        drop(staged);
        assert_eq!(count(store.path()), 1);
    }
}
