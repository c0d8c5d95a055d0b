//! A get of a large value as a map.

use std::time::Instant;

use datacache_client::blocking::DataCache;

use crate::Fault;
use crate::bench::Bench;
use crate::ours::{Ours, settle};
use crate::outcome::{Amount, Outcome, US};
use crate::rows::large;
use crate::times::Times;

/// What a get of a large value has to stay below, in nanoseconds.
const GOAL: Amount = Amount::Nanoseconds(50_000.0);

const PAGE: usize = 4_096;
/// How much longer it may take for a value of the greater length.
const SAME: f64 = 1.2;

/// The rows, one for each length.
pub(crate) fn mapped(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let ours = Ours::start(&bench.place)?;
    let cache = ours.open()?;
    let [short, long] = bench.sizes.mapped;
    let short = row(bench, &cache, short)?;
    let mut long = row(bench, &cache, long)?;
    let ratio = long.amount(US, "p50").zip(short.amount(US, "p50")).map(|(long, short)| long / short);
    long.goal(format!("the same for both lengths: at most {SAME} ×"), ratio, |ratio| ratio <= SAME);
    Ok(vec![short, long])
}

fn row(bench: &Bench, cache: &DataCache, length: u64) -> Result<Outcome, Fault> {
    let mut outcome = Outcome::new("mapped", format!("get of {} MiB as a map", length >> 20));
    let path = large::file(bench, length)?;
    cache.add_file(&path).key("large").run()?;
    std::fs::remove_file(&path)?;
    settle(cache)?;
    let work = |()| Ok(cache.get("large")?.ok_or("the entry is gone")?);
    outcome.add(US, Times::measure(bench.sizes.slow_ops * 10, || (), work)?.amounts());
    let begun = Instant::now();
    let value = cache.get("large")?.ok_or("the entry is gone")?;
    let sum: u64 = value.chunks(PAGE).map(|page| u64::from(page[0])).sum();
    outcome.note(format!("With a look at every page it takes {:.1?} (sum {sum}).", begun.elapsed()));
    outcome.below(US, "p50", GOAL);
    Ok(outcome)
}
