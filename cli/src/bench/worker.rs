//! Does the operations on the cache, in this process.

use std::time::{Duration, Instant};

use datacache_client::blocking::DataCache;
use datacache_client::{Expire, Options, Value};

use super::floor::expect_length;
use super::meter::Meter;
use super::plan::{Course, LARGE, Plan};
use super::row::Row;
use super::samples::Samples;
use crate::failure::Failure;

/// When an entry goes whose run was killed before it could clear up.
const LIFETIME: Expire = Expire::After(Duration::from_secs(3_600));
/// How long a call looks for its answer. Whoever reads the store directly is told by the daemon, whose default this is; a cache that
/// does not, can't count who else calls, and would not look at all if it were not told here.
const BUSY_POLL: Duration = Duration::from_micros(50);
/// How long what was just added is taken for recent, and is then added anew: the daemon applies the log every few seconds.
const RECENT: Duration = Duration::from_millis(500);
/// The most values that are added by one call, and about how many bytes.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;

/// One of the processes of a run, and its way to the cache.
pub(crate) struct Worker<'a> {
    direct: DataCache,
    by_call: DataCache,
    plan: Plan,
    number: u32,
    meter: Meter<'a>,
}

impl<'a> Worker<'a> {
    /// Opens the cache twice: as everybody does, and without the map.
    ///
    /// # Errors
    /// Where there is no daemon for us.
    pub(crate) fn open(options: &Options, plan: Plan, number: u32, meter: Meter<'a>) -> Result<Self, Failure> {
        let options = options.clone().namespace(&plan.namespace);
        let by_call = DataCache::open(options.clone().direct(false).busy_poll(BUSY_POLL))?;
        Ok(Self { direct: DataCache::open(options)?, by_call, plan, number, meter })
    }

    /// Does what has to be there before a row can be measured; it does not count.
    ///
    /// # Errors
    /// Where the cache refuses, and [`Failure::Interrupted`].
    pub(crate) fn prepare(&self, row: Row) -> Result<(), Failure> {
        match row {
            Row::Get | Row::GetRpc | Row::Set | Row::GetLarge => Ok(()),
            Row::GetRecent => self.add_recent(),
            Row::Delete => {
                let keys = (0..Meter::all_of(row.count(self.plan.ops))).map(|number| Plan::doomed(self.number, number));
                fill(&self.direct, &self.plan, keys, self.meter)
            }
            Row::SetLarge => Plan::all_large(self.number)
                .zip(0..)
                .try_for_each(|(key, number)| self.set(key, Plan::large_value(number))),
        }
    }

    /// Measures a row.
    ///
    /// # Errors
    /// Where the cache refuses, or the entries are not what they should be, and [`Failure::Interrupted`].
    pub(crate) fn measure(&self, row: Row) -> Result<Samples, Failure> {
        let count = row.count(self.plan.ops);
        match row {
            Row::Get => self.measure_get(&self.direct, count),
            Row::GetRecent => self.measure_get_recent(count),
            Row::GetRpc => self.measure_get(&self.by_call, count),
            Row::Set => self.measure_set(count),
            Row::Delete => self.measure_delete(count),
            Row::SetLarge => self.measure_set_large(count),
            Row::GetLarge => self.measure_get_large(count),
        }
    }

    fn measure_get(&self, cache: &DataCache, count: u64) -> Result<Samples, Failure> {
        let mut course = self.course();
        let prepare = || Plan::key(course.next().unwrap_or_default());
        let work = |key: String| Ok(cache.get(key.as_str())?);
        self.meter.measure(count, prepare, work, |value| expect_length(value.as_deref(), self.plan.value_size))
    }

    fn measure_get_recent(&self, count: u64) -> Result<Samples, Failure> {
        let mut course = Course::new(self.number, self.plan.recent_entries());
        let prepare = || Plan::recent(self.number, course.next().unwrap_or_default());
        let work = |key: String| Ok(self.direct.get(key.as_str())?);
        let mut added = Instant::now();
        let check = |value: Option<Value>| {
            if added.elapsed() >= RECENT {
                self.add_recent()?;
                added = Instant::now();
            }
            expect_length(value.as_deref(), self.plan.value_size)
        };
        self.meter.measure(count, prepare, work, check)
    }

    fn add_recent(&self) -> Result<(), Failure> {
        let keys = (0..self.plan.recent_entries()).map(|number| Plan::recent(self.number, number));
        fill(&self.direct, &self.plan, keys, self.meter)
    }

    fn measure_set(&self, count: u64) -> Result<Samples, Failure> {
        let mut course = self.course();
        let prepare = || {
            let number = course.next().unwrap_or_default();
            (Plan::key(number), self.plan.value(number))
        };
        self.meter.measure(count, prepare, |(key, value)| self.set(key, value), Ok)
    }

    fn measure_delete(&self, count: u64) -> Result<Samples, Failure> {
        let mut numbers = 0..;
        let prepare = || Plan::doomed(self.number, numbers.next().unwrap_or_default());
        let work = |key: String| Ok(self.direct.delete(key.as_str())?);
        self.meter.measure(count, prepare, work, |was_there| expect_length(was_there.then_some(&[]), 0))
    }

    fn measure_set_large(&self, count: u64) -> Result<Samples, Failure> {
        // Other contents than those that are there already.
        let mut numbers = (u64::from(self.number) + 1) << 32..;
        let prepare = || {
            let number = numbers.next().unwrap_or_default();
            (Plan::large(self.number, number), Plan::large_value(number))
        };
        self.meter.measure(count, prepare, |(key, value)| self.set(key, value), Ok)
    }

    fn measure_get_large(&self, count: u64) -> Result<Samples, Failure> {
        let mut course = self.course();
        let prepare = || Plan::large(self.number, course.next().unwrap_or_default());
        let work = |key: String| Ok(self.direct.get(key.as_str())?);
        self.meter.measure(count, prepare, work, |value| expect_length(value.as_deref(), LARGE))
    }

    fn set(&self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        Ok(self.direct.add(value).key(key).expire(LIFETIME).run().map(drop)?)
    }

    fn course(&self) -> Course {
        Course::new(self.number, self.plan.entries)
    }
}

/// Adds an entry for each key, many by one call.
///
/// # Errors
/// Where the cache refuses, and [`Failure::Interrupted`].
pub(crate) fn fill(
    cache: &DataCache,
    plan: &Plan,
    keys: impl Iterator<Item = String>,
    meter: Meter<'_>,
) -> Result<(), Failure> {
    let batch = BATCH.min(BATCH_BYTES / plan.value_size.max(1)).max(1);
    let mut entries = keys.zip(0..).map(|(key, number)| (key, plan.value(number))).peekable();
    while entries.peek().is_some() {
        meter.go_on()?;
        cache.add_many(entries.by_ref().take(batch)).expire(LIFETIME).run()?;
    }
    Ok(())
}
