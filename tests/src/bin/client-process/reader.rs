//! A reader of a store in turmoil: it reads in every way there is, and believes nothing.

use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::path::Path;

use datacache_client::blocking::DataCache;
use datacache_client::{Options, Value};
use datacache_tests::churn::{Ledger, Seen, Version, Watcher, Wrong};
use serde_json::{Value as Json, json};

/// How many values are kept, to be looked at again later: nothing may have changed under them.
const HELD: usize = 32;

/// Reads until the ledger says that it is over; tells how many reads there were.
///
/// # Errors
/// The first read that failed, or that found what it must not; then it is over for all.
pub(crate) fn read(ledger: &Path, worker: u64) -> Result<Json, Box<dyn Error>> {
    let ledger = Ledger::open(ledger);
    let reader = ledger.work(worker, || Reader::open(&ledger, worker), Reader::step)?;
    Ok(json!({ "reads": reader.reads, "values": reader.values, "looks": reader.looks }))
}

struct Reader<'l> {
    ledger: &'l Ledger,
    watchers: Vec<Watcher>,
    random: fastrand::Rng,
    /// Large values come as maps.
    mapping: DataCache,
    /// They are copied.
    copying: DataCache,
    held: VecDeque<(u64, Value)>,
    /// Reads of values, found or not.
    reads: u64,
    /// Those that found bytes.
    values: u64,
    /// Reads that asked for no value.
    looks: u64,
}

impl<'l> Reader<'l> {
    fn open(ledger: &'l Ledger, worker: u64) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            ledger,
            watchers: (0..Ledger::KEYS).map(Watcher::new).collect(),
            random: fastrand::Rng::with_seed(worker),
            mapping: DataCache::open(Options::new())?,
            copying: DataCache::open(Options::new().mapped(false))?,
            held: VecDeque::new(),
            reads: 0,
            values: 0,
            looks: 0,
        })
    }

    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        let key = Version::draw_key(&mut self.random, 0..Ledger::KEYS);
        match self.random.u8(0..100) {
            0..50 => self.get(key, false),
            50..80 => self.get(key, true),
            80..90 => self.get_many(),
            90..95 => self.contains(key),
            _ => self.stat(key),
        }
    }

    fn get(&mut self, key: u64, copies: bool) -> Result<(), Box<dyn Error>> {
        self.begin(key);
        let cache = if copies { &self.copying } else { &self.mapping };
        let value = cache.get(name(key))?;
        self.judge(key, value)
    }

    fn get_many(&mut self) -> Result<(), Box<dyn Error>> {
        // None of them twice: what is there under one may be of a later moment than what is there under the next.
        let keys: BTreeSet<u64> = (0..8).map(|_| Version::draw_key(&mut self.random, 0..Ledger::KEYS)).collect();
        keys.iter().for_each(|key| self.begin(*key));
        let values = self.mapping.get_many(keys.iter().copied().map(name))?;
        if values.len() != keys.len() {
            return Err(format!("{} values for {} keys", values.len(), keys.len()).into());
        }
        keys.into_iter().zip(values).try_for_each(|(key, value)| self.judge(key, value))
    }

    fn contains(&mut self, key: u64) -> Result<(), Box<dyn Error>> {
        self.begin(key);
        let seen = if self.mapping.contains(name(key))? { Seen::Present } else { Seen::Absent };
        self.looks += 1;
        Ok(self.end(key, seen)?)
    }

    fn stat(&mut self, key: u64) -> Result<(), Box<dyn Error>> {
        self.begin(key);
        let seen = match self.mapping.stat(name(key))?.map(|entry| entry.size) {
            None => Seen::Absent,
            Some(0) => Seen::Empty,
            Some(_) => Seen::Present,
        };
        self.looks += 1;
        Ok(self.end(key, seen)?)
    }

    fn judge(&mut self, key: u64, value: Option<Value>) -> Result<(), Box<dyn Error>> {
        let seen = Seen::of(key, value.as_deref())?;
        self.end(key, seen)?;
        self.reads += 1;
        if let Some(value) = value {
            self.values += 1;
            self.hold(key, value)?;
        }
        Ok(())
    }

    /// Keeps a value for a while, and looks at the one again that was kept longest.
    fn hold(&mut self, key: u64, value: Value) -> Result<(), Wrong> {
        self.held.push_back((key, value));
        if self.held.len() > HELD
            && let Some((key, value)) = self.held.pop_front()
        {
            Seen::of(key, Some(&value))?;
        }
        Ok(())
    }

    fn begin(&mut self, key: u64) {
        let ledger = self.ledger;
        self.watcher(key).begin(ledger);
    }

    fn end(&mut self, key: u64, seen: Seen) -> Result<(), Wrong> {
        let ledger = self.ledger;
        self.watcher(key).end(ledger, seen)
    }

    fn watcher(&mut self, key: u64) -> &mut Watcher {
        &mut self.watchers[usize::try_from(key).expect("there are not that many")]
    }
}

/// Returns a key's name in the cache.
pub(crate) fn name(key: u64) -> String {
    format!("churned {key}")
}
