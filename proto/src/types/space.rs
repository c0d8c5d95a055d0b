//! How much of the disk a store takes, and how much it may.

use serde::{Deserialize, Serialize};

/// How much of the disk the whole store takes, and how much it may.
///
/// # Who pays
/// The store pays for the pages of its index that are in use, for the bytes of the log that the index does not have yet, and for
/// each file of a value once, by the blocks that it takes. A namespace pays for each of its entries: for the rows that the entry has
/// in the index, and for the blocks of its file, whoever else names that file. So what the namespaces pay together may be more or
/// less than what the store does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceStats {
    /// What the store takes, in bytes: the sum of the next three.
    pub bytes: u64,
    /// Pages of the index in use.
    pub index_bytes: u64,
    /// The log that the index does not have yet.
    pub log_bytes: u64,
    /// Files of values, by their blocks, also those that nothing names any more until they are removed.
    pub blob_bytes: u64,
    /// What the index's file has besides, in bytes: free pages, which are used again first, and given back while nobody writes.
    pub spare_bytes: u64,
    /// Entries, expired ones included until they are removed.
    pub entries: u64,
    /// Of the bytes, those of entries that are never evicted: pinned and bound ones.
    pub held_bytes: u64,
    /// Of the entries, those that are never evicted.
    pub held_entries: u64,
    /// What the store may take at the moment, in bytes: its setting, or what others on the disk leave it where that is less. `None` where there
    /// is neither a limit nor a reserve.
    pub limit: Option<u64>,
    /// How many entries there may be.
    pub limit_entries: Option<u64>,
    /// What pinned and bound entries may take, in bytes, at the moment: less while others fill the disk.
    pub held_limit: Option<u64>,
    /// How many pinned and bound entries there may be.
    pub held_limit_entries: Option<u64>,
    /// Which entries go when there is no room for all.
    pub policy: String,
    /// Space on the filesystem that is left to others.
    pub reserve: ReserveStats,
    /// Calls that had to wait until room was made, since the daemon began to run.
    pub waits: u64,
    /// Calls that were refused because no room could be made, since the daemon began to run.
    pub refused: u64,
}

/// Space on the filesystem that a cache leaves to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveStats {
    /// How much is to stay free, in bytes.
    pub bytes: u64,
    /// How much is free, as it was seen last.
    pub free: u64,
}

/// How much a namespace takes, and how much it may: see [`SpaceStats`] for who pays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceSpace {
    /// What its entries take on the disk.
    pub bytes: u64,
    /// Of these, those of entries that are never evicted.
    pub held_bytes: u64,
    /// What it may take; `None` where it has no limit of its own.
    pub limit: Option<u64>,
    /// How many entries it may have; `None` where it has no limit of its own.
    pub limit_entries: Option<u64>,
    /// Which of its entries go when there is no room for all.
    pub policy: String,
}
