//! A folder to work in. libFuzzer ends a program without giving anything back: who starts it says by `TMPDIR` where such folders
//! are, best in memory, and removes them.

use std::path::{Path, PathBuf};

use datacache_daemon::Config;
use datacache_proto::paths::Paths;
use tempfile::TempDir;

/// A folder with room for a store and a socket; goes with the value.
#[derive(Debug)]
pub struct Place(TempDir);

impl Place {
    /// Makes one.
    ///
    /// # Panics
    /// Where the system has no place for temporary files.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a folder is made, which is more than a default")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("there is a place for temporary files"))
    }

    /// Returns the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns where the store lies.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path().join("cache")
    }

    /// Returns where the socket lies.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path().join("sock")
    }

    /// Returns the settings of a daemon here.
    #[must_use]
    pub fn config(&self) -> Config {
        let [store_link, config] = ["store", "config.toml"].map(|name| self.path().join(name));
        let (store, socket) = (self.store(), self.socket());
        Config::defaults(Paths { store, socket, store_link, config, is_default: false })
    }
}
