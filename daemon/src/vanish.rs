//! Noticing that the store's folder was removed, or another one put in its place, under the running daemon.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use datacache_proto::layout::LOCK;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use datacache_proto::readable::Readable;

/// A look-out for the end of a store's folder: its lock's file stands for the whole.
#[derive(Debug)]
pub(crate) struct Vanishing {
    events: Readable,
    lock: PathBuf,
    identity: (u64, u64),
}

impl Vanishing {
    /// Begins to watch the folder of an open store. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the folder is gone already, or the system has no watch left.
    pub(crate) fn begin(store: &Path) -> io::Result<Self> {
        let lock = store.join(LOCK);
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let gone = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        inotify::add_watch(&events, store, gone)?;
        // The lock is held open, so it is never gone for good: its count of links changes.
        inotify::add_watch(&events, &lock, WatchFlags::ATTRIB | WatchFlags::MOVE_SELF)?;
        Ok(Self { events: Readable::new(events)?, identity: identity(&lock)?, lock })
    }

    /// Waits until the store is no longer where it was.
    ///
    /// # Errors
    /// Where the system does not tell any more.
    pub(crate) async fn happened(&self) -> io::Result<()> {
        while identity(&self.lock).is_ok_and(|now| now == self.identity) {
            let mut ready = self.events.ready().await?;
            self.drain()?;
            ready.clear_ready();
        }
        Ok(())
    }

    /// Reads the events away; what happened is seen by looking.
    fn drain(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 1_024];
        let mut events = inotify::Reader::new(&self.events, &mut buffer);
        loop {
            match events.next() {
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn store() -> (tempfile::TempDir, PathBuf, File) {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        fs::create_dir(&store).unwrap();
        let lock = File::create(store.join(LOCK)).unwrap();
        (folder, store, lock)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_removed_store_is_noticed() {
        let (_folder, store, _lock) = store();
        let vanishing = Vanishing::begin(&store).unwrap();
        let mut happened = std::pin::pin!(vanishing.happened());
        assert!(futures::poll!(&mut happened).is_pending());
        fs::remove_dir_all(&store).unwrap();
        happened.await.unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_store_that_was_moved_away_is_noticed() {
        let (folder, store, _lock) = store();
        let vanishing = Vanishing::begin(&store).unwrap();
        let mut happened = std::pin::pin!(vanishing.happened());
        assert!(futures::poll!(&mut happened).is_pending());
        fs::rename(&store, folder.path().join("elsewhere")).unwrap();
        happened.await.unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_store_that_is_used_is_not_taken_for_a_removed_one() {
        let (_folder, store, lock) = store();
        let vanishing = Vanishing::begin(&store).unwrap();
        let mut happened = std::pin::pin!(vanishing.happened());
        lock.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        fs::write(store.join("other"), b"x").unwrap();
        fs::remove_file(store.join("other")).unwrap();
        assert!(futures::poll!(&mut happened).is_pending());
    }
}
