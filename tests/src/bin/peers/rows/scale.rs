//! One operation at a time in caches of different sizes.

use std::time::Instant;

use datacache_client::DataCache;
use datacache_client::blocking;

use crate::bare::{Bare, place_of, record_of};
use crate::bench::Bench;
use crate::diskcache::DiskCache;
use crate::memcached::{self, Memcached};
use crate::ours::{Ours, fill};
use crate::outcome::{Amount, DISKCACHE, HEED, MEMCACHED, Outcome, REDIS, US};
use crate::redis::{self, Redis};
use crate::server::Server;
use crate::sizes::{VALUE, grouped, key, value};
use crate::times::Times;
use crate::{Fault, stop};

/// What a message to another process and back takes, both polling.
const PING: &str = "socket_ping_polled";
/// The same, both asleep.
const PING_ASLEEP: &str = "socket_ping";
const ASYNCHRONOUS: &str = "datacache, asynchronous";
/// The commits of LMDB that wait for the disk are few: each takes long.
const SYNCED: u64 = 10;

/// The rows of a small cache, with the servers.
pub(crate) fn small(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let mut scale = Scale::fill(bench, bench.sizes.small)?;
    let mut servers = Servers::start(bench, bench.sizes.small)?;
    let mut get = scale.get()?;
    servers.get(&mut get, &scale)?;
    get.at_most("p50", 1.5, HEED);
    get.faster("p50", 10.0, DISKCACHE);
    let asynchronous = scale.asynchronous_get(&get)?;
    let mut set = scale.set()?;
    servers.set(&mut set, &scale)?;
    set.at_most("p50", 0.4, DISKCACHE);
    set.at_most("p99", 0.5, DISKCACHE);
    set.at_most("p99.9", 0.3, DISKCACHE);
    set.faster("p50", 4.0, REDIS);
    set.at_most("p50", 3.0, PING);
    Ok(vec![get, asynchronous, set])
}

/// The rows of a large cache.
pub(crate) fn million(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let mut scale = Scale::fill(bench, bench.sizes.million)?;
    let mut get = scale.get()?;
    get.at_most("p50", 1.5, HEED);
    let mut set = scale.set()?;
    set.at_most("p50", 0.4, DISKCACHE);
    set.at_most("p99", 0.5, DISKCACHE);
    set.at_most("p99.9", 0.3, DISKCACHE);
    Ok(vec![get, set])
}

/// The rows of a huge cache, beside LMDB only.
pub(crate) fn huge(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let Some(entries) = bench.sizes.huge else { return Ok(Vec::new()) };
    let mut scale = Scale::fill_without_diskcache(bench, entries)?;
    let mut get = scale.get()?;
    get.at_most("p50", 1.5, HEED);
    Ok(vec![get, scale.set()?])
}

/// Caches of one size.
struct Scale<'a> {
    bench: &'a Bench,
    entries: u64,
    ours: Ours,
    cache: blocking::DataCache,
    bare: Bare,
    diskcache: Option<DiskCache>,
}

impl<'a> Scale<'a> {
    fn fill(bench: &'a Bench, entries: u64) -> Result<Self, Fault> {
        let mut scale = Self::fill_without_diskcache(bench, entries)?;
        if let Some(python) = &bench.python {
            let mut diskcache = DiskCache::open(python, &bench.place)?;
            diskcache.fill(entries)?;
            scale.diskcache = Some(diskcache);
        }
        // What was written on the way is not to be written during a measurement.
        rustix::fs::sync();
        Ok(scale)
    }

    fn fill_without_diskcache(bench: &'a Bench, entries: u64) -> Result<Self, Fault> {
        let ours = Ours::start(&bench.place)?;
        let cache = ours.open()?;
        fill(&cache, entries)?;
        let bare = Bare::fill(&bench.place, entries)?;
        rustix::fs::sync();
        Ok(Self { bench, entries, ours, cache, bare, diskcache: None })
    }

    fn key(&self) -> String {
        key(fastrand::u64(..self.entries))
    }

    fn pair(&self) -> (String, Vec<u8>) {
        (self.key(), value(fastrand::u64(..)))
    }

    fn outcome(&self, verb: &str) -> Outcome {
        let entries = grouped(self.entries);
        Outcome::new(format!("{verb} {entries}"), format!("{verb} of {VALUE} B, {entries} entries"))
    }

    fn get(&mut self) -> Result<Outcome, Fault> {
        let mut outcome = self.outcome("get");
        let before = self.direct_hits()?;
        let times = Times::measure(
            self.bench.sizes.fast_ops,
            || self.key(),
            |key| Ok(self.cache.get(key.as_str())?.ok_or("an entry is gone")?),
        )?;
        outcome.add(US, times.amounts());
        let bare = |place: Vec<u8>| self.bare.get(&place);
        outcome.add(HEED, Times::measure(self.bench.sizes.fast_ops, || place_of(&self.key()), bare)?.amounts());
        if self.direct_hits()? - before < self.bench.sizes.fast_ops {
            outcome.note("datacache could not read its map, and went by call.");
        }
        if let Some(diskcache) = &mut self.diskcache {
            outcome.add(DISKCACHE, diskcache.measure("get", self.entries, self.bench.sizes.ops)?.amounts());
        }
        Ok(outcome)
    }

    fn direct_hits(&self) -> Result<u64, Fault> {
        Ok(self.cache.stats()?.reads.direct_hits)
    }

    fn asynchronous_get(&self, blocking: &Outcome) -> Result<Outcome, Fault> {
        let mut outcome = self.outcome("asynchronous get");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let times = runtime.block_on(async {
            let cache = DataCache::open(self.ours.options()).await?;
            let mut times = Times::default();
            for number in 0..self.bench.sizes.fast_ops {
                stop::check()?;
                let key = self.key();
                let begun = Instant::now();
                let found = cache.get(key.as_str()).await;
                let took = begun.elapsed();
                found?.ok_or("an entry is gone")?;
                if number >= self.bench.sizes.fast_ops / 10 {
                    times.record(took);
                }
            }
            Ok::<_, Fault>(times)
        })?;
        outcome.add(ASYNCHRONOUS, times.amounts());
        let ours = blocking.measurements.iter().find(|measurement| measurement.who == US);
        outcome.add(US, ours.map(|measurement| measurement.amounts.clone()).unwrap_or_default());
        let ratio = outcome.amount(ASYNCHRONOUS, "p50").zip(outcome.amount(US, "p50"));
        let ratio = ratio.map(|(asynchronous, blocking)| asynchronous / blocking);
        outcome.goal("p50 at most 1.3 × the blocking one".into(), ratio, |ratio| ratio <= 1.3);
        Ok(outcome)
    }

    fn set(&mut self) -> Result<Outcome, Fault> {
        let mut outcome = self.outcome("set");
        let ops = self.bench.sizes.ops;
        let ours = |(key, value): (String, Vec<u8>)| Ok(self.cache.set(key.as_str(), value)?);
        outcome.add(US, Times::measure(ops, || self.pair(), ours)?.amounts());
        let floor = self.ours.floor(ops)?;
        for name in [PING, PING_ASLEEP] {
            let time = |figure: &str| Amount::Nanoseconds(floor[name][figure].as_f64().unwrap_or_default() * 1e3);
            outcome.add(name, vec![("p50", time("p50_us")), ("p90", time("p90_us")), ("p99", time("p99_us"))]);
        }
        let entries = self.entries;
        if let Some(diskcache) = &mut self.diskcache {
            outcome.add(DISKCACHE, diskcache.measure("set", entries, ops)?.amounts());
        }
        for (who, sync, ops) in [(HEED, false, ops), ("heed, every commit on disk", true, ops / SYNCED)] {
            self.bare.sync(sync)?;
            let prepare = || (place_of(&self.key()), record_of(&value(fastrand::u64(..))));
            let work = |(place, record): (Vec<u8>, Vec<u8>)| self.bare.set(&place, &record);
            outcome.add(who, Times::measure(ops, prepare, work)?.amounts());
        }
        outcome.note("heed: a transaction for each set, without waiting for the disk; a loss of power can damage it.");
        Ok(outcome)
    }
}

/// The servers that are there, each with a connection; that goes first.
struct Servers {
    redis: Option<(Redis, Server)>,
    memcached: Option<(Memcached, Server)>,
}

impl Servers {
    fn start(bench: &Bench, entries: u64) -> Result<Self, Fault> {
        let mut servers = Self { redis: None, memcached: None };
        if let Some(program) = &bench.redis {
            let server = redis::start(program, &bench.place)?;
            let mut redis = Redis::connect(&server)?;
            redis.fill(entries)?;
            servers.redis = Some((redis, server));
        }
        if let Some(program) = &bench.memcached {
            let server = memcached::start(program, &bench.place)?;
            let mut memcached = Memcached::connect(&server)?;
            memcached.fill(entries)?;
            servers.memcached = Some((memcached, server));
        }
        Ok(servers)
    }

    fn get(&mut self, outcome: &mut Outcome, scale: &Scale<'_>) -> Result<(), Fault> {
        let ops = scale.bench.sizes.ops;
        if let Some((redis, _)) = &mut self.redis {
            outcome.add(REDIS, Times::measure(ops, || scale.key(), |key| redis.get(&key))?.amounts());
        }
        if let Some((memcached, _)) = &mut self.memcached {
            outcome.add(MEMCACHED, Times::measure(ops, || scale.key(), |key| memcached.get(&key))?.amounts());
        }
        Ok(())
    }

    fn set(&mut self, outcome: &mut Outcome, scale: &Scale<'_>) -> Result<(), Fault> {
        let ops = scale.bench.sizes.ops;
        if let Some((redis, _)) = &mut self.redis {
            let work = |(key, value): (String, Vec<u8>)| redis.set(&key, &value);
            outcome.add(REDIS, Times::measure(ops, || scale.pair(), work)?.amounts());
        }
        if let Some((memcached, _)) = &mut self.memcached {
            let work = |(key, value): (String, Vec<u8>)| memcached.set(&key, &value);
            outcome.add(MEMCACHED, Times::measure(ops, || scale.pair(), work)?.amounts());
        }
        Ok(())
    }
}
