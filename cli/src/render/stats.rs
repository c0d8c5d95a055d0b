//! Counters and sizes for people.

use datacache_proto::time::Timestamp;
use datacache_proto::types::{DaemonStats, Laggard, NamespaceStats, ReadStats, ReaderStats, Scarce, Stats, StoreStats};
use indicatif::{HumanBytes, HumanCount};

use super::aside::aside_line;
use super::compact::{ratio, span};
use super::human::distance;
use super::line::one_line;
use super::metric::{self, Metric, Unit};
use super::moment::rfc3339;
use super::space;
use super::stats_tables;
use super::table::aligned;

/// Returns a block for the only namespace, or a table of all, and one block each for all reads, the space, the store, its readers and the daemon,
/// with tables of what its work took.
pub(crate) fn plain(stats: &Stats) -> String {
    let namespaces = match &stats.namespaces[..] {
        [] => None,
        [only] => Some(namespace(only, stats.taken)),
        all => Some(stats_tables::namespaces(all, stats.taken)),
    };
    let aside = stats.store.moved_aside.as_ref().map(|aside| format!("lost index\n  {}\n", aside_line(aside)));
    let blocks = [
        namespaces,
        Some(reads(&stats.reads)),
        Some(space::block(&stats.space)),
        (stats.namespaces.len() > 1).then(|| space::table(&stats.namespaces)),
        Some(store(&stats.store)),
        Some(readers(&stats.readers)),
        Some(block("daemon", &daemon(&stats.daemon, stats.taken))),
        stats_tables::latencies(&stats.latency),
        stats_tables::frames(&stats.frames),
        stats.laggard.as_ref().map(laggard),
        aside,
    ];
    blocks.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn namespace(stats: &NamespaceStats, now: Timestamp) -> String {
    let mut rows: Vec<_> = metric::of_namespace(stats).iter().map(row).collect();
    let (hits, reads) = stats_tables::reads(stats);
    let oldest = match stats.oldest {
        Some(oldest) => moment(oldest, now),
        None if stats.entries == 0 => "none".to_owned(),
        None => "not found yet".to_owned(),
    };
    rows.extend(
        [("hit ratio", ratio(hits, reads)), ("oldest entry", oldest)].map(|(name, told)| [format!("  {name}"), told]),
    );
    rows.extend(space::limit_rows(&stats.space));
    block(&format!("namespace {}", one_line(&stats.name)), &rows)
}

fn daemon(stats: &DaemonStats, now: Timestamp) -> Vec<[String; 2]> {
    let mut rows: Vec<_> = metric::of_daemon(stats).iter().map(row).collect();
    if let Some(started) = rows.first_mut() {
        *started = ["  started".to_owned(), moment(stats.started, now)];
    }
    rows
}

fn readers(stats: &ReaderStats) -> String {
    let mut rows: Vec<_> = metric::of_readers(stats).iter().map(row).collect();
    if let Some([name, value]) = rows.last_mut() {
        *name = "  oldest read".to_owned();
        *value =
            stats.oldest_read_ms.map_or_else(|| "none".to_owned(), |millis| span(millis.saturating_mul(1_000_000)));
    }
    block("readers", &rows)
}

fn moment(moment: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", rfc3339(moment), distance(moment, now))
}

fn block(title: &str, rows: &[[String; 2]]) -> String {
    format!("{title}\n{}", aligned(rows))
}

/// What is short is told in words, and with what to do.
fn store(stats: &StoreStats) -> String {
    let told = stats.shortage.map_or_else(
        || "none".to_owned(),
        |shortage| {
            let what = match shortage.of {
                Scarce::Disk => "no space left on the filesystem",
                Scarce::Index => "the index fills its map",
            };
            format!(
                "{what}, since {}: nothing is added until space is freed, or entries are deleted",
                rfc3339(shortage.since)
            )
        },
    );
    let mut rows: Vec<_> = metric::of_store(stats).iter().map(row).collect();
    if let Some([_, value]) = rows.last_mut() {
        *value = told;
    }
    format!("store\n{}", aligned(&rows))
}

/// Told only where there is one.
fn laggard(laggard: &Laggard) -> String {
    let &Laggard { pid, is_stopped, since, grown_bytes } = laggard;
    let state = if is_stopped { ", which is stopped," } else { "" };
    format!(
        "laggard\n  process {pid}{state} has been in the middle of a read since {}; the index has grown by {} since, and\n  can't \
         use again what is freed until it goes on or ends\n",
        rfc3339(since),
        HumanBytes(grown_bytes)
    )
}

/// Reasons that never occurred are left out.
fn reads(stats: &ReadStats) -> String {
    let occurred = metric::of_fallbacks(stats).into_iter().filter(|(_, metric)| metric.value > 0);
    let by_call = occurred.map(|(reason, metric)| [format!("  by call ({reason})"), value(&metric)]);
    let rows: Vec<_> = metric::of_reads(stats).iter().map(row).chain(by_call).collect();
    format!("reads\n{}", aligned(&rows))
}

fn row(metric: &Metric) -> [String; 2] {
    [format!("  {}", metric.name.replace('_', " ")), value(metric)]
}

fn value(metric: &Metric) -> String {
    match metric.unit {
        Unit::Count => HumanCount(metric.value).to_string(),
        Unit::Bytes => HumanBytes(metric.value).to_string(),
        Unit::Millis => span(metric.value.saturating_mul(1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::aside::an_aside;
    use super::*;
    use datacache_proto::types::{Fallback, Shortage};

    #[test]
    fn blocks_name_what_they_count() {
        let namespace =
            NamespaceStats { name: "default".into(), entries: 12, bytes: 1536, hits: 3, ..NamespaceStats::default() };
        let store = StoreStats { blobs: 1, blob_bytes: 1 << 20, ..StoreStats::default() };
        let text = plain(&Stats { namespaces: vec![namespace], store, ..Stats::default() });
        let first = "namespace default\n  entries        12\n  bytes          1.50 KiB\n  hits           3\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("\n\nstore\n  index bytes           0 B\n"), "{text}");
        assert!(text.contains("\n  blobs                 1\n  blob bytes            1.00 MiB\n"), "{text}");
        assert!(text.contains("\n\ndaemon\n"), "{text}");
    }

    #[test]
    fn a_shortage_is_told_in_words_with_its_begin_and_none_as_none() {
        let page = |shortage| {
            let store = StoreStats { shortage, ..StoreStats::default() };
            plain(&Stats { store, ..Stats::default() })
        };
        assert!(page(None).contains("\n  shortage              none\n"), "{}", page(None));
        let since = Timestamp::from_millis(1_714_564_800_250);
        for (of, what) in [(Scarce::Disk, "no space left"), (Scarce::Index, "the index fills its map")] {
            let page = page(Some(Shortage { of, since }));
            let row = page.lines().find(|line| line.starts_with("  shortage  ")).unwrap();
            assert!(row.contains(what) && row.contains(", since 2024-05-01T12:00:00.250Z: "), "{page}");
        }
    }

    #[test]
    fn a_process_that_is_stopped_in_a_read_is_told_of_with_what_it_costs() {
        assert!(!plain(&Stats::default()).contains("laggard"));
        let since = Timestamp::from_millis(1_714_564_800_250);
        let laggard = Some(Laggard { pid: 77, is_stopped: true, since, grown_bytes: 3 << 20 });
        let text = plain(&Stats { laggard, ..Stats::default() });
        let told = "\nlaggard\n  process 77, which is stopped, has been in the middle of a read since 2024-05-01T12:00:00.250Z; \
                    the index has grown by 3.00 MiB since";
        assert!(text.contains(told), "{text}");
    }

    #[test]
    fn an_index_that_was_moved_aside_is_told_of_in_words() {
        assert!(!plain(&Stats::default()).contains("lost index"));
        let store = StoreStats { moved_aside: Some(an_aside()), ..StoreStats::default() };
        let text = plain(&Stats { store, ..Stats::default() });
        assert!(text.ends_with(&format!("\n\nlost index\n  {}\n", aside_line(&an_aside()))), "{text}");
    }

    #[test]
    fn reads_by_call_are_told_with_the_reasons_that_occurred() {
        let reads = ReadStats { direct_hits: 5, direct_misses: 0, fallbacks: vec![(Fallback::Filesystem, 7)] };
        let text = plain(&Stats { reads, ..Stats::default() });
        let block = "reads\n  direct hits           5\n  direct misses         0\n  by call (filesystem)  7\n\nspace\n";
        assert!(text.starts_with(block), "{text}");
    }
}

#[cfg(test)]
mod documented;
