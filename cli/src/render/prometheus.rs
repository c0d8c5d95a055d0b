//! Counters and sizes in Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

use datacache_proto::types::{Fallback, NamespaceStats, Stats};

use super::metric::{self, Kind, Metric};

/// Returns every number as `datacache_GROUP_NAME`, counters with `_total`; those of namespaces carry the label `namespace`,
/// reads by call the label `reason`.
pub(crate) fn exposition(stats: &Stats) -> String {
    let mut text = String::new();
    namespaces(&mut text, &stats.namespaces);
    plain(&mut text, "reads", &metric::of_reads(&stats.reads));
    fallbacks(&mut text, &metric::of_fallbacks(&stats.reads));
    plain(&mut text, "store", &metric::of_store(&stats.store));
    plain(&mut text, "daemon", &metric::of_daemon(&stats.daemon));
    text
}

fn plain(text: &mut String, group: &str, metrics: &[Metric]) {
    for metric in metrics {
        let name = head(text, group, metric);
        put(text, format_args!("{name} {}\n", metric.value));
    }
}

fn fallbacks(text: &mut String, reasons: &[(Fallback, Metric)]) {
    let Some((_, first)) = reasons.first() else { return };
    let name = head(text, "reads", first);
    for (reason, metric) in reasons {
        put(text, format_args!("{name}{{reason=\"{reason}\"}} {}\n", metric.value));
    }
}

/// All samples of a name have to stand together, so the namespaces take turns within each name.
fn namespaces(text: &mut String, rows: &[NamespaceStats]) {
    let Some(first) = rows.first() else { return };
    let columns: Vec<_> = rows.iter().map(metric::of_namespace).collect();
    for (index, metric) in metric::of_namespace(first).iter().enumerate() {
        let name = head(text, "namespace", metric);
        for (row, column) in rows.iter().zip(&columns) {
            put(text, format_args!("{name}{{namespace=\"{}\"}} {}\n", escaped(&row.name), column[index].value));
        }
    }
}

/// Writes what is said once about a name, and returns the name.
fn head(text: &mut String, group: &str, metric: &Metric) -> String {
    let (suffix, kind) = match metric.kind {
        Kind::Gauge => ("", "gauge"),
        Kind::Counter => ("_total", "counter"),
    };
    let name = format!("datacache_{group}_{}{suffix}", metric.name);
    put(text, format_args!("# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help));
    name
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("writing to a string can't fail");
}

/// Escapes the three characters that the format has escapes for in the value of a label.
fn escaped(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::types::{DaemonStats, ReadStats};
    use std::collections::BTreeSet;

    fn stats() -> Stats {
        let namespace = |name: &str, hits| NamespaceStats { name: name.into(), hits, ..NamespaceStats::default() };
        let daemon = DaemonStats { connections: 2, refused: 1, ..DaemonStats::default() };
        let namespaces = vec![namespace("default", 3), namespace(r#"a"b\c"#, 4)];
        let reads = ReadStats { direct_hits: 5, direct_misses: 6, fallbacks: vec![(Fallback::Layout, 7)] };
        Stats { namespaces, reads, daemon, ..Stats::default() }
    }

    #[test]
    fn samples_of_a_name_stand_together_below_its_help_and_type() {
        let hits = "# HELP datacache_namespace_hits_total Reads by call that found a live entry.
# TYPE datacache_namespace_hits_total counter
datacache_namespace_hits_total{namespace=\"default\"} 3
datacache_namespace_hits_total{namespace=\"a\\\"b\\\\c\"} 4
";
        let text = exposition(&stats());
        assert!(text.contains(hits), "{text}");
        assert!(text.contains("# TYPE datacache_daemon_connections gauge\ndatacache_daemon_connections 2\n"), "{text}");
    }

    #[test]
    fn reads_are_told_by_who_did_them_and_by_call_for_every_reason() {
        let text = exposition(&stats());
        assert!(text.contains("\ndatacache_reads_direct_hits_total 5\n"), "{text}");
        assert!(text.contains("\ndatacache_reads_direct_misses_total 6\n"), "{text}");
        for reason in Fallback::ALL {
            let count = if reason == Fallback::Layout { 7 } else { 0 };
            let sample = format!("\ndatacache_reads_fallbacks_total{{reason=\"{reason}\"}} {count}\n");
            assert!(text.contains(&sample), "{text}");
        }
        assert!(text.contains("datacache_namespace_direct_hits_total{namespace=\"default\"} 0\n"), "{text}");
    }

    #[test]
    fn every_name_is_introduced_exactly_once_and_every_line_is_well_formed() {
        let text = exposition(&stats());
        let mut introduced = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(introduced.insert(rest.split(' ').next().unwrap()), "{line}");
            } else if !line.starts_with("# HELP ") {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(introduced.contains(name), "{line}");
                assert!(line.rsplit(' ').next().unwrap().parse::<u64>().is_ok(), "{line}");
            }
        }
        assert!(text.ends_with('\n') && introduced.len() > 20);
    }

    #[test]
    fn a_store_without_namespaces_still_tells_about_itself() {
        let text = exposition(&Stats::default());
        assert!(text.starts_with("# HELP datacache_reads_") && text.contains("\n# HELP datacache_store_"), "{text}");
    }
}
