//! What can go wrong in the store, by the operation that failed.

use std::io;
use std::path::{Path, PathBuf};

use datacache_proto::closed::Closed;
use datacache_proto::error::{FullCause, Resource, StagedFault};

use super::folder::DAMAGED;

/// A store that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it.
    #[error("the store {} is in use by another daemon", .path.display())]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// A folder or file can't be made or read.
    #[error("failed to {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The filesystem is full, and there is no room for what the last daemon had not done yet, or for the log.
    #[error("no space left on the filesystem of the store {}; free a few megabytes there{}", .path.display(), to_remove(path))]
    NoSpace {
        /// The store's folder.
        path: PathBuf,
    },
    /// The folder is somebody else's, or can't be written to.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The folder holds something that is not a store.
    #[error(
        "{} is no store of datacache and not empty: it holds `{found}`; name an empty folder or a new one, or move that file away",
        .path.display()
    )]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// Something in the folder can't be what a store has there.
    #[error("{} is {found}; nothing like that belongs there, move it away", .path.display())]
    Intruder {
        /// Its path.
        path: PathBuf,
        /// What it is, or whose.
        found: String,
    },
    /// The folder is on a filesystem that other machines write to.
    #[error(
        "the store {} lies on a network filesystem ({filesystem}), which an index can't be kept safe on; name a folder on a \
         disk of this machine with --dir, DATACACHE_DIR or XDG_CACHE_HOME", .path.display()
    )]
    Network {
        /// The store's folder.
        path: PathBuf,
        /// What filesystem it is.
        filesystem: String,
    },
    /// A build with another layout wrote it.
    #[error(
        "the store {} has layout {found}, this build knows {known}; use the build that wrote it, \
         or move the folder away to begin anew", .path.display()
    )]
    Layout {
        /// The store's folder.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The layout this build knows.
        known: u32,
    },
    /// LMDB refused.
    #[error(
        "failed to {action} the index of the store {}; look whether its disk is in order, and begin anew by moving the folder away",
        .path.display()
    )]
    Index {
        /// What was tried.
        action: &'static str,
        /// The store's folder.
        path: PathBuf,
        /// Why it failed.
        source: heed::Error,
    },
}

/// A change or a look that the store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The filesystem is full, or its user has no more of it.
    #[error("no space left on the filesystem of {}", .folder.display())]
    NoSpace {
        /// The store's folder.
        folder: PathBuf,
    },
    /// The index can't grow any more.
    #[error("the index fills the {limit} bytes of its map")]
    IndexFull {
        /// The size of the map in bytes.
        limit: u64,
    },
    /// What can't stay whatever is evicted for it.
    #[error("it takes {bytes} bytes with what has to be there besides it, the limit is {limit}")]
    NeverFits {
        /// What it takes on the disk in bytes, and what has to be there besides it.
        bytes: u64,
        /// The namespace whose limit it is; `None` for the store's.
        of: Option<String>,
        /// The limit in bytes.
        limit: u64,
    },
    /// A limit is reached, and nothing may be evicted.
    #[error("a limit is reached and nothing may be evicted: {cause:?}")]
    Full {
        /// The namespace whose limit it is; `None` for the store's.
        of: Option<String>,
        /// Why not.
        cause: FullCause,
    },
    /// The log could not be appended to.
    #[error("failed to append to the log")]
    Append {
        /// Why.
        source: io::Error,
    },
    /// The index could not be read.
    #[error("failed to read the index")]
    Read {
        /// Why.
        source: heed::Error,
    },
    /// The log can't be applied to the index, so nothing new is taken. That there is no room is told as that.
    #[error("the log can't be applied to the index{}", .errno.map(|code| format!(" (error {code})")).unwrap_or_default())]
    ApplyFailed {
        /// The system's error number, where there is one, or LMDB's, which is negative.
        errno: Option<i32>,
    },
    /// A blob or a staged file could not be reached.
    #[error("failed to {action} the file of a value")]
    Blob {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The file of a value could not be read when all of them were looked at, which says nothing about it.
    #[error(
        "failed to read the value {}: nothing is decided about it or any other; see to what is short, and verify again",
        .path.display()
    )]
    Unexamined {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A staged file is not what was said.
    #[error("the staged file `{name}` can't be taken: {fault}")]
    Staged {
        /// The name that was sent.
        name: String,
        /// What is wrong with it.
        fault: StagedFault,
    },
    /// The blob changed between the look at the staged file and its adoption, or it is one of a batch and was not adopted for
    /// it: look again.
    #[error("the blob changed while its content was compared")]
    BlobChanged,
    /// A record's bytes are damaged.
    #[error("the record is damaged")]
    Damaged,
    /// The log or the index is damaged; the daemon ends, and the next one puts that right before it serves anybody.
    #[error("the store is damaged; the daemon starts anew")]
    Restarting,
    /// The command is larger than any frame.
    #[error("the batch is larger than a frame of the log")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// There are too many of something.
    #[error("too many {what}: the limit is {limit}")]
    TooMany {
        /// Of what.
        what: Resource,
        /// The limit.
        limit: u64,
    },
    /// The scope has ended already.
    #[error("the scope has ended")]
    ScopeEnded,
}

impl StoreError {
    /// Tells a full disk from the other ways in which an append to the log of the store in `folder` can fail.
    pub(crate) fn append(source: io::Error, folder: &Path) -> Self {
        match is_full(&source) {
            true => Self::NoSpace { folder: folder.to_owned() },
            false => Self::Append { source },
        }
    }

    /// The same for what is done to a blob or a staged file.
    pub(crate) fn blob(action: &'static str, source: io::Error, folder: &Path) -> Self {
        match is_full(&source) {
            true => Self::NoSpace { folder: folder.to_owned() },
            false => Self::Blob { action, source },
        }
    }

    /// Says once more why nothing new is taken, for the next who has to hear of it.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::NoSpace { folder } => Self::NoSpace { folder: folder.clone() },
            Self::IndexFull { limit } => Self::IndexFull { limit: *limit },
            Self::Append { source } => {
                let copy = source.raw_os_error().map_or_else(|| source.kind().into(), io::Error::from_raw_os_error);
                Self::Append { source: copy }
            }
            Self::ApplyFailed { errno } => Self::ApplyFailed { errno: *errno },
            Self::Restarting => Self::Restarting,
            Self::NeverFits { bytes, of, limit } => Self::NeverFits { bytes: *bytes, of: of.clone(), limit: *limit },
            Self::Full { of, cause } => Self::Full { of: of.clone(), cause: *cause },
            _ => Self::ApplyFailed { errno: None },
        }
    }
}

impl OpenError {
    /// Tells as a full filesystem what failed because of one, whatever it was.
    pub(super) fn or_no_space(self, store: &Path) -> Self {
        match self {
            Self::Io { source, .. } if is_full(&source) => Self::NoSpace { path: store.to_owned() },
            other => other,
        }
    }
}

/// Names what may go first where a store has no room: an index that was moved aside takes as much as the new one has to.
fn to_remove(store: &Path) -> String {
    let aside = store.join(DAMAGED);
    match aside.is_dir() {
        true => format!(", as by removing {}, the damaged index that was moved aside", aside.display()),
        false => String::new(),
    }
}

/// Tells whether an operation failed because its filesystem has no room, or none for this user.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It kept the space that the new store had none of, and nobody was told where that was.
    #[test]
    fn who_has_no_room_for_a_store_is_told_of_the_index_that_was_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let failed = || io::Error::from(io::ErrorKind::StorageFull);
        let failed =
            || OpenError::Io { action: "make the folders of", path: folder.path().to_owned(), source: failed() };
        let told = || failed().or_no_space(folder.path()).to_string();
        assert!(told().ends_with("free a few megabytes there"), "{}", told());
        let aside = folder.path().join(DAMAGED);
        std::fs::create_dir(&aside).unwrap();
        assert!(told().contains(aside.to_str().unwrap()), "{}", told());
    }
}
