//! Every counter and size of `stats`, named and explained once; people and Prometheus see the same list.

use datacache_proto::time::Timestamp;
use datacache_proto::types::{DaemonStats, Fallback, NamespaceStats, ReadStats, ReaderStats, StoreStats};

use super::space;

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds; programs are told seconds.
    Millis,
}

/// How a number moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows, while the daemon runs or longer.
    Counter,
}

/// A number with all that has to be said about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Metric {
    /// Its name within its group; those in bytes end in `bytes`, moments and spans in `seconds`.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) unit: Unit,
    pub(crate) kind: Kind,
    pub(crate) value: u64,
}

/// A number of things that goes up and down.
pub(super) const fn gauge(name: &'static str, value: u64, help: &'static str) -> Metric {
    Metric { name, help, unit: Unit::Count, kind: Kind::Gauge, value }
}

/// A size that goes up and down.
pub(super) const fn size(name: &'static str, value: u64, help: &'static str) -> Metric {
    Metric { name, help, unit: Unit::Bytes, kind: Kind::Gauge, value }
}

/// A number of events.
pub(super) const fn counter(name: &'static str, value: u64, help: &'static str) -> Metric {
    Metric { name, help, unit: Unit::Count, kind: Kind::Counter, value }
}

/// Bytes that became more.
const fn bytes_counter(name: &'static str, value: u64, help: &'static str) -> Metric {
    Metric { name, help, unit: Unit::Bytes, kind: Kind::Counter, value }
}

/// A moment, in seconds since 1970, or a span.
const fn seconds(name: &'static str, millis: u64, help: &'static str) -> Metric {
    Metric { name, help, unit: Unit::Millis, kind: Kind::Gauge, value: millis }
}

// The structs are taken apart without `..`, so that a new field can't be forgotten here.

/// Returns the numbers of one namespace, in the same order for each.
pub(crate) fn of_namespace(stats: &NamespaceStats) -> Vec<Metric> {
    let &NamespaceStats {
        name: _,
        entries,
        bytes,
        hits,
        misses,
        direct_hits,
        direct_misses,
        adds,
        deletes,
        expired,
        evicted,
        oldest: _,
        ref space,
    } = stats;
    let mut metrics = vec![
        gauge("entries", entries, "Live entries."),
        size("bytes", bytes, "Bytes of the values of all entries, expired ones included until they are removed."),
        counter("hits", hits, "Reads by call that found a live entry."),
        counter("misses", misses, "Reads by call that found none."),
        counter("direct_hits", direct_hits, "Reads that clients did themselves and that found a live entry."),
        counter("direct_misses", direct_misses, "Reads that clients did themselves and that found none."),
        counter("adds", adds, "Entries added."),
        counter("deletes", deletes, "Entries deleted, evicted by tag or cleared."),
        counter("expired", expired, "Entries removed because their time was over."),
        counter("evicted", evicted, "Entries removed to make room for others."),
    ];
    metrics.extend(space::of_namespace(space));
    metrics
}

/// Returns since when a namespace has an entry, where that is known.
pub(crate) fn of_oldest(oldest: Option<Timestamp>) -> Option<Metric> {
    let help = "Since when the oldest entry is there, in seconds since 1970; left out where there is none.";
    oldest.map(|oldest| seconds("oldest_entry_timestamp_seconds", oldest.as_millis(), help))
}

/// Returns the numbers of reads in all namespaces, but for those by call.
pub(crate) fn of_reads(stats: &ReadStats) -> Vec<Metric> {
    let &ReadStats { direct_hits, direct_misses, fallbacks: _ } = stats;
    vec![
        counter("direct_hits", direct_hits, "Reads that clients did themselves and that found a live entry."),
        counter("direct_misses", direct_misses, "Reads that clients did themselves and that found none."),
    ]
}

/// Returns the number of reads by call for each reason there is, also for those that never occurred.
pub(crate) fn of_fallbacks(stats: &ReadStats) -> [(Fallback, Metric); Fallback::ALL.len()] {
    let help = "Reads by call, by the reason why the client did not read the store itself.";
    Fallback::ALL.map(|reason| {
        let count = stats.fallbacks.iter().find(|(told, _)| *told == reason).map_or(0, |(_, count)| *count);
        (reason, counter("fallbacks", count, help))
    })
}

/// Returns the numbers of the store.
pub(crate) fn of_store(stats: &StoreStats) -> Vec<Metric> {
    let &StoreStats {
        index_bytes,
        unapplied_operations,
        unapplied_bytes,
        unsynced_bytes,
        blobs,
        blob_bytes,
        readers,
        leases,
        shortage,
        ref moved_aside,
    } = stats;
    vec![
        size("index_bytes", index_bytes, "Bytes of the index in use."),
        gauge("unapplied_operations", unapplied_operations, "Operations of the log that the index does not have yet."),
        size("unapplied_bytes", unapplied_bytes, "Bytes of the log that the index does not have yet."),
        size("unsynced_bytes", unsynced_bytes, "Bytes of the log that a loss of power could take."),
        gauge("blobs", blobs, "Values of entries that are files of their own."),
        size("blob_bytes", blob_bytes, "Bytes of these files."),
        gauge("readers", readers, "Threads with a place among the readers of the index."),
        gauge("leases", leases, "Leases that are held."),
        size(
            "moved_aside_bytes",
            moved_aside.as_ref().map_or(0, |aside| aside.bytes),
            "Bytes of an index that was beyond reading and lies aside until somebody removes it.",
        ),
        gauge(
            "shortage",
            u64::from(shortage.is_some()),
            "1 where only what makes the store smaller is taken, for want of room.",
        ),
    ]
}

/// Returns the numbers of those who read the index.
pub(crate) fn of_readers(stats: &ReaderStats) -> Vec<Metric> {
    let &ReaderStats { places, places_max, processes, reading, behind_transactions, oldest_read_ms } = stats;
    vec![
        gauge("places", places, "Threads with a place among the readers of the index."),
        gauge("places_limit", places_max, "How many there can be."),
        gauge("processes", processes, "Their processes."),
        gauge("reading", reading, "Those in the middle of a read."),
        gauge("behind_transactions", behind_transactions, "Transactions since the one that the oldest read sees."),
        seconds(
            "oldest_read_seconds",
            oldest_read_ms.unwrap_or(0),
            "For how long the oldest read goes on, to a second.",
        ),
    ]
}

/// Returns the numbers of the daemon.
pub(crate) fn of_daemon(stats: &DaemonStats) -> Vec<Metric> {
    let &DaemonStats {
        started,
        uptime_ms: _,
        connections,
        refused,
        calls,
        frames,
        operations,
        log_bytes,
        segments,
        waits,
        damaged,
    } = stats;
    vec![
        seconds("start_time_seconds", started.as_millis(), "When the daemon began to run, in seconds since 1970."),
        gauge("connections", connections, "Connections that are open."),
        counter("refused_connections", refused, "Connections that were turned away."),
        counter("calls", calls, "Calls that were begun."),
        counter("frames", frames, "Frames appended to the log."),
        counter("operations", operations, "Operations in these frames."),
        bytes_counter("log_bytes", log_bytes, "Bytes of the log that these frames take."),
        counter("segments", segments, "Segments of the log applied to the index."),
        counter("waits", waits, "Times that writers waited for a segment to be applied."),
        counter("damaged", damaged, "Entries and values that were found to be damaged."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::types::SpaceStats;

    #[test]
    fn sizes_are_named_after_their_unit() {
        let mut all = of_namespace(&NamespaceStats::default());
        all.extend(of_reads(&ReadStats::default()));
        all.extend(of_store(&StoreStats::default()));
        all.extend(of_daemon(&DaemonStats::default()));
        all.extend(space::of_space(&SpaceStats::default()));
        let limited =
            SpaceStats { limit: Some(1), limit_entries: Some(1), held_limit: Some(1), ..SpaceStats::default() };
        all.extend(space::of_limits(&limited));
        all.extend(of_readers(&ReaderStats::default()));
        all.extend(of_oldest(Some(Timestamp::from_millis(1))));
        for metric in all {
            assert_eq!(metric.unit == Unit::Bytes, metric.name.ends_with("bytes"), "{}", metric.name);
            assert_eq!(metric.unit == Unit::Millis, metric.name.ends_with("seconds"), "{}", metric.name);
        }
    }
}
