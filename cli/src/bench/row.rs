//! The operations that are measured, each a row of the report.

use serde::{Deserialize, Serialize};

/// An operation on the cache. What is written is what `--json` and a worker's process are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Row {
    /// Reads an entry from the map: from LMDB, after a look into the shared index.
    Get,
    /// Reads one that was added a moment ago, and is in the log only.
    GetRecent,
    /// Reads an entry by a call.
    GetRpc,
    /// Replaces an entry.
    Set,
    /// Deletes an entry that is there.
    Delete,
    /// Replaces a large value, written to a file and hashed on the way.
    SetLarge,
    /// Maps a large value.
    GetLarge,
}

impl Row {
    /// Returns how many operations there are where `ops` small ones were asked for.
    pub(crate) fn count(self, ops: u64) -> u64 {
        match self {
            Self::Get | Self::GetRecent | Self::GetRpc | Self::Set | Self::Delete => ops,
            Self::GetLarge => (ops / 10).max(1),
            Self::SetLarge => (ops / 100).max(1),
        }
    }

    /// Returns what people are told that is being done.
    pub(crate) fn doing(self) -> &'static str {
        match self {
            Self::Get => "measuring get",
            Self::GetRecent => "measuring get of what was just added",
            Self::GetRpc => "measuring get by call",
            Self::Set => "measuring set",
            Self::Delete => "measuring delete",
            Self::SetLarge => "measuring set of large values",
            Self::GetLarge => "measuring get of large values",
        }
    }
}
