//! The lock that changes of the file wait for, so that none of them is lost.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use datacache_proto::paths::Paths;

use super::EditError;
use crate::config::replace::{folder_of, target_of};

/// How long others may take for their changes, each of which writes a small file.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before another try: the system has no lock that is waited for just so long.
const PAUSE: Duration = Duration::from_millis(5);

/// What to do where there is no folder for the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Make,
    Leave,
}

/// Has whoever else changes the file wait, also by another link to it, until what is returned is dropped; `None` where there is no folder
/// that it could lie in. It is the folder that is locked, as the file is replaced.
///
/// # Errors
/// [`EditError::Locked`] where somebody else holds the lock for all of `patience`, [`EditError::Write`] where the system fails.
pub(super) fn lock(paths: &Paths, missing: Missing, patience: Duration) -> Result<Option<File>, EditError> {
    let failed = |source| EditError::Write { path: paths.config.clone(), source };
    let target = target_of(&paths.config).map_err(failed)?;
    let path = folder_of(&target);
    let folder = match open(path, missing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::Leave => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    match lock_within(&folder, patience) {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(EditError::Locked { folder: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn open(folder: &Path, missing: Missing) -> io::Result<File> {
    if missing == Missing::Make {
        std::fs::create_dir_all(folder)?;
    }
    File::open(folder)
}

fn lock_within(folder: &File, patience: Duration) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < patience => std::thread::sleep(PAUSE),
            tried => return tried,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(config: &Path) -> Paths {
        let [store, socket, store_link] = ["s", "sock", "store"].map(|name| config.with_file_name(name));
        Paths { store, socket, store_link, config: config.to_owned(), is_default: false }
    }

    #[test]
    fn a_folder_that_another_program_keeps_locked_is_told_and_one_that_it_lets_go_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(&folder.path().join("c.toml"));
        let others = File::open(folder.path()).unwrap();
        others.lock().unwrap();
        for missing in [Missing::Make, Missing::Leave] {
            let error = lock(&paths, missing, PAUSE * 2).unwrap_err();
            assert!(matches!(&error, EditError::Locked { folder: told } if told == folder.path()), "{error}");
        }
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| lock(&paths, Missing::Leave, Duration::from_secs(60)).unwrap().is_some());
            others.unlock().unwrap();
            assert!(waits.join().unwrap());
        });
    }

    #[test]
    fn where_there_is_no_folder_there_is_nothing_to_lock_unless_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(&folder.path().join("new/c.toml"));
        assert!(lock(&paths, Missing::Leave, PATIENCE).unwrap().is_none());
        assert!(!folder.path().join("new").exists());
        assert!(lock(&paths, Missing::Make, PATIENCE).unwrap().is_some());
    }
}
