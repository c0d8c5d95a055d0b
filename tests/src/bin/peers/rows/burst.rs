//! Many values, many at a time.

use std::time::{Duration, Instant};

use datacache_client::Stats;
use datacache_client::blocking::DataCache;

use crate::bench::Bench;
use crate::ours::{Ours, settle};
use crate::outcome::{Amount, Outcome, REDIS, US};
use crate::sizes::{VALUE, grouped, key, value};
use crate::times::Times;
use crate::{Fault, redis, stop};

/// How often a burst is repeated; the middle one counts.
const TIMES: u64 = 5;
const PIPELINED: &str = "Redis, 64 in flight";

/// A burst into a cache that has nothing else to do, beside Redis' own benchmark.
pub(crate) fn burst(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let (values, batch) = (bench.sizes.burst, bench.sizes.batch);
    let title = format!("burst of {} values of {VALUE} B, {} at a time", grouped(values), grouped(batch as u64));
    let mut outcome = Outcome::new("burst", title);
    let ours = Ours::start(&bench.place)?;
    let cache = ours.open()?;
    let mut rates = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        add(&cache, 0..values, batch)?;
        rates.push(rate(values, begun.elapsed()));
        // The next one finds an empty log again.
        settle(&cache)?;
    }
    outcome.add(US, middle(rates));
    if let Some(program) = &bench.redis {
        let server = redis::start(program, &bench.place)?;
        let rates = (0..TIMES).map(|_| redis::pipelined(&server, values)).collect::<Result<_, _>>()?;
        outcome.add(PIPELINED, middle(rates));
    } else {
        outcome.note(format!("{REDIS} is missing."));
    }
    outcome.rate(1.5, PIPELINED);
    Ok(vec![outcome])
}

/// A minute of it: what is applied to the index has to keep up.
pub(crate) fn minute(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let Some(seconds) = bench.sizes.seconds else { return Ok(Vec::new()) };
    let mut outcome = Outcome::new("minute", format!("values of {VALUE} B without a break for {seconds} s"));
    let ours = Ours::start(&bench.place)?;
    let cache = ours.open()?;
    let (batch, begun) = (bench.sizes.batch as u64, Instant::now());
    let mut calls = Times::default();
    let mut added = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        stop::check()?;
        let at = Instant::now();
        add(&cache, added..added + batch, bench.sizes.batch)?;
        calls.record(at.elapsed());
        added += batch;
    }
    let took = begun.elapsed();
    let Stats { daemon, store, .. } = cache.stats()?;
    let settling = Instant::now();
    settle(&cache)?;
    let mut amounts = vec![("per second", Amount::PerSecond(rate(added, took)))];
    amounts
        .extend([("call p50", Amount::Nanoseconds(calls.at(0.5))), ("call p99", Amount::Nanoseconds(calls.at(0.99)))]);
    amounts.extend([("worst call", Amount::Nanoseconds(calls.at(1.0)))]);
    outcome.add(US, amounts);
    outcome.note(format!(
        "{} segments were applied meanwhile, writers waited {} times; {} operations were left and took {:.1?}.",
        daemon.segments,
        daemon.waits,
        grouped(store.unapplied_operations),
        settling.elapsed(),
    ));
    Ok(vec![outcome])
}

/// Adds values, a batch a call.
pub(crate) fn add(cache: &DataCache, numbers: std::ops::Range<u64>, batch: usize) -> Result<(), Fault> {
    let end = numbers.end;
    for begin in numbers.step_by(batch) {
        let batch = begin..end.min(begin + batch as u64);
        cache.add_many(batch.map(|number| (key(number), value(number)))).run()?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "nobody reads 53 bits of a rate")]
fn rate(values: u64, took: Duration) -> f64 {
    values as f64 / took.as_secs_f64()
}

fn middle(mut rates: Vec<f64>) -> Vec<(&'static str, Amount)> {
    rates.sort_by(f64::total_cmp);
    let at = |index: usize| Amount::PerSecond(rates[index]);
    vec![("per second", at(rates.len() / 2)), ("least", at(0)), ("most", at(rates.len() - 1))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_bursts_the_middle_one_counts() {
        let amounts = middle(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        let numbers: Vec<_> = amounts.iter().map(|(_, amount)| *amount).collect();
        assert_eq!(numbers, [3.0, 1.0, 5.0].map(Amount::PerSecond));
    }
}
