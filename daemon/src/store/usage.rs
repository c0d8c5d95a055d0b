//! How much of the disk the store takes.

/// How much of the disk the store takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Pages of the index in use.
    pub index: u64,
    /// The log that the index does not have yet.
    pub log: u64,
    /// Files of values that entries name, each once.
    pub blobs: u64,
    /// Files of values that nothing names any more, until they are removed.
    pub leaving: u64,
}

impl Usage {
    /// Returns all of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.index + self.blobs + self.passing()
    }

    /// Returns what goes by itself, as the log is applied.
    pub(super) fn passing(&self) -> u64 {
        self.log + self.leaving
    }
}
