//! Folders that are gone in the end.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

/// Where all of a run lies: files on the chosen filesystem, sockets where their paths are short.
#[derive(Debug)]
pub(crate) struct Place {
    files: TempDir,
    sockets: TempDir,
}

impl Place {
    /// Makes the folders.
    ///
    /// # Errors
    /// Where the system can't.
    pub(crate) fn new(dir: Option<&Path>) -> io::Result<Self> {
        let temporary = std::env::temp_dir();
        let files = std::path::absolute(dir.unwrap_or(&temporary))?;
        let files = Builder::new().prefix("datacache-peers-").tempdir_in(files)?;
        Ok(Self { files, sockets: Builder::new().prefix("dcp-").tempdir_in("/tmp")? })
    }

    /// Makes a folder for files, removed when it is dropped.
    ///
    /// # Errors
    /// Where the system can't.
    pub(crate) fn folder(&self, name: &str) -> io::Result<TempDir> {
        Builder::new().prefix(name).tempdir_in(&self.files)
    }

    /// Makes a folder for sockets, removed when it is dropped.
    ///
    /// # Errors
    /// Where the system can't.
    pub(crate) fn sockets(&self) -> io::Result<TempDir> {
        Builder::new().prefix("s").tempdir_in(&self.sockets)
    }

    /// Returns the path of a file that nobody else has.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}
