//! What tests let fail: syncs of the log and of blobs, which no test can have fail on a real disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

type During = Box<dyn FnOnce() + Send>;

/// The folders below which no sync succeeds, or the first one does not, during which something is done.
static FOLDERS: Mutex<Vec<(PathBuf, Option<During>)>> = Mutex::new(Vec::new());

/// Has syncs fail until it is dropped.
#[derive(Debug)]
pub(crate) struct FailingSyncs(PathBuf);

impl FailingSyncs {
    /// Lets no segment, and no blob of a store, below `folder` be synced from now on.
    pub(crate) fn below(folder: &Path) -> Self {
        lock().push((folder.to_owned(), None));
        Self(folder.to_owned())
    }

    /// Lets the next one not be synced, and all others be; does `during` meanwhile.
    pub(crate) fn first_below(folder: &Path, during: impl FnOnce() + Send + 'static) -> Self {
        lock().push((folder.to_owned(), Some(Box::new(during))));
        Self(folder.to_owned())
    }
}

impl Drop for FailingSyncs {
    fn drop(&mut self) {
        lock().retain(|(folder, _)| *folder != self.0);
    }
}

/// Fails as a disk does, where a test wants it to.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    let mut folders = lock();
    let Some(at) = folders.iter().position(|(folder, _)| path.starts_with(folder)) else { return Ok(()) };
    let during = if folders[at].1.is_some() { folders.remove(at).1 } else { None };
    drop(folders);
    during.into_iter().for_each(|during| during());
    Err(rustix::io::Errno::IO.into())
}

fn lock() -> MutexGuard<'static, Vec<(PathBuf, Option<During>)>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}
