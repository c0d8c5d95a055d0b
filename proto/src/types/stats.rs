//! Counters and sizes, of each namespace, of the store and of the daemon.

use serde::{Deserialize, Serialize};

use super::{Fallback, FrameStats, LatencyStats, NamespaceSpace, ReaderStats, SpaceStats};
use crate::time::Timestamp;

/// Counters and sizes, all taken within a moment.
///
/// Counters only grow, and where nothing else is said they count since the daemon began to run: with [`Stats::taken`] and
/// [`DaemonStats::uptime_ms`] two measurements tell what happened in between, if [`DaemonStats::started`] is the same in both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// When these were taken. In JSON, milliseconds since 1970.
    #[serde(rename = "taken_unix_ms")]
    pub taken: Timestamp,
    /// One row for each namespace that has entries, settings of its own, or anything counted, by name.
    pub namespaces: Vec<NamespaceStats>,
    /// How values were read.
    pub reads: ReadStats,
    /// The store as a whole.
    pub store: StoreStats,
    /// How much of the disk it takes, and how much it may.
    pub space: SpaceStats,
    /// The daemon's dealings since it began to run.
    pub daemon: DaemonStats,
    /// Who reads the index.
    pub readers: ReaderStats,
    /// How long what the daemon does takes.
    pub latency: LatencyStats,
    /// How much shares a frame of the log.
    pub frames: FrameStats,
    /// The process that does not come to the end of a read, where there is one: it keeps the index from using freed space again.
    pub laggard: Option<Laggard>,
}

/// Counters of one namespace; the events count since the daemon began to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceStats {
    /// Its name.
    pub name: String,
    /// Live entries. Where more than a thousand have just ended, those of them count too that are removed while it is counted.
    pub entries: u64,
    /// Bytes of the values of all entries that are there, expired ones included until they are removed.
    pub bytes: u64,
    /// Reads by call that found a live entry.
    pub hits: u64,
    /// Reads by call that found none.
    pub misses: u64,
    /// Reads that clients did themselves and that found a live entry, since the store's counters were made. Namespaces are
    /// numbered as they come to be; from the 1,023rd on they are counted in [`ReadStats`] alone, and have 0 here.
    pub direct_hits: u64,
    /// Reads that clients did themselves and that found none, since the same moment.
    pub direct_misses: u64,
    /// Entries added.
    pub adds: u64,
    /// Entries deleted, evicted by tag or cleared by a client.
    pub deletes: u64,
    /// Entries removed because their time was over.
    pub expired: u64,
    /// Entries removed to make room for others.
    pub evicted: u64,
    /// A moment before which no live entry was added, as far as clocks were never set back; mostly the one at which the oldest was.
    /// `None` where there is no entry, and while it is not known yet. In JSON, milliseconds since 1970.
    ///
    /// The daemon looks for the oldest entries when statistics are asked for, and keeps some hundred of them in mind. It does not
    /// look again while one of these is there, nor for more than a hundredth of its time: until then this is the moment of the
    /// last of those that are gone.
    #[serde(rename = "oldest_unix_ms")]
    pub oldest: Option<Timestamp>,
    /// How much of the disk it takes, and how much it may.
    pub space: NamespaceSpace,
}

/// How values were read: by the clients themselves, which counters in shared memory tell, or by call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadStats {
    /// Reads that clients did themselves and that found a live entry, in all namespaces, since the store's counters were
    /// made; they outlive daemons.
    pub direct_hits: u64,
    /// Reads that clients did themselves and that found none, since the same moment.
    pub direct_misses: u64,
    /// Reads by call since the daemon began to run, by the reason why they were not direct; reasons that never occurred are
    /// left out.
    #[serde(with = "by_reason")]
    pub fallbacks: Vec<(Fallback, u64)>,
}

/// Counts by reason as a map, whose keys are the reasons' names where the format has any.
mod by_reason {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Fallback;

    pub(super) fn serialize<S: Serializer>(counts: &[(Fallback, u64)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(counts.iter().map(|(reason, count)| (reason, count)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Fallback, u64)>, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}

/// Sizes of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStats {
    /// Bytes of the index (LMDB) in use.
    pub index_bytes: u64,
    /// Operations of the log that the index does not have yet.
    pub unapplied_operations: u64,
    /// Their bytes.
    pub unapplied_bytes: u64,
    /// Bytes of the log that a loss of power could take.
    pub unsynced_bytes: u64,
    /// Values that are files of their own, without those that no entry has any more: see [`super::SpaceStats::blob_bytes`].
    pub blobs: u64,
    /// The sum of their lengths in bytes; equal content counts once.
    pub blob_bytes: u64,
    /// Places among the readers of the index that are taken: one for each thread that ever read it, until it or its process ends.
    pub readers: u64,
    /// Leases that are held.
    pub leases: u64,
    /// What is short, where only what makes the store smaller is taken because of that.
    pub shortage: Option<Shortage>,
    /// The index that was beyond reading, for as long as its folder lies in the store.
    pub moved_aside: Option<MovedAside>,
}

/// An index that was beyond reading: it was moved aside, and the store began empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedAside {
    /// The folder that it is in now, as the daemon sees it. Nobody needs it but who wants to look.
    pub folder: String,
    /// When it was moved. In JSON, milliseconds since 1970.
    #[serde(rename = "since_unix_ms")]
    pub since: Timestamp,
    /// Bytes of the disk that the folder takes.
    pub bytes: u64,
    /// The large values that it named, which are not in that folder: they were removed. `None` where that is not known.
    pub lost: Option<LostValues>,
}

/// Large values that were removed because nothing named them any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostValues {
    /// How many.
    pub values: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why the store takes only what makes it smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// What is short.
    pub of: Scarce,
    /// Since when, as far as this daemon knows. In JSON, milliseconds since 1970.
    #[serde(rename = "since_unix_ms")]
    pub since: Timestamp,
}

/// What a store can be short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scarce {
    /// Space on its filesystem, or what its user may have of it.
    Disk,
    /// Room in the map of its index.
    Index,
}

/// A process in the middle of a read that should have been over long ago; most likely it was stopped there. What is freed in the index
/// from then on can't be used again until it goes on, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Laggard {
    /// Its number.
    pub pid: u32,
    /// Whether it is stopped, by a signal or a debugger.
    pub is_stopped: bool,
    /// When it was first seen at that read. In JSON, milliseconds since 1970.
    #[serde(rename = "since_unix_ms")]
    pub since: Timestamp,
    /// Bytes by which the index's file has grown since. At most so much is held back: some of it may be new entries.
    pub grown_bytes: u64,
}

/// The daemon's dealings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStats {
    /// When it began to run. In JSON, milliseconds since 1970.
    #[serde(rename = "started_unix_ms")]
    pub started: Timestamp,
    /// For how long it runs, in milliseconds; no clock that is set back changes that.
    pub uptime_ms: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were turned away.
    pub refused: u64,
    /// Calls that were begun.
    pub calls: u64,
    /// Frames that were appended to the log.
    pub frames: u64,
    /// Operations in them.
    pub operations: u64,
    /// Bytes of the log that they take.
    pub log_bytes: u64,
    /// Segments of the log that were applied to the index.
    pub segments: u64,
    /// Times that writers had to wait for a segment to be applied.
    pub waits: u64,
    /// Entries that were found to be damaged, and values: each is a miss from then on. What `verify` finds counts once it is repaired.
    pub damaged: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_tells_programs_of_what_and_since_when() {
        let shortage = Shortage { of: Scarce::Disk, since: Timestamp::from_millis(1_700_000_000_000) };
        let json = serde_json::to_string(&shortage).unwrap();
        assert_eq!(json, r#"{"of":"disk","since_unix_ms":1700000000000}"#);
    }

    #[test]
    fn counts_by_reason_are_a_map_for_programs_and_come_back_over_the_wire() {
        let fallbacks = vec![(Fallback::Off, 3), (Fallback::Unreadable, u64::MAX)];
        let reads = ReadStats { direct_hits: 1, direct_misses: 2, fallbacks };
        let json = serde_json::to_string(&reads).unwrap();
        let expected = r#"{"direct_hits":1,"direct_misses":2,"fallbacks":{"off":3,"unreadable":18446744073709551615}}"#;
        assert_eq!(json, expected);
        let bytes = postcard::to_stdvec(&reads).unwrap();
        assert_eq!(postcard::from_bytes::<ReadStats>(&bytes).unwrap(), reads);
    }
}
