//! Several processes at once on few keys: 90% get, 9% set, 1% delete, as in DiskCache's own benchmark.

use datacache_client::Stats;
use serde_json::{Value, json};

use crate::Fault;
use crate::bench::Bench;
use crate::diskcache::DiskCache;
use crate::ours::Ours;
use crate::outcome::{Amount, DISKCACHE, Outcome, US};
use crate::sizes::{VALUE, grouped};
use crate::talk::Talk;
use crate::times::Times;
use crate::worker;

/// An operation, and what our 99th percentile has to be of DiskCache's.
const VERBS: [(&str, Option<f64>); 3] = [("get", Some(0.1)), ("set", Some(0.05)), ("delete", None)];

/// The row.
pub(crate) fn storm(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let (processes, keys, ops) = bench.sizes.storm;
    let ours = Ours::start(&bench.place)?;
    let mut workers = (0..processes).map(|_| worker::start(&ours)).collect::<Result<Vec<_>, _>>()?;
    let answers = at_once(&mut workers, keys, ops)?;
    drop(workers);
    let theirs = match &bench.python {
        Some(python) => {
            let cache = DiskCache::open(python, &bench.place)?;
            let mut workers = (0..processes).map(|_| cache.join(python)).collect::<Result<Vec<_>, _>>()?;
            Some(at_once(&mut workers, keys, ops)?)
        }
        None => None,
    };
    let mut outcomes: Vec<_> =
        VERBS.iter().map(|(verb, most)| row(bench, verb, *most, &answers, theirs.as_deref())).collect();
    outcomes.push(lost(&ours, &answers, theirs.as_deref())?);
    Ok(outcomes)
}

/// Has all of them begin before the first answer is waited for.
fn at_once(workers: &mut [Talk], keys: u64, ops: u64) -> Result<Vec<Value>, Fault> {
    for (seed, worker) in workers.iter_mut().enumerate() {
        worker.tell(&json!({ "do": "storm", "keys": keys, "ops": ops, "size": VALUE, "seed": seed }))?;
    }
    workers.iter_mut().map(Talk::hear).collect()
}

fn row(bench: &Bench, verb: &'static str, most: Option<f64>, ours: &[Value], theirs: Option<&[Value]>) -> Outcome {
    let (processes, keys, _) = bench.sizes.storm;
    let mut outcome =
        Outcome::new(format!("storm {verb}"), format!("{verb} by {processes} processes at once, {keys} keys"));
    outcome.add(US, joined(ours, verb).amounts());
    if let Some(theirs) = theirs {
        outcome.add(DISKCACHE, joined(theirs, verb).amounts());
    }
    outcome.note("per second: of one process, as long as the others are at it too.");
    if let Some(most) = most {
        outcome.at_most("p99", most, DISKCACHE);
    }
    outcome
}

fn joined(answers: &[Value], verb: &str) -> Times {
    let mut all = Times::default();
    answers.iter().for_each(|answer| all.extend(nanoseconds(answer, verb)));
    all
}

fn nanoseconds<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = u64> + use<'a> {
    answer["ns"][name].as_array().into_iter().flatten().filter_map(Value::as_u64)
}

/// What the processes say that they did is what the daemon has counted.
fn lost(ours: &Ours, answers: &[Value], theirs: Option<&[Value]>) -> Result<Outcome, Fault> {
    let sum = |answers: &[Value], name: &str| answers.iter().flat_map(|answer| nanoseconds(answer, name)).sum::<u64>();
    let count = |name: &str| answers.iter().flat_map(|answer| nanoseconds(answer, name)).count() as u64;
    let deleted: u64 = answers.iter().filter_map(|answer| answer["deleted"].as_u64()).sum();
    let Stats { namespaces, reads, .. } = ours.open()?.stats()?;
    let counted = namespaces.first().ok_or("the daemon tells of no namespace")?;
    // Of all namespaces: a miss before the first entry belongs to none yet.
    let by_call = reads.fallbacks.iter().map(|(_, reads)| reads).sum::<u64>();
    let gets = reads.direct_hits + reads.direct_misses + by_call;
    let differences = [(gets, count("get")), (counted.adds, count("set")), (counted.deletes, deleted)];
    let failed = sum(answers, "lost");
    let lost = failed + differences.iter().map(|(counted, done)| counted.abs_diff(*done)).sum::<u64>();
    let mut outcome = Outcome::new("storm lost", "operations that failed, or that the daemon did not count");
    #[expect(clippy::cast_precision_loss, reason = "they are few")]
    let amount = |lost: u64| vec![("lost", Amount::Count(lost as f64))];
    outcome.add(US, amount(lost));
    if let Some(theirs) = theirs {
        outcome.add(DISKCACHE, amount(sum(theirs, "lost")));
    }
    outcome.below(US, "lost", Amount::Count(1.0));
    let [gets, adds, deletes] = differences.map(|(counted, done)| format!("{} of {}", grouped(counted), grouped(done)));
    outcome.note(format!(
        "datacache counted {gets} reads, {adds} additions and {deletes} deletions; {failed} calls failed."
    ));
    Ok(outcome)
}
