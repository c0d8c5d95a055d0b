//! How much: bytes, and how many entries have them.

/// Bytes and entries, of a queue, or of what has to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// The bytes that the entries are charged for.
    pub bytes: u64,
    /// How many entries.
    pub entries: u64,
}

impl Volume {
    /// One entry of so many bytes.
    pub const fn one(bytes: u64) -> Self {
        Self { bytes, entries: 1 }
    }

    /// Tells whether it is as much as `other`, by bytes and by entries.
    pub const fn covers(self, other: Self) -> bool {
        self.bytes >= other.bytes && self.entries >= other.entries
    }

    /// Returns both together, or as much as can be told.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), entries: self.entries.saturating_add(other.entries) }
    }

    /// Returns as much as both are.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), entries: self.entries.min(other.entries) }
    }

    /// Returns what is left without `other`: nothing where that was more.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(other.bytes), entries: self.entries.saturating_sub(other.entries) }
    }
}
