//! What the store and its namespaces take of the disk, and what they may: as named numbers, and as text for people.

use datacache_proto::types::{NamespaceSpace, NamespaceStats, ReserveStats, SpaceStats};
use indicatif::{HumanBytes, HumanCount};

use super::compact::{bytes, count, ratio};
use super::line::one_line;
use super::metric::{Metric, counter, gauge, size};
use super::stats_tables::titled;
use super::table::{aligned, cut};

/// The longest name in the table of namespaces, which is at most 80 columns wide with it.
const NAME_MAX: usize = 23;

// The structs are taken apart without `..`, so that a new field can't be forgotten here.

/// Returns the parts of what the store takes, each with its name.
pub(crate) fn parts(stats: &SpaceStats) -> [(&'static str, Metric); 3] {
    let help = "What the store takes of the disk, by what it is for.";
    [("index", stats.index_bytes), ("log", stats.log_bytes), ("blobs", stats.blob_bytes)]
        .map(|(part, bytes)| (part, size("bytes", bytes, help)))
}

/// Returns the other numbers of what the store takes.
pub(crate) fn of_space(stats: &SpaceStats) -> [Metric; 8] {
    let &SpaceStats {
        bytes: _,
        index_bytes: _,
        log_bytes: _,
        blob_bytes: _,
        spare_bytes,
        entries,
        held_bytes,
        held_entries,
        limit: _,
        limit_entries: _,
        held_limit: _,
        held_limit_entries: _,
        policy: _,
        reserve,
        waits,
        refused,
    } = stats;
    let ReserveStats { bytes: reserve, free } = reserve;
    [
        gauge("entries", entries, "Entries, expired ones included until they are removed."),
        size("held_bytes", held_bytes, "Bytes of the disk that pinned and bound entries take."),
        gauge("held_entries", held_entries, "Entries that are pinned or bound."),
        size("spare_bytes", spare_bytes, "Bytes of the disk that the index's file has besides, which are free."),
        size("reserve_bytes", reserve, "Bytes of the filesystem that are to stay free for others."),
        size("free_bytes", free, "Bytes of the filesystem that are free."),
        counter("waits", waits, "Calls that waited until room was made."),
        counter("refused", refused, "Calls that were refused because no room could be made."),
    ]
}

/// Returns the limits of the store, those that there are.
pub(crate) fn of_limits(stats: &SpaceStats) -> impl Iterator<Item = Metric> {
    let limits = [
        stats.limit.map(|limit| size("bytes", limit, "Bytes of the disk that the store may take at the moment.")),
        stats.limit_entries.map(|limit| gauge("entries", limit, "Entries that there may be.")),
        stats
            .held_limit
            .map(|limit| size("held_bytes", limit, "Bytes of the disk that pinned and bound entries may take.")),
        stats
            .held_limit_entries
            .map(|limit| gauge("held_entries", limit, "Pinned and bound entries that there may be.")),
    ];
    limits.into_iter().flatten()
}

/// Returns what a namespace takes.
pub(crate) fn of_namespace(space: &NamespaceSpace) -> [Metric; 2] {
    let &NamespaceSpace { bytes, held_bytes, limit: _, limit_entries: _, policy: _ } = space;
    [
        size("space_bytes", bytes, "Bytes of the disk that the entries take."),
        size("held_bytes", held_bytes, "Bytes of the disk that pinned and bound entries take."),
    ]
}

/// Returns what a namespace may take, where it has a limit of its own.
pub(crate) fn limit_of_namespace(space: &NamespaceSpace) -> Option<Metric> {
    space.limit.map(|limit| size("limit_bytes", limit, "Bytes of the disk that the entries may take."))
}

/// Returns how many entries a namespace may have, where it has a limit of its own.
pub(crate) fn limit_entries_of_namespace(space: &NamespaceSpace) -> Option<Metric> {
    space.limit_entries.map(|limit| gauge("limit_entries", limit, "Entries that there may be."))
}

/// Returns the block about the store.
pub(crate) fn block(stats: &SpaceStats) -> String {
    let of =
        |told: String, limit: Option<String>| limit.map_or_else(|| told.clone(), |limit| format!("{told} of {limit}"));
    let size = |bytes: u64| HumanBytes(bytes).to_string();
    let number = |count: u64| HumanCount(count).to_string();
    let share = stats.limit.map(|limit| format!(" ({})", share(stats.bytes, limit))).unwrap_or_default();
    let rows = [
        ("taken", of(size(stats.bytes), stats.limit.map(size)) + &share),
        ("index", size(stats.index_bytes)),
        ("log", size(stats.log_bytes)),
        ("blob files", size(stats.blob_bytes)),
        ("spare", size(stats.spare_bytes)),
        ("entries", of(number(stats.entries), stats.limit_entries.map(number))),
        ("held", of(size(stats.held_bytes), stats.held_limit.map(size))),
        ("held entries", of(number(stats.held_entries), stats.held_limit_entries.map(number))),
        ("policy", one_line(&stats.policy).into_owned()),
        ("disk", format!("{} free, {} stay free for others", size(stats.reserve.free), size(stats.reserve.bytes))),
        ("waits", number(stats.waits)),
        ("refused", number(stats.refused)),
    ];
    format!("space\n{}", aligned(&rows.map(|(name, told)| [format!("  {name}"), told])))
}

/// Returns how much of a limit is taken, which may be more than all of it after it was lowered.
fn share(taken: u64, limit: u64) -> String {
    let percent = u128::from(taken) * 100 / u128::from(limit.max(1));
    if taken > limit { format!("{percent}%") } else { ratio(taken, limit) }
}

/// Returns the rows that the block of the only namespace has besides its numbers: its limits, where it has some of its own.
pub(crate) fn limit_rows(space: &NamespaceSpace) -> Vec<[String; 2]> {
    let limit = space.limit.map(|limit| ["  limit".to_owned(), HumanBytes(limit).to_string()]);
    let entries = space.limit_entries.map(|limit| ["  limit entries".to_owned(), HumanCount(limit).to_string()]);
    let policy = ["  policy".to_owned(), one_line(&space.policy).into_owned()];
    limit.into_iter().chain(entries).chain([policy]).collect()
}

/// Returns a line for each namespace: what it takes, and what it may.
pub(crate) fn table(rows: &[NamespaceStats]) -> String {
    let head = ["", "on disk", "limit", "held", "entries", "limit", "policy"].map(str::to_owned);
    let line = |row: &NamespaceStats| {
        let NamespaceSpace { bytes: taken, held_bytes, limit, limit_entries, policy } = &row.space;
        let told = |limit: Option<u64>, tell: fn(u64) -> String| limit.map_or_else(|| "-".to_owned(), tell);
        [
            cut(&one_line(&row.name), NAME_MAX).into_owned(),
            bytes(*taken),
            told(*limit, bytes),
            bytes(*held_bytes),
            count(row.entries),
            told(*limit_entries, count),
            one_line(policy).into_owned(),
        ]
    };
    titled("space", [head].into_iter().chain(rows.iter().map(line)).collect(), 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_told_beside_what_may_be() {
        let full = SpaceStats {
            bytes: 3 << 28,
            index_bytes: 1 << 28,
            log_bytes: 5,
            blob_bytes: 1 << 29,
            spare_bytes: 1 << 21,
            entries: 1_204,
            held_bytes: 1 << 20,
            held_entries: 17,
            limit: Some(1 << 30),
            limit_entries: Some(5_000),
            held_limit: Some(1 << 29),
            held_limit_entries: Some(2_500),
            policy: "s3-fifo".into(),
            reserve: ReserveStats { bytes: 1 << 30, free: 34 << 30 },
            waits: 3,
            refused: 1,
        };
        let expected = "space
  taken         768.00 MiB of 1.00 GiB (75.0%)
  index         256.00 MiB
  log           5 B
  blob files    512.00 MiB
  spare         2.00 MiB
  entries       1,204 of 5,000
  held          1.00 MiB of 512.00 MiB
  held entries  17 of 2,500
  policy        s3-fifo
  disk          34.00 GiB free, 1.00 GiB stay free for others
  waits         3
  refused       1
";
        assert_eq!(block(&full), expected);
        let above = block(&SpaceStats { bytes: 2_210 << 20, ..full.clone() });
        assert!(above.contains(" of 1.00 GiB (215%)\n"), "{above}");
        let free = SpaceStats { limit: None, limit_entries: None, held_limit: None, held_limit_entries: None, ..full };
        assert!(block(&free).starts_with("space\n  taken         768.00 MiB\n") && !block(&free).contains(" of "));
    }

    #[test]
    fn namespaces_with_and_without_limits_line_up_in_eighty_columns() {
        let row =
            |name: &str, space| NamespaceStats { name: name.into(), entries: 12, space, ..NamespaceStats::default() };
        let small = NamespaceSpace { bytes: 3 << 20, policy: "lru".into(), ..NamespaceSpace::default() };
        let text = table(&[row("default", small.clone()), row("b", NamespaceSpace { limit: Some(1 << 30), ..small })]);
        let expected = "space       on disk     limit  held  entries  limit  policy
  default  3.00 MiB         -   0 B       12      -     lru
  b        3.00 MiB  1.00 GiB   0 B       12      -     lru
";
        assert_eq!(text, expected);
        let [bytes, limit] = [u64::MAX, u64::MAX].map(Some);
        let widest = NamespaceSpace {
            bytes: u64::MAX,
            held_bytes: u64::MAX,
            limit: bytes,
            limit_entries: limit,
            policy: "s3-fifo".into(),
        };
        let text = table(&[NamespaceStats { entries: u64::MAX, ..row(&"long ".repeat(20), widest) }]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
