//! What was measured, and how it is told.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::cleanup::Cleanup;
use crate::neighbour::{CALLS, Times};

/// What came of a clean-up.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) cleanup: Cleanup,
    /// How many entries went.
    pub(crate) entries: i64,
    /// How long the neighbour's calls took before.
    pub(crate) before: Times,
    /// The same beside it.
    pub(crate) during: Times,
    /// How long it took.
    pub(crate) took: Duration,
    /// What the store took on the disk before, after that, and once the space was given back.
    pub(crate) bytes: [u64; 3],
    /// How long it took until that was so.
    pub(crate) given_back: Option<Duration>,
}

impl Outcome {
    /// Prints it as Markdown.
    pub(crate) fn print(&self) {
        let Self { cleanup, entries, took, .. } = self;
        println!("\n`{}` of {entries} entries: {:.1} s\n", cleanup.name(), took.as_secs_f64());
        println!("| neighbour's call | p50 before | p99 before | worst before | p50 | p99 | worst | calls |");
        println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        for ((call, before), during) in CALLS.iter().zip(&self.before).zip(&self.during) {
            let cells: Vec<_> = [before, during].into_iter().flat_map(figures).map(micros).collect();
            println!("| {call} | {} | {} |", cells.join(" | "), during.len());
        }
        let [full, emptied, left] = self.bytes.map(|bytes| bytes >> 20);
        let given_back =
            self.given_back.map_or("in the end".to_owned(), |after| format!("{:.0} s later", after.as_secs_f64()));
        println!("\non the disk: {full} MiB full, {emptied} MiB after it, {left} MiB {given_back}");
    }

    /// Returns it as JSON.
    pub(crate) fn json(&self) -> Value {
        let times = |times: &Times| -> Value {
            let calls = CALLS.iter().zip(times).map(|(call, times)| {
                let [p50, p99, worst] = figures(times);
                ((*call).to_owned(), json!({ "calls": times.len(), "p50_ns": p50, "p99_ns": p99, "worst_ns": worst }))
            });
            calls.collect::<serde_json::Map<_, _>>().into()
        };
        let [full, emptied, left] = self.bytes;
        json!({
            "cleanup": self.cleanup.name(),
            "entries": self.entries,
            "took_s": self.took.as_secs_f64(),
            "before": times(&self.before),
            "during": times(&self.during),
            "bytes": { "full": full, "emptied": emptied, "left": left },
            "given_back_s": self.given_back.map(|after| after.as_secs_f64()),
        })
    }
}

/// Returns the median, the 99th percentile and the worst.
fn figures(times: &Histogram<u64>) -> [u64; 3] {
    [times.value_at_quantile(0.5), times.value_at_quantile(0.99), times.max()]
}

fn micros(nanoseconds: u64) -> String {
    match nanoseconds {
        0..10_000 => format!("{}.{} µs", nanoseconds / 1_000, nanoseconds % 1_000 / 100),
        10_000..10_000_000 => format!("{} µs", nanoseconds / 1_000),
        _ => format!("{} ms", nanoseconds / 1_000_000),
    }
}
