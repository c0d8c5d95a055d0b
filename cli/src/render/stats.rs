//! Counters and sizes for people.

use datacache_proto::types::Stats;
use indicatif::HumanBytes;

use super::line::one_line;
use super::metric::{self, Metric, Unit};
use super::table::aligned;

/// Returns one block for each namespace, one for the store and one for the daemon.
pub(crate) fn plain(stats: &Stats) -> String {
    let namespaces = stats.namespaces.iter().map(|namespace| {
        let title = format!("namespace {}", one_line(&namespace.name));
        block(&title, &metric::of_namespace(namespace))
    });
    let rest = [block("store", &metric::of_store(&stats.store)), block("daemon", &metric::of_daemon(&stats.daemon))];
    namespaces.chain(rest).collect::<Vec<_>>().join("\n")
}

fn block(title: &str, metrics: &[Metric]) -> String {
    let rows: Vec<_> =
        metrics.iter().map(|metric| [format!("  {}", metric.name.replace('_', " ")), value(metric)]).collect();
    format!("{title}\n{}", aligned(&rows))
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
    use datacache_proto::types::{NamespaceStats, StoreStats};

    #[test]
    fn blocks_name_what_they_count() {
        let namespace =
            NamespaceStats { name: "default".into(), entries: 12, bytes: 1536, hits: 3, ..NamespaceStats::default() };
        let store = StoreStats { blobs: 1, blob_bytes: 1 << 20, ..StoreStats::default() };
        let text = plain(&Stats { namespaces: vec![namespace], store, ..Stats::default() });
        let first = "namespace default\n  entries  12\n  bytes    1.50 KiB\n  hits     3\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("\n\nstore\n  index bytes           0 B\n"), "{text}");
        assert!(text.contains("\n  blobs                 1\n  blob bytes            1.00 MiB\n"), "{text}");
        assert!(text.contains("\n\ndaemon\n"), "{text}");
    }
}
