//! What the writer knows of batches that had to wait for room, and of what was evicted.

use std::collections::HashMap;

use datacache_proto::time::Timestamp;

use super::making_way::Owner;
use super::plan::Cursor;

/// What came of limits since the store was opened.
#[derive(Debug, Default)]
pub(super) struct Crowding {
    /// Whether the first batch of those that wait has no room.
    pub(super) is_blocked: bool,
    /// Whether room is being made in the store as a whole, down to the low mark.
    pub(super) is_relieving: bool,
    /// When nothing was found that had expired.
    pub(super) swept: Timestamp,
    /// How far was looked for that, and for whom.
    pub(super) sweep: Option<(Owner, Cursor)>,
    /// Batches that had to wait.
    pub(super) waits: u64,
    /// Batches that were refused.
    pub(super) refused: u64,
    /// How many entries had been evicted when what was learned was last written down.
    pub(super) kept: u64,
    /// Entries that had expired and were removed to make room, by namespace.
    pub(super) expired: HashMap<u32, u64>,
    /// Entries that were evicted, by namespace.
    pub(super) evicted: HashMap<u32, u64>,
}
