//! The tables of `stats`: a line for each namespace, for each kind of work and what it took, and for what shares a frame. None is
//! wider than 80 columns.

use datacache_proto::time::Timestamp;
use datacache_proto::types::{CallLatencies, FrameStats, Latency, LatencyStats, NamespaceStats, Sizes};

use super::compact::{age, bytes, count, cut, ratio, span};
use super::line::one_line;
use super::table::numbers;

/// How wide a table may be, and its first column at least where there is not enough room for two blanks between columns.
const WIDTH: usize = 80;
const NAME_MIN: usize = 12;
/// What stands before each line.
const INDENT: &str = "  ";

/// Returns a line for each namespace. Names that are too long are cut.
pub(crate) fn namespaces(rows: &[NamespaceStats], now: Timestamp) -> String {
    const HEAD: [&str; 10] =
        ["", "entries", "size", "oldest", "reads", "hits", "adds", "deletes", "expired", "evicted"];
    let mut table = vec![HEAD.map(str::to_owned)];
    table.extend(rows.iter().map(|row| namespace(row, now)));
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let rest: usize = (1..HEAD.len()).map(width).sum();
    let room = |gap: usize| WIDTH.saturating_sub(INDENT.len() + rest + gap * (HEAD.len() - 1));
    let gap = if width(0) <= room(2) || room(2) >= NAME_MIN { 2 } else { 1 };
    for row in &mut table {
        row[0] = cut(&row[0], room(gap)).into_owned();
    }
    titled("namespaces", table, gap)
}

fn namespace(row: &NamespaceStats, now: Timestamp) -> [String; 10] {
    let (hits, reads) = reads(row);
    [
        one_line(&row.name).into_owned(),
        count(row.entries),
        bytes(row.bytes),
        row.oldest.map_or_else(|| if row.entries == 0 { "-" } else { "?" }.to_owned(), |oldest| age(now.since(oldest))),
        count(reads),
        ratio(hits, reads),
        count(row.adds),
        count(row.deletes),
        count(row.expired),
        count(row.evicted),
    ]
}

/// Returns how many reads found something, and how many there were, those by clients themselves included.
pub(crate) fn reads(row: &NamespaceStats) -> (u64, u64) {
    let hits = row.hits.saturating_add(row.direct_hits);
    (hits, hits.saturating_add(row.misses).saturating_add(row.direct_misses))
}

/// Returns all latencies, each with its name. The struct is taken apart without `..`, so that a new field can't be forgotten here.
pub(crate) fn all_latencies(stats: &LatencyStats) -> [(&'static str, &Latency); 10] {
    let LatencyStats { calls, frames, transactions, waits } = stats;
    let [reads, writes, durable, bulk, looks, transfers, others] = calls_by_class(calls).map(|(_, latency)| latency);
    [
        ("reads", reads),
        ("writes", writes),
        ("durable writes", durable),
        ("bulk", bulk),
        ("looks", looks),
        ("transfers", transfers),
        ("others", others),
        ("frames", frames),
        ("transactions", transactions),
        ("waits", waits),
    ]
}

/// Returns the latencies of calls, each with the name that programs know its class by.
pub(crate) fn calls_by_class(calls: &CallLatencies) -> [(&'static str, &Latency); 7] {
    let CallLatencies { reads, writes, durable_writes, bulk, looks, transfers, others } = calls;
    [
        ("reads", reads),
        ("writes", writes),
        ("durable_writes", durable_writes),
        ("bulk", bulk),
        ("looks", looks),
        ("transfers", transfers),
        ("others", others),
    ]
}

/// Returns what everything took that happened; `None` where nothing did.
pub(crate) fn latencies(stats: &LatencyStats) -> Option<String> {
    let row = |(name, latency): (&str, &Latency)| {
        let Latency { count: times, sum_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, steps: _ } = latency;
        let [p50, p90, p99, p999, max, sum] = [p50_ns, p90_ns, p99_ns, p999_ns, max_ns, sum_ns].map(|ns| span(*ns));
        [name.to_owned(), count(*times), p50, p90, p99, p999, max, sum]
    };
    figures("latency", all_latencies(stats).into_iter().filter(|(_, latency)| latency.count > 0).map(row))
}

/// Returns how much shared a frame; `None` where there was none.
pub(crate) fn frames(stats: &FrameStats) -> Option<String> {
    let FrameStats { operations, batches } = stats;
    let row = |(name, sizes): (&str, &Sizes)| {
        let Sizes { count: times, sum, p50, p90, p99, p999, max, steps: _ } = sizes;
        let [times, p50, p90, p99, p999, max, sum] =
            [times, p50, p90, p99, p999, max, sum].map(|number| count(*number));
        [name.to_owned(), times, p50, p90, p99, p999, max, sum]
    };
    let rows = [("operations", operations), ("batches", batches)].into_iter();
    figures("frames", rows.filter(|(_, sizes)| sizes.count > 0).map(row))
}

fn figures(title: &str, rows: impl Iterator<Item = [String; 8]>) -> Option<String> {
    let head = ["", "count", "p50", "p90", "p99", "p99.9", "max", "sum"].map(str::to_owned);
    let table: Vec<_> = [head].into_iter().chain(rows).collect();
    (table.len() > 1).then(|| titled(title, table, 2))
}

/// Puts a title into the corner, which is free, and sets all below it off by [`INDENT`].
pub(super) fn titled<const N: usize>(title: &str, mut table: Vec<[String; N]>, gap: usize) -> String {
    let (begin, rest) = title.split_at(INDENT.len());
    table[0][0] = rest.to_owned();
    let text = numbers(&table, gap);
    let indents = [begin].into_iter().chain(std::iter::repeat(INDENT));
    text.lines().zip(indents).map(|(line, indent)| format!("{indent}{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_714_564_800_000);

    fn row(name: &str) -> NamespaceStats {
        NamespaceStats { name: name.into(), ..NamespaceStats::default() }
    }

    #[test]
    fn each_namespace_has_a_line_with_its_hits_whoever_read_and_the_age_of_its_oldest_entry() {
        let busy = NamespaceStats {
            entries: 1_234_567,
            bytes: 3 << 29,
            hits: 1,
            misses: 1,
            direct_hits: 97,
            direct_misses: 1,
            adds: 45_678,
            expired: 12,
            oldest: Some(Timestamp::from_millis(NOW.as_millis() - 7_300_000)),
            ..row("default")
        };
        let unknown = NamespaceStats { entries: 5, ..row("new") };
        let text = namespaces(&[busy, row("none"), unknown], NOW);
        let words: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0][..5], ["namespaces", "entries", "size", "oldest", "reads"], "{text}");
        assert_eq!(
            words[1],
            ["default", "1.23M", "1.50", "GiB", "2h", "100", "98.0%", "45.7k", "0", "12", "0"],
            "{text}"
        );
        assert_eq!(words[2], ["none", "0", "0", "B", "-", "0", "-", "0", "0", "0", "0"], "{text}");
        assert_eq!(words[3][4], "?", "{text}");
    }

    #[test]
    fn tables_take_eighty_columns_whatever_is_in_them_and_cut_names_visibly() {
        let full = NamespaceStats {
            entries: u64::MAX,
            bytes: u64::MAX,
            oldest: Some(Timestamp::from_millis(1)),
            hits: u64::MAX - 2,
            misses: 1,
            adds: u64::MAX,
            deletes: u64::MAX,
            expired: u64::MAX,
            evicted: u64::MAX,
            ..row(&"long name ".repeat(9))
        };
        let text = namespaces(&[full.clone(), row("a\nb")], NOW);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("  long name l… ") && text.contains("  a\\nb "), "{text}");

        let longest = 3_000_000_000_000_000;
        let latency = Latency {
            count: u64::MAX,
            sum_ns: longest,
            p50_ns: 640,
            p90_ns: 999_400,
            p99_ns: 999_400_000,
            p999_ns: 59_940_000_000,
            max_ns: 3_600_000_000_000,
            ..Latency::default()
        };
        let calls = CallLatencies { durable_writes: latency.clone(), ..CallLatencies::default() };
        let text = latencies(&LatencyStats { calls, waits: latency, ..LatencyStats::default() }).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.lines().count(), 3, "what never happened is left out: {text}");
    }

    #[test]
    fn figures_stand_below_their_names() {
        let operations = Sizes { count: 2, sum: 30, p50: 10, p90: 20, p99: 20, p999: 20, max: 20, ..Sizes::default() };
        let text = frames(&FrameStats { operations, ..FrameStats::default() }).unwrap();
        let expected = "frames        count  p50  p90  p99  p99.9  max  sum\n  operations      2   10   20   20     20   20   30\n";
        assert_eq!(text, expected);
        assert_eq!((frames(&FrameStats::default()), latencies(&LatencyStats::default())), (None, None));
    }
}
