//! Counters and sizes in Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

use datacache_proto::types::{
    Fallback, FrameStats, Latency, LatencyStats, NamespaceSpace, NamespaceStats, Sizes, SpaceStats, Stats,
};

use super::metric::{self, Kind, Metric, Unit};
use super::space;
use super::stats_tables::calls_by_class;

/// How many namespaces have samples of their own. A server keeps each that it ever saw.
const NAMESPACES_MAX: usize = 200;

/// Returns every number as `datacache_GROUP_NAME`, counters with `_total`; those of namespaces carry the label `namespace`,
/// reads by call the label `reason`, the space of the store the label `part`, latencies of calls the label `class`.
///
/// Of many namespaces the largest are told one by one, and what the others have together under the name that none has: the empty one.
pub(crate) fn exposition(stats: &Stats) -> String {
    let mut text = String::new();
    namespaces(&mut text, &largest(&stats.namespaces));
    plain(&mut text, "reads", &metric::of_reads(&stats.reads));
    fallbacks(&mut text, &metric::of_fallbacks(&stats.reads));
    space(&mut text, &stats.space);
    plain(&mut text, "store", &metric::of_store(&stats.store));
    plain(&mut text, "readers", &metric::of_readers(&stats.readers));
    plain(&mut text, "daemon", &metric::of_daemon(&stats.daemon));
    latencies(&mut text, &stats.latency);
    frames(&mut text, &stats.frames);
    text
}

fn latencies(text: &mut String, stats: &LatencyStats) {
    let LatencyStats { calls, frames, transactions, waits } = stats;
    let name = "datacache_call_duration_seconds";
    introduce(text, name, "How long calls took, by what they are for.", "histogram");
    for (class, latency) in calls_by_class(calls) {
        histogram(text, name, &format!("class=\"{class}\""), &Steps::of_latency(latency));
    }
    for (name, latency, help) in [
        (
            "datacache_frame_duration_seconds",
            frames,
            "How long frames of the log took to be decided on, written and published.",
        ),
        ("datacache_transaction_duration_seconds", transactions, "How long transactions of the index took."),
        ("datacache_wait_duration_seconds", waits, "How long writers waited for a segment to be applied."),
    ] {
        introduce(text, name, help, "histogram");
        histogram(text, name, "", &Steps::of_latency(latency));
    }
}

fn frames(text: &mut String, stats: &FrameStats) {
    let FrameStats { operations, batches } = stats;
    for (name, sizes, help) in [
        ("datacache_frame_operations", operations, "Operations in a frame of the log."),
        ("datacache_frame_batches", batches, "Batches in a frame of the log."),
    ] {
        introduce(text, name, help, "histogram");
        histogram(text, name, "", &Steps::of_sizes(sizes));
    }
}

/// A histogram as Prometheus wants it.
struct Steps<'s> {
    /// The upper bounds.
    bounds: Vec<String>,
    /// How many are in each step, and in one more for what is beyond.
    counts: &'s [u64],
    sum: String,
}

impl<'s> Steps<'s> {
    fn of_latency(latency: &'s Latency) -> Self {
        let bounds = Latency::BOUNDS_NS.map(in_seconds).to_vec();
        Self { bounds, counts: &latency.steps, sum: in_seconds(latency.sum_ns) }
    }

    fn of_sizes(sizes: &'s Sizes) -> Self {
        let bounds = Sizes::BOUNDS.map(|bound| bound.to_string()).to_vec();
        Self { bounds, counts: &sizes.steps, sum: sizes.sum.to_string() }
    }
}

/// IMPORTANT: all of it is made of the same counts. The number of all has to be that of the last bucket.
fn histogram(text: &mut String, name: &str, label: &str, steps: &Steps<'_>) {
    let (mut sum, comma) = (0_u64, if label.is_empty() { "" } else { "," });
    let bounds = steps.bounds.iter().map(String::as_str).chain(["+Inf"]);
    for (bound, count) in bounds.zip(steps.counts.iter().chain(std::iter::repeat(&0))) {
        sum = sum.saturating_add(*count);
        put(text, format_args!("{name}_bucket{{{label}{comma}le=\"{bound}\"}} {sum}\n"));
    }
    let label = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
    put(text, format_args!("{name}_sum{label} {}\n{name}_count{label} {sum}\n", steps.sum));
}

/// Returns nanoseconds as seconds, exactly.
fn in_seconds(nanoseconds: u64) -> String {
    let text = format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn number(metric: &Metric) -> String {
    match metric.unit {
        Unit::Count | Unit::Bytes => metric.value.to_string(),
        Unit::Millis => in_seconds(metric.value.saturating_mul(1_000_000)),
    }
}

fn plain(text: &mut String, group: &str, metrics: &[Metric]) {
    for metric in metrics {
        let name = head(text, group, metric);
        put(text, format_args!("{name} {}\n", number(metric)));
    }
}

fn fallbacks(text: &mut String, reasons: &[(Fallback, Metric)]) {
    let Some((_, first)) = reasons.first() else { return };
    let name = head(text, "reads", first);
    for (reason, metric) in reasons {
        put(text, format_args!("{name}{{reason=\"{reason}\"}} {}\n", metric.value));
    }
}

fn space(text: &mut String, stats: &SpaceStats) {
    let parts = space::parts(stats);
    let name = head(text, "space", &parts[0].1);
    for (part, metric) in &parts {
        put(text, format_args!("{name}{{part=\"{part}\"}} {}\n", number(metric)));
    }
    plain(text, "space", &space::of_space(stats));
    plain(text, "limit", &space::of_limits(stats).collect::<Vec<_>>());
}

/// Returns the largest namespaces by name, and one for all others where there are any.
fn largest(rows: &[NamespaceStats]) -> Vec<NamespaceStats> {
    let mut rows = rows.to_vec();
    if rows.len() > NAMESPACES_MAX {
        rows.sort_by(|a, b| (b.bytes, b.entries, &a.name).cmp(&(a.bytes, a.entries, &b.name)));
        let others = rows.split_off(NAMESPACES_MAX).iter().fold(NamespaceStats::default(), together);
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows.push(others);
    }
    rows
}

fn together(all: NamespaceStats, one: &NamespaceStats) -> NamespaceStats {
    NamespaceStats {
        name: all.name,
        entries: all.entries.saturating_add(one.entries),
        bytes: all.bytes.saturating_add(one.bytes),
        hits: all.hits.saturating_add(one.hits),
        misses: all.misses.saturating_add(one.misses),
        direct_hits: all.direct_hits.saturating_add(one.direct_hits),
        direct_misses: all.direct_misses.saturating_add(one.direct_misses),
        adds: all.adds.saturating_add(one.adds),
        deletes: all.deletes.saturating_add(one.deletes),
        expired: all.expired.saturating_add(one.expired),
        evicted: all.evicted.saturating_add(one.evicted),
        oldest: all.oldest.into_iter().chain(one.oldest).min(),
        space: NamespaceSpace {
            bytes: all.space.bytes.saturating_add(one.space.bytes),
            held_bytes: all.space.held_bytes.saturating_add(one.space.held_bytes),
            ..all.space
        },
    }
}

/// All samples of a name have to stand together, so the namespaces take turns within each name.
fn namespaces(text: &mut String, rows: &[NamespaceStats]) {
    let Some(first) = rows.first() else { return };
    let columns: Vec<_> = rows.iter().map(metric::of_namespace).collect();
    for (index, metric) in metric::of_namespace(first).iter().enumerate() {
        let name = head(text, "namespace", metric);
        for (row, column) in rows.iter().zip(&columns) {
            put(text, format_args!("{name}{{namespace=\"{}\"}} {}\n", escaped(&row.name), number(&column[index])));
        }
    }
    some_namespaces(text, rows, |row| metric::of_oldest(row.oldest));
    some_namespaces(text, rows, |row| space::limit_of_namespace(&row.space));
    some_namespaces(text, rows, |row| space::limit_entries_of_namespace(&row.space));
}

/// Namespaces without the number have no sample.
fn some_namespaces(text: &mut String, rows: &[NamespaceStats], number_of: impl Fn(&NamespaceStats) -> Option<Metric>) {
    let mut name = None;
    for (row, metric) in rows.iter().filter_map(|row| Some((row, number_of(row)?))) {
        let name = name.get_or_insert_with(|| head(text, "namespace", &metric));
        put(text, format_args!("{name}{{namespace=\"{}\"}} {}\n", escaped(&row.name), number(&metric)));
    }
}

/// Writes what is said once about a name, and returns the name.
fn head(text: &mut String, group: &str, metric: &Metric) -> String {
    let (suffix, kind) = match metric.kind {
        Kind::Gauge => ("", "gauge"),
        Kind::Counter => ("_total", "counter"),
    };
    let name = format!("datacache_{group}_{}{suffix}", metric.name);
    introduce(text, &name, metric.help, kind);
    name
}

fn introduce(text: &mut String, name: &str, help: &str, kind: &str) {
    put(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
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
    use datacache_proto::time::Timestamp;
    use datacache_proto::types::{CallLatencies, DaemonStats, ReadStats};
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
                let of_histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
                assert!(introduced.contains(name) || introduced.contains(of_histogram.unwrap_or_default()), "{line}");
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            }
        }
        assert!(text.ends_with('\n') && introduced.len() > 20);
    }

    #[test]
    fn a_histogram_sums_up_its_steps_and_ends_with_all() {
        let mut reads = Latency { count: 3, sum_ns: 12_003_500_000, ..Latency::default() };
        (reads.steps[0], reads.steps[1], reads.steps[22]) = (1, 1, 1);
        let calls = CallLatencies { reads, ..CallLatencies::default() };
        let latency = LatencyStats { calls, ..LatencyStats::default() };
        let text = exposition(&Stats { latency, ..Stats::default() });
        let name = "datacache_call_duration_seconds";
        assert!(text.contains(&format!("# TYPE {name} histogram\n")), "{text}");
        for (bound, count) in [("0.000001", 1), ("0.000002", 2), ("0.01", 2), ("10", 2), ("+Inf", 3)] {
            let line = format!("\n{name}_bucket{{class=\"reads\",le=\"{bound}\"}} {count}\n");
            assert!(text.contains(&line), "{line}: {text}");
        }
        let end = format!("\n{name}_sum{{class=\"reads\"}} 12.0035\n{name}_count{{class=\"reads\"}} 3\n");
        assert!(text.contains(&end), "{text}");
        assert!(text.contains("\ndatacache_frame_operations_bucket{le=\"16384\"} 0\n"), "{text}");
    }

    #[test]
    fn of_very_many_namespaces_the_largest_are_told_and_the_others_as_one() {
        let row = |number: u64| NamespaceStats {
            name: format!("{number:04}"),
            bytes: number,
            adds: 1,
            oldest: Some(Timestamp::from_millis(1_000_000 - number * 500)),
            ..NamespaceStats::default()
        };
        let namespaces: Vec<_> = (1..=1_000).map(row).collect();
        let text = exposition(&Stats { namespaces, ..Stats::default() });
        let samples = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
        assert_eq!(samples("datacache_namespace_adds_total"), NAMESPACES_MAX + 1);
        for sample in [
            "datacache_namespace_adds_total{namespace=\"0801\"} 1",
            "datacache_namespace_adds_total{namespace=\"\"} 800",
            "datacache_namespace_bytes{namespace=\"\"} 320400",
            "datacache_namespace_oldest_entry_timestamp_seconds{namespace=\"\"} 600",
            "datacache_namespace_oldest_entry_timestamp_seconds{namespace=\"0999\"} 500.5",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample}: {text}");
        }
        assert!(!text.contains("namespace=\"0800\""));
    }

    #[test]
    fn space_is_told_by_its_parts_and_limits_only_where_there_are_some() {
        let text = exposition(&stats());
        assert!(text.contains("\ndatacache_space_bytes{part=\"log\"} 0\n") && !text.contains("limit_"), "{text}");
        let mut limited = stats();
        limited.space = SpaceStats { blob_bytes: 7, limit: Some(9), limit_entries: Some(5), ..SpaceStats::default() };
        limited.namespaces[1].space = NamespaceSpace { bytes: 3, limit: Some(8), ..NamespaceSpace::default() };
        let text = exposition(&limited);
        for sample in [
            "datacache_space_bytes{part=\"blobs\"} 7",
            "datacache_limit_bytes 9",
            "datacache_limit_entries 5",
            "datacache_space_waits_total 0",
            "datacache_namespace_space_bytes{namespace=\"a\\\"b\\\\c\"} 3",
            "datacache_namespace_limit_bytes{namespace=\"a\\\"b\\\\c\"} 8",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample}: {text}");
        }
        assert!(!text.contains("namespace_limit_bytes{namespace=\"default\"}") && !text.contains("limit_held"));
    }

    #[test]
    fn a_store_without_namespaces_still_tells_about_itself() {
        let text = exposition(&Stats::default());
        assert!(text.starts_with("# HELP datacache_reads_") && text.contains("\n# HELP datacache_store_"), "{text}");
    }
}
