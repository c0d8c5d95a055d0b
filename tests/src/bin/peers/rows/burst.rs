//! Many values, many at a time.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use datacache_client::Stats;
use datacache_client::blocking::DataCache;
use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::ours::{Ours, settle};
use crate::outcome::{Amount, Outcome, REDIS, US};
use crate::sizes::{VALUE, grouped, key, value};
use crate::times::Times;
use crate::{Fault, redis, stop};

/// How often a burst is repeated; the middle one counts.
const TIMES: u64 = 5;
const PIPELINED: &str = "Redis, 64 in flight";
const WAITING: &str = "datacache, a call at a time";
/// How many calls of a burst are under way at a time.
const IN_FLIGHT: usize = 4;

/// A burst into a cache that has nothing else to do, beside Redis' own benchmark: what a program does that has many values, and one
/// that waits for each call.
pub(crate) fn burst(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let (values, batch) = (bench.sizes.burst, bench.sizes.batch);
    let title = format!("burst of {} values of {VALUE} B, {} at a time", grouped(values), grouped(batch as u64));
    let mut outcome = Outcome::new("burst", title);
    let ours = Ours::start(&bench.place)?;
    let cache = ours.open()?;
    let redis = bench.redis.as_ref().map(|program| redis::start(program, &bench.place)).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asynchronous = runtime.block_on(datacache_client::DataCache::open(ours.options()))?;
    let (mut in_flight, mut waiting, mut pipelined) = (Vec::new(), Vec::new(), Vec::new());
    // In turn, or they would not see the same machine.
    for _ in 0..TIMES {
        in_flight.push(timed(values, || runtime.block_on(add_in_flight(&asynchronous, values, batch)))?);
        // The next one finds an empty log again.
        settle(&cache)?;
        waiting.push(timed(values, || add(&cache, 0..values, batch))?);
        settle(&cache)?;
        pipelined.extend(redis.as_ref().map(|server| redis::pipelined(server, values)).transpose()?);
    }
    outcome.add(US, middle(in_flight));
    outcome.add(WAITING, middle(waiting));
    match redis {
        Some(_) => outcome.add(PIPELINED, middle(pipelined)),
        None => outcome.note(format!("{REDIS} is missing.")),
    }
    outcome.note(format!("{US}: the asynchronous client, {IN_FLIGHT} calls under way; then the blocking one."));
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

/// Adds values, a batch a call, several calls under way at a time.
async fn add_in_flight(cache: &datacache_client::DataCache, values: u64, batch: usize) -> Result<(), Fault> {
    let mut adding = JoinSet::new();
    for begin in (0..values).step_by(batch) {
        if adding.len() == IN_FLIGHT {
            adding.join_next().await.transpose()?.transpose()?;
        }
        let batch = begin..values.min(begin + batch as u64);
        adding.spawn(cache.add_many(batch.map(|number| (key(number), value(number)))).into_future());
        // It is sent before the next one is made.
        tokio::task::yield_now().await;
    }
    while let Some(added) = adding.join_next().await {
        added??;
    }
    Ok(())
}

/// Returns how many values a second were added.
fn timed(values: u64, add: impl FnOnce() -> Result<(), Fault>) -> Result<f64, Fault> {
    let begun = Instant::now();
    add()?;
    Ok(rate(values, begun.elapsed()))
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
