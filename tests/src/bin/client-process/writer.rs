//! A writer in a store in turmoil: it adds, deletes and touches its own keys, and reads each of them back at once.

use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use datacache_client::blocking::DataCache;
use datacache_client::{Expire, Options, Value};
use datacache_tests::churn::{Ledger, Seen, State, Version};
use serde_json::{Value as Json, json};

use crate::reader::name;

/// Longer than any test.
const LONG: Expire = Expire::After(Duration::from_secs(3_600));
/// The most entries of one batch.
const BATCH: usize = 12;

/// Writes until the ledger says that it is over; tells how much it did.
///
/// # Errors
/// The first call that failed, or that answered what can't be; then it is over for all.
pub(crate) fn write(ledger: &Path, worker: u64, keys: Range<u64>) -> Result<Json, Box<dyn Error>> {
    let ledger = Ledger::open(ledger);
    let writer = ledger.work(worker, || Writer::open(&ledger, worker, keys), Writer::step)?;
    Ok(json!({ "writes": writer.writes, "batches": writer.batches, "deletes": writer.deletes }))
}

struct Writer<'l> {
    ledger: &'l Ledger,
    cache: DataCache,
    random: fastrand::Rng,
    keys: Range<u64>,
    writes: u64,
    batches: u64,
    deletes: u64,
}

impl<'l> Writer<'l> {
    fn open(ledger: &'l Ledger, worker: u64, keys: Range<u64>) -> Result<Self, Box<dyn Error>> {
        let (cache, random) = (DataCache::open(Options::new())?, fastrand::Rng::with_seed(worker));
        Ok(Self { ledger, cache, random, keys, writes: 0, batches: 0, deletes: 0 })
    }

    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        let key = Version::draw_key(&mut self.random, self.keys.clone());
        match self.random.u8(0..100) {
            0..10 => self.batch(),
            10..20 => self.touch(key),
            _ => self.write(key),
        }
    }

    fn write(&mut self, key: u64) -> Result<(), Box<dyn Error>> {
        let (before, version) = (self.current(key), self.next(key));
        self.ledger.begin(key, version.number);
        match version.value() {
            Some(value) => drop(self.cache.add(value).key(name(key)).tag("churned").run()?),
            None => {
                let was_there = self.cache.delete(name(key))?;
                expect(was_there == (before.state() != State::Absent), "delete", before)?;
                self.deletes += 1;
            }
        }
        self.ledger.finish(key, version.number);
        self.writes += 1;
        let value = self.cache.get(name(key))?;
        look(version, value.as_ref())
    }

    /// Adds the next versions of several keys in one call, and reads them back in one.
    fn batch(&mut self) -> Result<(), Box<dyn Error>> {
        let mut versions: Vec<Version> = Vec::new();
        for _ in 0..BATCH {
            let key = Version::draw_key(&mut self.random, self.keys.clone());
            let version = self.next(key);
            if version.state() != State::Absent && !versions.contains(&version) {
                versions.push(version);
            }
        }
        versions.iter().for_each(|version| self.ledger.begin(version.key, version.number));
        let values = versions.iter().map(|version| (name(version.key), version.value().unwrap_or_default()));
        self.cache.add_many(values).run()?;
        versions.iter().for_each(|version| self.ledger.finish(version.key, version.number));
        self.writes += versions.len() as u64;
        self.batches += 1;
        let values = self.cache.get_many(versions.iter().map(|version| name(version.key)))?;
        versions.into_iter().zip(values).try_for_each(|(version, value)| look(version, value.as_ref()))
    }

    /// A new expiry is no new version: the value stays.
    fn touch(&mut self, key: u64) -> Result<(), Box<dyn Error>> {
        let version = self.current(key);
        let was_there = self.cache.touch(name(key), LONG)?;
        expect(was_there == (version.state() != State::Absent), "touch", version)?;
        let value = self.cache.get(name(key))?;
        look(version, value.as_ref())
    }

    fn current(&self, key: u64) -> Version {
        Version { key, number: self.ledger.finished(key) }
    }

    fn next(&self, key: u64) -> Version {
        Version { key, number: self.ledger.finished(key) + 1 }
    }
}

/// Whoever alone writes a key finds what it wrote last, and nothing else.
fn look(version: Version, value: Option<&Value>) -> Result<(), Box<dyn Error>> {
    let seen = Seen::of(version.key, value.map(|value| &**value))?;
    let is_own = match version.state() {
        State::Absent => seen == Seen::Absent,
        State::Empty => seen == Seen::Empty,
        State::Value(_) => seen == Seen::Number(version.number),
    };
    if is_own { Ok(()) } else { Err(format!("{version:?} was written, and {seen:?} read back").into()) }
}

fn expect(is_right: bool, verb: &str, version: Version) -> Result<(), Box<dyn Error>> {
    if is_right { Ok(()) } else { Err(format!("`{verb}` is wrong about whether {version:?} was there").into()) }
}
