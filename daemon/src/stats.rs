//! What the daemon counts of its own dealings, and how it is put together with what the store knows.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use datacache_proto::access::Reads;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{DaemonStats, Fallback, NamespaceStats, ReadStats, Stats};

use crate::daemon::Daemon;
use crate::store::{Store, StoreError};
use crate::writer::WriteError;

/// The most namespaces that are told of: with the longest names there are, 3 MiB, which fits a message.
const ROWS_MAX: usize = 9_000;

/// What happened in one namespace since the daemon began to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// Reads by call that found a live entry.
    pub(crate) hits: u64,
    /// Reads by call that found none.
    pub(crate) misses: u64,
    /// Entries added.
    pub(crate) adds: u64,
    /// Entries that a client removed.
    pub(crate) deletes: u64,
    /// Entries removed because their time was over.
    pub(crate) expired: u64,
    /// Entries removed to make room for others.
    pub(crate) evicted: u64,
}

/// The events of all namespaces, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct EventCounts(RefCell<HashMap<u32, Events>>);

impl EventCounts {
    /// Counts what happened in a namespace.
    pub(crate) fn count(&self, namespace: u32, change: impl FnOnce(&mut Events)) {
        change(self.0.borrow_mut().entry(namespace).or_default());
    }

    fn of(&self, namespace: u32) -> Events {
        self.0.borrow().get(&namespace).copied().unwrap_or_default()
    }
}

/// How many reads came by call, by the reason why the clients did not read themselves.
#[derive(Debug, Default)]
pub(crate) struct FallbackCounts([Cell<u64>; Fallback::ALL.len()]);

impl FallbackCounts {
    /// Counts `reads` that came for this reason.
    pub(crate) fn count(&self, fallback: Fallback, reads: u64) {
        let count = &self.0[fallback as usize];
        count.set(count.get() + reads);
    }

    /// Returns the reasons that occurred, each with how often.
    fn all(&self) -> Vec<(Fallback, u64)> {
        let count = |fallback: Fallback| (fallback, self.0[fallback as usize].get());
        Fallback::ALL.into_iter().map(count).filter(|(_, reads)| *reads > 0).collect()
    }
}

/// Puts together counters and sizes, all at one moment.
pub(crate) fn stats(daemon: &Daemon) -> Result<Stats, WriteError> {
    let now = Timestamp::now();
    daemon.writer.try_read(|store| {
        let namespaces = namespaces(daemon, store, now)?;
        let Reads { hits: direct_hits, misses: direct_misses } = store.all_reads();
        let reads = ReadStats { direct_hits, direct_misses, fallbacks: daemon.fallbacks.all() };
        Ok(Stats {
            namespaces,
            taken: now,
            reads,
            store: store.stats()?,
            daemon: dealings(daemon, store),
            laggard: daemon.laggards.current(),
            ..Stats::default()
        })
    })
}

fn namespaces(daemon: &Daemon, store: &Store, now: Timestamp) -> Result<Vec<NamespaceStats>, StoreError> {
    let mut rows = Vec::new();
    for (name, number) in store.namespaces() {
        let Events { hits, misses, adds, deletes, expired, evicted } = daemon.events.of(number);
        let (entries, bytes) = (store.len(number, now)?, store.counts(number).bytes);
        let Reads { hits: direct_hits, misses: direct_misses } = store.reads(number).unwrap_or_default();
        rows.push(NamespaceStats {
            name,
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
            oldest: None,
        });
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows.truncate(ROWS_MAX);
    Ok(rows)
}

fn dealings(daemon: &Daemon, store: &Store) -> DaemonStats {
    let counters = store.counters();
    DaemonStats {
        started: daemon.started,
        uptime_ms: u64::try_from(daemon.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        connections: daemon.connections.count() as u64,
        refused: daemon.refused.get(),
        calls: daemon.activity.count(),
        frames: counters.frames,
        operations: counters.operations,
        log_bytes: counters.log_bytes,
        segments: counters.segments,
        waits: counters.waits,
        damaged: counters.damaged,
    }
}
