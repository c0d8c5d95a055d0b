//! What a run found: an object for programs, a table for people.

use std::fmt::Write as _;

use serde::Serialize;

use super::plan::{LARGE, Plan};
use super::samples::Figures;

/// The names of the rows of the floor.
const LMDB_GET: &str = "lmdb_get";
const SOCKET_PING: &str = "socket_ping";
const SOCKET_PING_POLLED: &str = "socket_ping_polled";

/// All figures of a run; scripts rely on the names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    /// The build that was measured.
    pub(crate) build: &'static str,
    /// How many entries the namespace had.
    pub(crate) entries: u64,
    /// The length of their values in bytes.
    pub(crate) value_size: usize,
    /// The length of large values in bytes.
    pub(crate) large_size: usize,
    /// How many operations each process did for a row of small values.
    pub(crate) ops: u64,
    /// How many processes were at it at once.
    pub(crate) processes: u32,
    /// What two readings of the clock take, in nanoseconds; it is in all figures.
    pub(crate) clock_ns: u64,
    /// Whether `get` read the map, or had to fall back to calls.
    pub(crate) direct: bool,
    #[serde(flatten)]
    pub(crate) rows: Rows,
    /// What the machine can do.
    pub(crate) floor: Floor,
}

/// The figures of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Rows {
    pub(crate) get: Figures,
    pub(crate) get_recent: Figures,
    pub(crate) get_rpc: Figures,
    pub(crate) set: Figures,
    pub(crate) delete: Figures,
    pub(crate) get_large: Figures,
    pub(crate) set_large: Figures,
}

/// The figures of what it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Floor {
    pub(crate) lmdb_get: Figures,
    pub(crate) socket_ping: Figures,
    pub(crate) socket_ping_polled: Figures,
}

impl Report {
    /// Puts the figures together with what was asked for.
    pub(crate) fn new(plan: &Plan, processes: u32, clock_ns: u64, direct: bool, rows: Rows, floor: Floor) -> Self {
        let &Plan { entries, value_size, ops, .. } = plan;
        let build = datacache_proto::BUILD;
        Self { build, entries, value_size, large_size: LARGE, ops, processes, clock_ns, direct, rows, floor }
    }

    /// Returns the table, with each row's relation to its floor in words.
    pub(crate) fn plain(&self) -> String {
        let mut text = self.head();
        let columns = ["", "p50 µs", "p90 µs", "p99 µs", "per second"].map(str::to_owned);
        let lines = self.lines();
        let names = lines.iter().map(|line| line.0.chars().count()).max().unwrap_or_default();
        let rows = std::iter::once((columns, String::new())).chain(lines.into_iter().map(Line::cells));
        for (cells, words) in rows {
            let [name, p50, p90, p99, rate] = cells;
            let line = format!("{name:names$}  {p50:>9}  {p90:>9}  {p99:>9}  {rate:>11}  {words}");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn head(&self) -> String {
        let mut head = format!(
            "{} entries of {} bytes, {} operations a row, {}; the clock is {} ns of each figure\n\n",
            self.entries,
            self.value_size,
            self.ops,
            if self.processes == 1 { "1 process".to_owned() } else { format!("{} processes at once", self.processes) },
            self.clock_ns,
        );
        if !self.direct {
            head.push_str("get could not read the map and went by call; `datacache stats` tells why\n\n");
        }
        head
    }

    fn lines(&self) -> [Line; 10] {
        let Self { rows, floor, .. } = self;
        let polled = (&floor.socket_ping_polled, SOCKET_PING_POLLED);
        [
            Line::of_cache("get", &rows.get, (&floor.lmdb_get, LMDB_GET)),
            Line::of_cache("get_recent", &rows.get_recent, (&floor.lmdb_get, LMDB_GET)),
            Line::of_cache("get_rpc", &rows.get_rpc, polled),
            Line::of_cache("set", &rows.set, polled),
            Line::of_cache("delete", &rows.delete, polled),
            Line("get_large", rows.get_large, format!("{} MiB, as a map", LARGE >> 20)),
            Line("set_large", rows.set_large, throughput(&rows.set_large)),
            Line(LMDB_GET, floor.lmdb_get, "a bare look into LMDB, in this process".into()),
            Line(SOCKET_PING, floor.socket_ping, "64 bytes to another process and back, both asleep".into()),
            Line(SOCKET_PING_POLLED, floor.socket_ping_polled, "the same, both polling".into()),
        ]
    }
}

/// A row of the table: its name, figures, and what they mean.
struct Line(&'static str, Figures, String);

impl Line {
    fn of_cache(name: &'static str, figures: &Figures, (floor, of): (&Figures, &str)) -> Self {
        let mut words = String::new();
        if floor.p50_us > 0.0 {
            write!(words, "{:.1} times {of}", figures.p50_us / floor.p50_us).expect("writing to a string can't fail");
        }
        Self(name, *figures, words)
    }

    fn cells(self) -> ([String; 5], String) {
        let Self(name, Figures { p50_us, p90_us, p99_us, per_s }, words) = self;
        ([name.to_owned(), time(p50_us), time(p90_us), time(p99_us), format!("{per_s:.0}")], words)
    }
}

/// Three digits are what is measured.
fn time(micros: f64) -> String {
    let digits = if micros < 10.0 { 2 } else { usize::from(micros < 100.0) };
    format!("{micros:.digits$}")
}

#[expect(clippy::cast_precision_loss, reason = "the length of a large value is a small number")]
fn throughput(figures: &Figures) -> String {
    let rate = LARGE as f64 * figures.per_s / f64::from(1 << 20);
    format!("{} MiB, hashed and written: {rate:.0} MiB/s", LARGE >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::json;

    fn figures(p50_us: f64) -> Figures {
        Figures { p50_us, p90_us: p50_us * 1.5, p99_us: p50_us * 20.0, per_s: (1e6 / p50_us).round() }
    }

    fn report() -> Report {
        let [get, get_recent, get_rpc, set, delete, get_large, set_large] =
            [0.6, 0.8, 50.0, 15.0, 12.0, 9.0, 2_000.0].map(figures);
        let [lmdb_get, socket_ping, socket_ping_polled] = [0.4, 78.0, 5.0].map(figures);
        let plan = Plan { namespace: "n".into(), entries: 10_000, value_size: 100, ops: 20_000 };
        let rows = Rows { get, get_recent, get_rpc, set, delete, get_large, set_large };
        Report::new(&plan, 1, 48, true, rows, Floor { lmdb_get, socket_ping, socket_ping_polled })
    }

    #[test]
    fn each_row_is_set_against_its_floor() {
        let text = report().plain();
        let line = |name: &str| text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        assert_eq!(line("get"), "get                      0.60       0.90       12.0      1666667  1.5 times lmdb_get");
        assert!(line("get_recent").ends_with("2.0 times lmdb_get"), "{text}");
        assert!(line("get_rpc").ends_with("10.0 times socket_ping_polled"), "{text}");
        assert!(line("set_large").ends_with("1 MiB, hashed and written: 500 MiB/s"), "{text}");
        assert!(!text.contains("fall") && text.contains("1 process; the clock is 48 ns"), "{text}");
    }

    #[test]
    fn reads_that_had_to_go_by_call_are_not_shown_as_if_they_had_not() {
        let text = Report { direct: false, processes: 8, ..report() }.plain();
        assert!(
            text.contains("\nget could not read the map and went by call; `datacache stats` tells why\n"),
            "{text}"
        );
        assert!(text.contains(", 8 processes at once;"), "{text}");
    }

    #[test]
    fn programs_find_every_row_under_its_name() {
        let line = json::to_line(&report());
        let get = r#""get":{"p50_us":0.6,"p90_us":0.8999999999999999,"p99_us":12.0,"per_s":1666667.0}"#;
        assert!(line.contains(get), "{line}");
        for name in [
            "get_recent",
            "get_rpc",
            "set",
            "delete",
            "get_large",
            "set_large",
            "lmdb_get",
            "socket_ping",
            "socket_ping_polled",
        ] {
            assert!(line.contains(&format!(r#""{name}":{{"p50_us":"#)), "{name}: {line}");
        }
        assert!(line.contains(r#""floor":{"lmdb_get""#) && line.contains(r#""clock_ns":48"#), "{line}");
    }
}
