//! The start of the daemon with many entries, after a clean end and after a kill, and its memory.

use std::time::Duration;

use crate::bench::Bench;
use crate::ours::{Ours, fill};
use crate::outcome::{Amount, Outcome, US};
use crate::rows::burst::add;
use crate::sizes::grouped;
use crate::times::Times;
use crate::{Fault, stop};

/// How often a clean start is measured; the middle one counts.
const TIMES: u32 = 5;
const MEBIBYTE: f64 = (1 << 20) as f64;

/// The rows.
pub(crate) fn start(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let entries = bench.sizes.million;
    let mut ours = Ours::start(&bench.place)?;
    fill(&ours.open()?, entries)?;
    let memory = memory(&ours)?;
    let clean = clean(&mut ours, entries)?;
    let killed = killed(bench, &mut ours, entries)?;
    Ok(vec![clean, killed, memory])
}

fn memory(ours: &Ours) -> Result<Outcome, Fault> {
    let mut outcome = Outcome::new("memory", "private memory of the daemon after full segments were applied");
    #[expect(clippy::cast_precision_loss, reason = "three digits are told")]
    let private = ours.private_memory()? as f64;
    outcome.add(US, vec![("private", Amount::Bytes(private))]);
    outcome.below(US, "private", Amount::Bytes(20.0 * MEBIBYTE));
    outcome.note(format!("{} segments were applied.", ours.open()?.stats()?.daemon.segments));
    Ok(outcome)
}

fn clean(ours: &mut Ours, entries: u64) -> Result<Outcome, Fault> {
    let title = format!("start to READY with {} entries, after a clean end", grouped(entries));
    let mut outcome = Outcome::new("start clean", title);
    let mut times = Times::default();
    for _ in 0..TIMES {
        stop::check()?;
        ours.stop()?;
        times.record(ours.resume()?);
    }
    outcome.add(US, times.middle());
    outcome.below(US, "p50", Amount::Nanoseconds(50e6));
    Ok(outcome)
}

/// The log is fullest when a writer has to wait: one segment is being applied, and the next one is full.
fn killed(bench: &Bench, ours: &mut Ours, entries: u64) -> Result<Outcome, Fault> {
    let title = format!("start to READY with {} entries, after kill -9 with full segments", grouped(entries));
    let mut outcome = Outcome::new("start killed", title);
    let cache = ours.open()?;
    let before = cache.stats()?;
    let mut most = 0;
    // Many times what two segments hold; a small trial stops sooner.
    for begin in (0..entries).step_by(bench.sizes.batch) {
        stop::check()?;
        add(&cache, entries + begin..entries + begin + bench.sizes.batch as u64, bench.sizes.batch)?;
        let stats = cache.stats()?;
        most = stats.store.unapplied_operations;
        if stats.daemon.waits > before.daemon.waits {
            break;
        }
    }
    drop(cache);
    ours.kill()?;
    let took = ours.resume()?;
    let len = ours.open()?.len()?;
    outcome.add(US, vec![("time", time(took))]);
    outcome.below(US, "time", Amount::Nanoseconds(3e9));
    outcome.note(format!(
        "Up to {} operations were in the log alone; {} entries are there.",
        grouped(most),
        grouped(len)
    ));
    Ok(outcome)
}

#[expect(clippy::cast_precision_loss, reason = "three digits are told")]
fn time(took: Duration) -> Amount {
    Amount::Nanoseconds(took.as_nanos() as f64)
}
