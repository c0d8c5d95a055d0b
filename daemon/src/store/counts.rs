//! How much a namespace holds, and all blobs together: rows of the table `counters`.

/// Stands in the table of counters for all blobs together; no namespace has this number.
pub(super) const BLOBS_COUNTED: u32 = u32::MAX;

/// What a namespace holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that are there, also those whose time is over and that were not removed yet.
    pub entries: u64,
    /// The sum of their values' lengths in bytes.
    pub bytes: u64,
}

impl Counts {
    /// Adds a change, which may be negative.
    pub(super) fn change(&mut self, entries: i64, bytes: i64) {
        self.entries = self.entries.saturating_add_signed(entries);
        self.bytes = self.bytes.saturating_add_signed(bytes);
    }

    pub(super) fn encode(self) -> [u8; 16] {
        let mut row = [0; 16];
        row[..8].copy_from_slice(&self.entries.to_le_bytes());
        row[8..].copy_from_slice(&self.bytes.to_le_bytes());
        row
    }

    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let (entries, bytes) = row.split_at_checked(8)?;
        Some(Self {
            entries: u64::from_le_bytes(entries.try_into().ok()?),
            bytes: u64::from_le_bytes(bytes.try_into().ok()?),
        })
    }
}
