//! What the writer knows of batches that had to wait for room, and of what was evicted.

use std::collections::{BTreeMap, HashMap};

use datacache_proto::time::Timestamp;

use super::making_way::Owner;
use super::plan::Cursor;
use super::pool::PoolId;

/// A look for what has expired, slice by slice.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Where the next slice begins, if not with the first entry.
    pub(super) next: Option<Cursor>,
    /// When nothing was found.
    pub(super) ended: Timestamp,
}

/// What came of limits since the store was opened.
#[derive(Debug, Default)]
pub(super) struct Crowding {
    /// Below whose limit the first batch of those that wait has no room.
    pub(super) blocked_by: Option<Owner>,
    /// Whether room is being made in the store as a whole, down to the low mark.
    pub(super) is_relieving: bool,
    /// How far was looked for what has expired, for each limit.
    pub(super) sweeps: BTreeMap<Owner, Sweep>,
    /// Batches that had to wait.
    pub(super) waits: u64,
    /// Batches that were refused.
    pub(super) refused: u64,
    /// The pool of which what it has learned was last taken to be written down, until it was that of all.
    pub(super) kept: Option<PoolId>,
    /// Entries that had expired and were removed to make room, by namespace.
    pub(super) expired: HashMap<u32, u64>,
    /// Entries that were evicted, by namespace.
    pub(super) evicted: HashMap<u32, u64>,
}
