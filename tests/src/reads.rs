//! Which way values are read: by the clients themselves, or by call.

use std::fmt;

use datacache_client::blocking::DataCache;
use datacache_client::{DIRECT_VARIABLE, Stats};

/// A way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Clients look into the store themselves.
    Direct,
    /// They ask the daemon.
    Call,
}

impl Way {
    /// Returns the way that clients of this process read, and those of the processes of its homes.
    #[must_use]
    pub fn of_this_run() -> Self {
        match std::env::var(DIRECT_VARIABLE).as_deref() {
            Ok("0" | "off" | "no" | "false") => Self::Call,
            _ => Self::Direct,
        }
    }

    /// Returns the way that it is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Direct => Self::Call,
            Self::Call => Self::Direct,
        }
    }

    /// Asserts that nothing was read another way, as far as a daemon knows.
    ///
    /// # Panics
    /// Where something was.
    #[track_caller]
    pub fn assert_only_way(self, cache: &DataCache) {
        let reads = cache.stats().unwrap().reads;
        match self {
            Self::Direct => assert_eq!(reads.fallbacks, [], "reads by call"),
            Self::Call => assert_eq!((reads.direct_hits, reads.direct_misses), (0, 0), "direct reads"),
        }
    }

    /// Returns how many values were read this way and found or not, as far as a daemon knows.
    #[must_use]
    pub fn count(self, stats: &Stats) -> u64 {
        match self {
            Self::Direct => stats.reads.direct_hits + stats.reads.direct_misses,
            Self::Call => stats.reads.fallbacks.iter().map(|(_, count)| count).sum(),
        }
    }
}

impl fmt::Display for Way {
    /// Writes the value of [`DIRECT_VARIABLE`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "1",
            Self::Call => "0",
        })
    }
}
