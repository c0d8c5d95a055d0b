//! Open, one get, close: what a short program pays.

use crate::Fault;
use crate::bench::Bench;
use crate::diskcache::DiskCache;
use crate::ours::{Ours, fill};
use crate::outcome::{DISKCACHE, Outcome, US};
use crate::sizes::{grouped, key};
use crate::times::Times;

/// The row.
pub(crate) fn open(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let (entries, ops) = (bench.sizes.small, bench.sizes.slow_ops * 5);
    let mut outcome = Outcome::new("open", format!("open, one get, close, {} entries", grouped(entries)));
    let ours = Ours::start(&bench.place)?;
    // Closed again, so that nothing of it is left to be used.
    fill(&ours.open()?, entries)?;
    let work = |key: String| Ok(ours.open()?.get(key.as_str())?.ok_or("an entry is gone")?);
    outcome.add(US, Times::measure(ops, || key(fastrand::u64(..entries)), work)?.amounts());
    if let Some(python) = &bench.python {
        let mut diskcache = DiskCache::open(python, &bench.place)?;
        diskcache.fill(entries)?;
        outcome.add(DISKCACHE, diskcache.measure("open", entries, ops)?.amounts());
    }
    outcome.at_most("p50", 0.05, DISKCACHE);
    Ok(vec![outcome])
}
