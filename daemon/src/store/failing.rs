//! What tests let fail: syncs of the log and of blobs, which no test can have fail on a real disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The folders below which no sync succeeds.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Has syncs fail until it is dropped.
#[derive(Debug)]
pub(crate) struct FailingSyncs(PathBuf);

impl FailingSyncs {
    /// Lets no segment, and no blob of a store, below `folder` be synced from now on.
    pub(crate) fn below(folder: &Path) -> Self {
        lock().push(folder.to_owned());
        Self(folder.to_owned())
    }
}

impl Drop for FailingSyncs {
    fn drop(&mut self) {
        lock().retain(|folder| *folder != self.0);
    }
}

/// Fails as a disk does, where a test wants it to.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    match lock().iter().any(|folder| path.starts_with(folder)) {
        true => Err(rustix::io::Errno::IO.into()),
        false => Ok(()),
    }
}

fn lock() -> MutexGuard<'static, Vec<PathBuf>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}
