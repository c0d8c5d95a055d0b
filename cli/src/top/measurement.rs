//! What is known of one moment: those numbers of `stats` that are shown, apart from how the daemon tells them.

use std::time::Duration;

use datacache_proto::time::Timestamp;
use datacache_proto::types::{Latency, NamespaceStats, Scarce, Stats};

/// Numbers of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Measurement {
    /// When the daemon began to run: which one it is.
    pub(super) started: Timestamp,
    /// For how long it runs.
    pub(super) uptime: Duration,
    pub(super) connections: u64,
    pub(super) leases: u64,
    /// What happened in all namespaces.
    pub(super) traffic: Traffic,
    /// By name.
    pub(super) namespaces: Vec<Namespace>,
    pub(super) gauges: Vec<Gauge>,
    /// What is measured, and how long it took.
    pub(super) latencies: Vec<(&'static str, Latency)>,
    /// Why nothing is added, where that is so.
    pub(super) shortage: Option<&'static str>,
}

/// Counters of what happened; they only grow while a daemon runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) direct_hits: u64,
    pub(super) direct_misses: u64,
    pub(super) called_hits: u64,
    pub(super) called_misses: u64,
    /// Entries added or deleted by clients.
    pub(super) writes: u64,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Namespace {
    pub(super) name: String,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// Entries that went because there was no room for all.
    pub(super) evicted: u64,
    pub(super) traffic: Traffic,
    /// What it takes, and what it may.
    pub(super) gauges: Vec<Gauge>,
}

/// What is used of something, and how much of it there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gauge {
    pub(super) name: &'static str,
    pub(super) used: u64,
    /// `None` where nobody set a limit.
    pub(super) limit: Option<u64>,
    pub(super) is_bytes: bool,
}

/// How much happens in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// Reads that clients did themselves.
    pub(super) direct: f64,
    /// Reads by call.
    pub(super) called: f64,
    pub(super) writes: f64,
    /// The share of reads that found something; `None` where nobody read.
    pub(super) hit_ratio: Option<f64>,
}

impl Traffic {
    /// Returns what happens in a second, as it was after `earlier`.
    pub(super) fn since(&self, earlier: &Self, span: Duration) -> Rates {
        let seconds = span.as_secs_f64();
        let difference = |now: u64, then: u64| now.saturating_sub(then) as f64;
        let direct_hits = difference(self.direct_hits, earlier.direct_hits);
        let called_hits = difference(self.called_hits, earlier.called_hits);
        let direct = direct_hits + difference(self.direct_misses, earlier.direct_misses);
        let called = called_hits + difference(self.called_misses, earlier.called_misses);
        Rates {
            direct: direct / seconds,
            called: called / seconds,
            writes: difference(self.writes, earlier.writes) / seconds,
            hit_ratio: (direct + called > 0.0).then(|| (direct_hits + called_hits) / (direct + called)),
        }
    }

    /// Returns the share of all reads that found something.
    pub(super) fn hit_ratio(&self) -> Option<f64> {
        self.since(&Self::default(), Duration::from_secs(1)).hit_ratio
    }
}

impl Rates {
    /// Returns how much happens in all.
    pub(super) fn operations(&self) -> f64 {
        self.direct + self.called + self.writes
    }
}

impl Measurement {
    /// Returns how long after `earlier` this is; `None` where they are of two daemons, and can't be compared.
    pub(super) fn span_since(&self, earlier: &Self) -> Option<Duration> {
        let span = self.uptime.checked_sub(earlier.uptime)?;
        (self.started == earlier.started && !span.is_zero()).then_some(span)
    }

    /// Returns the namespace of this name.
    pub(super) fn namespace(&self, name: &str) -> Option<&Namespace> {
        let place = self.namespaces.binary_search_by(|namespace| (*namespace.name).cmp(name)).ok()?;
        self.namespaces.get(place)
    }
}

impl From<&Stats> for Measurement {
    fn from(stats: &Stats) -> Self {
        let namespaces: Vec<_> = stats.namespaces.iter().map(Namespace::from).collect();
        let sum = |count: fn(&Traffic) -> u64| namespaces.iter().map(|namespace| count(&namespace.traffic)).sum();
        let traffic = Traffic {
            direct_hits: stats.reads.direct_hits,
            direct_misses: stats.reads.direct_misses,
            called_hits: sum(|traffic| traffic.called_hits),
            called_misses: sum(|traffic| traffic.called_misses),
            writes: sum(|traffic| traffic.writes),
        };
        Self {
            started: stats.daemon.started,
            uptime: Duration::from_millis(stats.daemon.uptime_ms),
            connections: stats.daemon.connections,
            leases: stats.store.leases,
            traffic,
            gauges: gauges(stats),
            latencies: latencies(stats),
            shortage: stats.store.shortage.map(|shortage| match shortage.of {
                Scarce::Disk => "no space left on the filesystem: nothing is added",
                Scarce::Index => "the index fills its map: nothing is added",
            }),
            namespaces,
        }
    }
}

impl From<&NamespaceStats> for Namespace {
    fn from(stats: &NamespaceStats) -> Self {
        let traffic = Traffic {
            direct_hits: stats.direct_hits,
            direct_misses: stats.direct_misses,
            called_hits: stats.hits,
            called_misses: stats.misses,
            writes: stats.adds + stats.deletes,
        };
        let NamespaceStats { ref name, entries, bytes, evicted, .. } = *stats;
        Self { name: name.clone(), entries, bytes, evicted, traffic, gauges: gauges_of(stats) }
    }
}

fn gauges(stats: &Stats) -> Vec<Gauge> {
    let space = &stats.space;
    let entries = Gauge { name: "entries", used: space.entries, limit: space.limit_entries, is_bytes: false };
    let readers = Gauge {
        name: "readers",
        used: stats.readers.places.max(stats.store.readers),
        limit: Some(stats.readers.places_max).filter(|most| *most > 0),
        is_bytes: false,
    };
    // The first five find room on the smallest screen.
    let all = [Gauge { limit: space.limit, ..bytes("disk", space.bytes) }].into_iter();
    let parts = [("index", space.index_bytes), ("log", space.log_bytes), ("values", space.blob_bytes)];
    let held = Gauge { limit: space.held_limit, ..bytes("held", space.held_bytes) };
    let limited = Some(entries).filter(|entries| entries.limit.is_some());
    all.chain(limited).chain(parts.map(|(name, used)| bytes(name, used))).chain([readers, held]).collect()
}

/// What a namespace takes, and what it may.
fn gauges_of(stats: &NamespaceStats) -> Vec<Gauge> {
    let space = &stats.space;
    vec![
        Gauge { limit: space.limit, ..bytes("disk", space.bytes) },
        Gauge { name: "entries", used: stats.entries, limit: space.limit_entries, is_bytes: false },
        bytes("held", space.held_bytes),
    ]
}

fn bytes(name: &'static str, used: u64) -> Gauge {
    Gauge { name, used, limit: None, is_bytes: true }
}

fn latencies(stats: &Stats) -> Vec<(&'static str, Latency)> {
    let calls = &stats.latency.calls;
    let told = [
        ("reads", &calls.reads),
        ("writes", &calls.writes),
        ("durable", &calls.durable_writes),
        ("bulk", &calls.bulk),
        ("frames", &stats.latency.frames),
        ("apply", &stats.latency.transactions),
        ("waits", &stats.latency.waits),
    ];
    told.map(|(name, latency)| (name, latency.clone())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::types::{DaemonStats, ReadStats};

    fn stats(started: u64, uptime_ms: u64, direct_hits: u64, misses: u64) -> Stats {
        let namespace = NamespaceStats { name: "n".into(), misses, adds: 5, deletes: 1, ..NamespaceStats::default() };
        let started = Timestamp::from_millis(started);
        Stats {
            namespaces: vec![namespace],
            reads: ReadStats { direct_hits, ..ReadStats::default() },
            daemon: DaemonStats { started, uptime_ms, ..DaemonStats::default() },
            ..Stats::default()
        }
    }

    #[test]
    fn what_happened_between_two_moments_is_told_by_the_second() {
        let [first, second] =
            [stats(1, 1_000, 100, 10), stats(1, 3_000, 130, 20)].map(|stats| Measurement::from(&stats));
        let span = second.span_since(&first).unwrap();
        let rates = second.traffic.since(&first.traffic, span);
        assert_eq!((rates.direct, rates.called, rates.writes, rates.hit_ratio), (15.0, 5.0, 0.0, Some(0.75)));
        assert_eq!(second.traffic.since(&second.traffic, span).hit_ratio, None);
        assert_eq!(second.namespace("n").map(|namespace| namespace.traffic.writes), Some(6));
        assert!(second.namespace("m").is_none());
    }

    #[test]
    fn another_daemon_and_the_same_moment_are_not_compared() {
        let [first, other, same] = [stats(1, 1_000, 1, 1), stats(2, 3_000, 1, 1), stats(1, 1_000, 1, 1)]
            .map(|stats| Measurement::from(&stats));
        assert_eq!(other.span_since(&first), None);
        assert_eq!(same.span_since(&first), None);
        assert_eq!(first.span_since(&Measurement { uptime: Duration::from_secs(9), ..first.clone() }), None);
    }
}
