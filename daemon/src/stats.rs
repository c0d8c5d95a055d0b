//! What the daemon counts of its own dealings, and how it is put together with what the store knows.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use datacache_proto::access::Reads;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{DaemonStats, Fallback, LatencyStats, NamespaceStats, ReadStats, ReaderStats, Stats};

use tokio::task::yield_now;

use crate::daemon::Daemon;
use crate::oldest;
use crate::store::Store;
use crate::writer::WriteError;

/// The most namespaces that are told of: with the longest names and the largest numbers there are, 3.4 MiB, which fits a message.
const ROWS_MAX: usize = 9_000;
/// How many of them are looked at before others get their turn.
const ROWS_AT_ONCE: usize = 64;

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

/// Puts together counters and sizes.
///
/// # Errors
/// Where the index can't be read.
pub(crate) async fn stats(daemon: &Rc<Daemon>) -> Result<Box<Stats>, WriteError> {
    oldest::look(daemon).await?;
    let now = Timestamp::now();
    let namespaces = namespaces(daemon, now).await?;
    daemon.writer.try_read(|store| {
        let Reads { hits: direct_hits, misses: direct_misses } = store.all_reads();
        let reads = ReadStats { direct_hits, direct_misses, fallbacks: daemon.fallbacks.all() };
        Ok(Box::new(Stats {
            taken: now,
            namespaces,
            reads,
            store: store.stats()?,
            space: store.space(),
            daemon: dealings(daemon, store),
            readers: ReaderStats { oldest_read_ms: daemon.laggards.oldest_read().map(millis), ..store.reader_stats()? },
            latency: LatencyStats { calls: daemon.spans.latencies(), ..store.latency() },
            frames: store.frame_stats(),
            laggard: daemon.laggards.current(),
        }))
    })
}

/// Others get their turn now and then: there may be many namespaces, and many entries whose time has just come.
async fn namespaces(daemon: &Daemon, now: Timestamp) -> Result<Vec<NamespaceStats>, WriteError> {
    // By name, as the store has them.
    let all = daemon.writer.read(Store::namespaces)?;
    let mut rows = Vec::with_capacity(all.len().min(ROWS_MAX));
    for (at, (name, number)) in all.into_iter().enumerate() {
        if at % ROWS_AT_ONCE == ROWS_AT_ONCE - 1 {
            yield_now().await;
        }
        let row = namespace(daemon, name, number, now).await?;
        // A name is never forgotten, also where nothing has been in it for years.
        if !is_blank(&row) || daemon.config.borrow().rules.namespaces.contains_key(&row.name) {
            rows.push(row);
        }
        if rows.len() == ROWS_MAX {
            break;
        }
    }
    Ok(rows)
}

/// Tells whether a namespace has nothing, and nothing of it was counted.
fn is_blank(row: &NamespaceStats) -> bool {
    let reads = [row.hits, row.misses, row.direct_hits, row.direct_misses];
    let changes = [row.adds, row.deletes, row.expired, row.evicted];
    let counts = reads.into_iter().chain(changes).chain([row.entries, row.bytes, row.space.bytes]);
    counts.max() == Some(0)
}

async fn namespace(daemon: &Daemon, name: String, number: u32, now: Timestamp) -> Result<NamespaceStats, WriteError> {
    let mut count = daemon.writer.read(|store| store.begin_len(number, now))?;
    while daemon.writer.try_read(|store| store.go_on_with_len(&mut count))? {
        yield_now().await;
    }
    let entries = count.live();
    let Events { hits, misses, adds, deletes, expired } = daemon.events.of(number);
    let oldest = daemon.oldest.of(number).filter(|_| entries > 0);
    daemon.writer.read(|store| {
        let bytes = store.counts(number).bytes;
        let Reads { hits: direct_hits, misses: direct_misses } = store.reads(number).unwrap_or_default();
        NamespaceStats {
            name,
            entries,
            bytes,
            hits,
            misses,
            direct_hits,
            direct_misses,
            adds,
            deletes,
            expired: expired + store.expired_for_room(number),
            evicted: store.evicted(number),
            oldest,
            space: store.namespace_space(number),
        }
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn dealings(daemon: &Daemon, store: &Store) -> DaemonStats {
    let counters = store.counters();
    DaemonStats {
        started: daemon.started,
        uptime_ms: millis(daemon.began.elapsed()),
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
