//! Counters and sizes for people.

use datacache_proto::types::{ReadStats, Scarce, Stats, StoreStats};
use indicatif::HumanBytes;

use super::line::one_line;
use super::metric::{self, Metric, Unit};
use super::moment::rfc3339;
use super::table::aligned;

/// Returns one block for each namespace, and one each for all reads, the store and the daemon.
pub(crate) fn plain(stats: &Stats) -> String {
    let namespaces = stats.namespaces.iter().map(|namespace| {
        let title = format!("namespace {}", one_line(&namespace.name));
        block(&title, &metric::of_namespace(namespace))
    });
    let rest = [reads(&stats.reads), store(&stats.store), block("daemon", &metric::of_daemon(&stats.daemon))];
    namespaces.chain(rest).collect::<Vec<_>>().join("\n")
}

fn block(title: &str, metrics: &[Metric]) -> String {
    format!("{title}\n{}", aligned(&metrics.iter().map(row).collect::<Vec<_>>()))
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
        Unit::Count => metric.value.to_string(),
        Unit::Bytes => HumanBytes(metric.value).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::time::Timestamp;
    use datacache_proto::types::{Fallback, NamespaceStats, Shortage};

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
    fn reads_by_call_are_told_with_the_reasons_that_occurred() {
        let reads = ReadStats { direct_hits: 5, direct_misses: 0, fallbacks: vec![(Fallback::Filesystem, 7)] };
        let text = plain(&Stats { reads, ..Stats::default() });
        let block = "reads\n  direct hits           5\n  direct misses         0\n  by call (filesystem)  7\n\nstore\n";
        assert!(text.starts_with(block), "{text}");
    }
}
