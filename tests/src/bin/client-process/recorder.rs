//! A client that writes down what it did to keys that others are busy with too, and what it saw.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use datacache_client::blocking::DataCache;
use datacache_client::{Expire, Options};
use datacache_tests::churn::Ledger;
use datacache_tests::history::{Act, Event, Life, Mood, Scene, WallClock, monotonic};
use serde_json::{Value as Json, json};

/// The longest life, in milliseconds; the shortest is over before it begins.
const LONGEST: u64 = 25;
/// How long an impatient client waits for an answer.
const IMPATIENCE: Duration = Duration::from_millis(25);
/// Values of this length and of one that is stored as a file.
const LENGTHS: [usize; 3] = [8, 1_500, 40_000];

type Done = Result<(), Box<dyn Error>>;

/// Reads and writes until the ledger says that it is over, and then writes down what happened; tells how much that was.
///
/// # Errors
/// The first call that failed otherwise than it may, or bytes that nobody wrote; then it is over for all.
pub(crate) fn record(ledger: &Path, worker: u64, seed: u64, mood: Mood) -> Result<Json, Box<dyn Error>> {
    let opened = WallClock::compare();
    let ledger = Ledger::open(ledger);
    let recorder = ledger.work(Scene::STEPS, || Recorder::open(&ledger, worker, seed, mood), Recorder::step)?;
    let mut file = BufWriter::new(File::create(Scene::record_of(worker))?);
    serde_json::to_writer(&mut file, &(opened.and(WallClock::compare()), &recorder.events))?;
    file.flush()?;
    Ok(json!({ "events": recorder.events.len() }))
}

struct Recorder<'l> {
    ledger: &'l Ledger,
    cache: DataCache,
    random: fastrand::Rng,
    worker: u64,
    mood: Mood,
    /// How many numbers were given out.
    numbers: u64,
    /// How many changes were asked for, and of how many it is unknown whether they were made.
    changes: u64,
    unknown: u64,
    events: Vec<Event>,
}

/// What a value or a batch of them is given beside its bytes.
struct Manner {
    life: Option<u64>,
    tagged: bool,
}

impl<'l> Recorder<'l> {
    fn open(ledger: &'l Ledger, worker: u64, seed: u64, mood: Mood) -> Result<Self, Box<dyn Error>> {
        let options = Options::new();
        let cache = DataCache::open(match mood {
            Mood::Direct => options,
            Mood::ByCall => options.direct(false),
            Mood::Impatient => options.call_timeout(IMPATIENCE),
        })?;
        let random = fastrand::Rng::with_seed(seed);
        Ok(Self { ledger, cache, random, worker, mood, numbers: 0, changes: 0, unknown: 0, events: Vec::new() })
    }

    fn step(&mut self) -> Done {
        let epoch = self.ledger.ticks(Scene::STEPS) / Scene::STEPS_A_KEY_LIVES;
        let keys = Scene::keys_of(epoch);
        let key = self.random.u64(keys.clone());
        let some = |random: &mut fastrand::Rng| {
            let mut keys = random.choose_multiple(keys.clone(), 3);
            keys.sort_unstable();
            keys
        };
        match self.random.u8(0..100) {
            0..40 => self.get(key),
            40..52 => self.get_many(&keys.collect::<Vec<_>>()),
            52..58 => self.has(key),
            58..76 => self.put(key, epoch),
            76..82 => {
                let keys = some(&mut self.random);
                self.put_many(&keys, epoch)
            }
            82..90 => self.delete(key),
            90..98 => {
                let keys = some(&mut self.random);
                self.delete_many(&keys)
            }
            // Never a touch: docs/reliability.md says what it and a deadline make of each other.
            // An eviction has the time to walk over any store, and is not given up.
            _ if self.mood == Mood::Impatient => self.delete(key),
            _ => self.evict(&keys.collect::<Vec<_>>(), epoch),
        }
    }

    fn get(&mut self, key: u64) -> Done {
        let begun = monotonic();
        let value = self.cache.get(name(key));
        self.saw(key, begun, value, |value| Ok(Act::Get { seen: number_of(value.as_deref())? }))
    }

    fn get_many(&mut self, keys: &[u64]) -> Done {
        let begun = monotonic();
        let values = self.cache.get_many(keys.iter().map(|key| name(*key)));
        let ended = monotonic();
        let Some(values) = known(values)? else { return Ok(()) };
        for (key, value) in keys.iter().zip(values) {
            let act = Act::Get { seen: number_of(value.as_deref())? };
            self.events.push(Event { key: *key, worker: self.worker, begun, ended: Some(ended), act });
        }
        Ok(())
    }

    fn has(&mut self, key: u64) -> Done {
        let begun = monotonic();
        let seen = self.cache.contains(name(key));
        self.saw(key, begun, seen, |seen| Ok(Act::Has { seen }))
    }

    fn put(&mut self, key: u64, epoch: u64) -> Done {
        let manner = self.manner();
        let number = self.number();
        let mut add = self.cache.add(bytes_of(number)).key(name(key)).expire(manner.expire());
        if manner.tagged {
            add = add.tag(tag_of(epoch));
        }
        let begun = monotonic();
        let done = add.run().map(drop);
        self.changed(begun, done, |()| vec![(key, manner.put(number))], || vec![(key, manner.put(number))])
    }

    fn put_many(&mut self, keys: &[u64], epoch: u64) -> Done {
        let manner = self.manner();
        let numbers: Vec<u64> = keys.iter().map(|_| self.number()).collect();
        let values = keys.iter().zip(&numbers).map(|(key, number)| (name(*key), bytes_of(*number)));
        let mut add = self.cache.add_many(values).expire(manner.expire());
        if manner.tagged {
            add = add.tag(tag_of(epoch));
        }
        let begun = monotonic();
        let done = add.run().map(drop);
        let puts = || keys.iter().zip(&numbers).map(|(key, number)| (*key, manner.put(*number))).collect();
        self.changed(begun, done, |()| puts(), puts)
    }

    fn delete(&mut self, key: u64) -> Done {
        let begun = monotonic();
        let done = self.cache.delete(name(key));
        let delete = |was| vec![(key, Act::Delete { was })];
        self.changed(begun, done, |was| delete(Some(was)), || delete(None))
    }

    fn delete_many(&mut self, keys: &[u64]) -> Done {
        let begun = monotonic();
        let done = self.cache.delete_many(keys.iter().map(|key| name(*key)));
        let deletes = |was| keys.iter().map(|key| (*key, Act::Delete { was })).collect();
        let told = |count: u64| match count {
            0 => deletes(Some(false)),
            all if all == keys.len() as u64 => deletes(Some(true)),
            _ => deletes(None),
        };
        self.changed(begun, done, told, || deletes(None))
    }

    fn evict(&mut self, keys: &[u64], epoch: u64) -> Done {
        let begun = monotonic();
        let done = self.cache.evict(tag_of(epoch));
        let evict = || keys.iter().map(|key| (*key, Act::Evict)).collect();
        self.changed(begun, done, |_| evict(), evict)
    }

    /// Writes down what a look saw that has just ended.
    fn saw<T>(
        &mut self,
        key: u64,
        begun: u64,
        seen: Result<T, datacache_client::Error>,
        act: impl FnOnce(T) -> Result<Act, Box<dyn Error>>,
    ) -> Done {
        let ended = Some(monotonic());
        if let Some(seen) = known(seen)? {
            self.events.push(Event { key, worker: self.worker, begun, ended, act: act(seen)? });
        }
        Ok(())
    }

    /// Writes down what a call changed that has just ended, or may have changed or be about to.
    fn changed<T>(
        &mut self,
        begun: u64,
        done: Result<T, datacache_client::Error>,
        told: impl FnOnce(T) -> Vec<(u64, Act)>,
        untold: impl FnOnce() -> Vec<(u64, Act)>,
    ) -> Done {
        let now = monotonic();
        let (ended, acts) = match done {
            Ok(done) => (Some(now), told(done)),
            Err(error) if error.is_unknown_outcome() => (None, untold()),
            // It was not even asked for.
            Err(error) if error.is_unavailable() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let worker = self.worker;
        self.events.extend(acts.into_iter().map(|(key, act)| Event { key, worker, begun, ended, act }));
        self.changes += 1;
        self.unknown += u64::from(ended.is_none());
        self.ledger.begin(self.worker, self.unknown);
        self.ledger.finish(self.worker, self.changes);
        Ok(())
    }

    /// Returns a number that nobody else has: of a value, or of a life.
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.worker << 48 | self.numbers
    }

    fn manner(&mut self) -> Manner {
        let now = UNIX_EPOCH.elapsed().map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0));
        let life = self.random.bool().then(|| now + self.random.u64(0..LONGEST));
        Manner { life, tagged: self.random.u8(0..4) == 0 }
    }
}

impl Manner {
    fn expire(&self) -> Expire {
        self.life.map_or(Expire::Never, |deadline| Expire::At(UNIX_EPOCH + Duration::from_millis(deadline)))
    }

    fn life(&self, number: u64) -> Option<Life> {
        self.life.map(|deadline| Life { number, deadline })
    }

    fn put(&self, value: u64) -> Act {
        Act::Put { value, life: self.life(value), tagged: self.tagged }
    }
}

/// Returns what a look told, `None` where an impatient one was told nothing.
fn known<T>(told: Result<T, datacache_client::Error>) -> Result<Option<T>, Box<dyn Error>> {
    match told {
        Ok(told) => Ok(Some(told)),
        Err(error) if error.is_unavailable() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn name(key: u64) -> String {
    format!("spot {key}")
}

fn tag_of(epoch: u64) -> String {
    format!("epoch {epoch}")
}

fn bytes_of(number: u64) -> Vec<u8> {
    let length = match number % 20 {
        0 => LENGTHS[2],
        1..5 => LENGTHS[1],
        _ => LENGTHS[0],
    };
    number.to_le_bytes().repeat(length.div_ceil(8))
}

/// Returns the number of a value.
///
/// # Errors
/// Where nobody wrote these bytes.
fn number_of(bytes: Option<&[u8]>) -> Result<Option<u64>, Box<dyn Error>> {
    let Some(bytes) = bytes else { return Ok(None) };
    let number = bytes.first_chunk().map(|first| u64::from_le_bytes(*first));
    match number.filter(|number| bytes_of(*number) == bytes) {
        Some(number) => Ok(Some(number)),
        None => Err(format!("{} bytes that nobody wrote", bytes.len()).into()),
    }
}
