//! Lives of a store, one death after the other.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use datacache_client::{HashType, Hasher};
use fastrand::Rng;

use super::book::Book;
use super::check::{age_staging, check, check_closed};
use super::daemon::{Daemon, Ended};
use super::instant::{Instant, ORPHANED, SHARING};
use super::worker::{Kind, Worker};
use crate::Home;
use crate::wait::{PATIENCE, comes_to_hold};

/// The workers.
const WORKERS: [Kind; 6] = [Kind::Writer, Kind::Writer, Kind::Writer, Kind::Writer, Kind::Stager, Kind::Sender];
/// How many calls are done before a daemon is killed.
const CALLS: std::ops::Range<u64> = 5..120;
/// How much later than the last of them.
const LATER: std::ops::Range<u64> = 0..3_000;

/// How a daemon's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Killed at any moment.
    Anywhere,
    /// Killed at an instant that has a name.
    At(Instant),
    /// In good order.
    Never,
}

/// What daemons lived through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many there were.
    pub lives: u64,
    /// Calls that were acknowledged.
    pub calls: u64,
    /// Calls that were under way when one died, and whose outcome nobody was told.
    pub open: u64,
    /// How many died at each instant.
    pub instants: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.calls += other.calls;
        self.open += other.open;
        for (name, count) in &other.instants {
            *self.instants.entry(name).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lives, calls, open, instants } = self;
        let named: u64 = instants.values().sum();
        write!(
            f,
            "{lives} lives, {named} of them ended at {} instants, {calls} calls acknowledged, {open} of unknown outcome",
            instants.len()
        )
    }
}

/// A store, and those who work on it.
#[derive(Debug)]
pub struct Campaign {
    /// What all random choices follow from.
    seed: u64,
    random: Rng,
    workers: Vec<Worker>,
    /// How many entries the store may have.
    limit: Option<u64>,
    /// What is under way, for whoever reads of a failure.
    now: Option<Death>,
    tally: Tally,
    reads_directly: bool,
    home: Home,
}

impl Campaign {
    /// Begins without a store. `reads_directly` says whether the workers look into it themselves; their maps stay over all deaths
    /// then, and the machine must not seem to have been booted again.
    #[must_use]
    pub fn new(seed: u64, reads_directly: bool) -> Self {
        Self::begin(seed, reads_directly, None)
    }

    /// Begins without a store, as [`Campaign::new`] does, that is to have at most so many entries: not as many as there are keys.
    #[must_use]
    pub fn with_limit(seed: u64, reads_directly: bool, entries: u64) -> Self {
        Self::begin(seed, reads_directly, Some(entries))
    }

    fn begin(seed: u64, reads_directly: bool, limit: Option<u64>) -> Self {
        let (home, mut random) = (Home::new(), Rng::with_seed(seed));
        if let Some(entries) = limit {
            home.configure(&format!("limit_entries = {entries}"));
        }
        // Nobody waits for long for a daemon that is dead.
        let options = home.options().connect_timeout(Duration::from_millis(60)).direct(reads_directly);
        let workers = WORKERS.into_iter().enumerate().map(|(number, kind)| {
            let file = home.file(&format!("of {number}"), "");
            Worker::new(kind, options.clone(), file, random.fork(), Book::new(number, limit.is_some()))
        });
        let workers = workers.collect();
        Self { seed, random, workers, limit, now: None, tally: Tally::default(), reads_directly, home }
    }

    /// Returns the home that all of it lies in.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Returns what daemons lived through so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Has a daemon live and die. One that dies at no instant looks after what the one before left, before it is given work.
    ///
    /// # Panics
    /// Where something was lost or is left, or the daemon never comes to its instant.
    pub fn live(&mut self, death: Death) {
        self.now = Some(death);
        age_staging(&self.home);
        let instant = if let Death::At(instant) = death { Some(instant) } else { None };
        self.prepare_for(instant);
        match Daemon::start(&self.home, instant) {
            Some(daemon) => {
                if instant.is_none() {
                    check(&self.home, &mut self.workers, self.limit);
                }
                self.load(daemon, death);
            }
            None => assert!(instant.is_some(), "it died, and nobody had killed it"),
        }
        self.tally.lives += 1;
        if let Some(Instant { name, .. }) = instant {
            *self.tally.instants.entry(name).or_default() += 1;
        }
    }

    /// Has there be what a daemon only comes to its instant for.
    fn prepare_for(&self, instant: Option<Instant>) {
        let is_one_of = |names: &[&str]| instant.is_some_and(|instant| names.contains(&instant.name));
        if is_one_of(ORPHANED) {
            self.plant_orphan();
        }
        if is_one_of(SHARING) && self.home.store().exists() {
            self.reboot();
        }
    }

    /// Has the next daemon find what it would after another boot: shared memory that is not this boot's.
    ///
    /// # Panics
    /// Where there is no store, or workers have it open.
    pub fn reboot(&self) {
        assert!(!self.reads_directly, "nobody reads from one boot into the next");
        const BOOT_AT: u64 = 32;
        let recent = OpenOptions::new().write(true).open(self.home.store().join("current/recent")).unwrap();
        recent.write_all_at(&[0x5a; 16], BOOT_AT).unwrap();
    }

    /// Puts the daemon to work until it ends as it is to.
    fn load(&mut self, daemon: Daemon, death: Death) {
        assert!(self.work(&daemon, death), "it never came to that");
        if death != Death::Anywhere {
            daemon.ask_to_end();
        }
        let expected = if death == Death::Never { Ended::Well } else { Ended::Killed };
        assert_eq!(daemon.ended(&self.home), expected);
        if death == Death::Never {
            check_closed(&self.home);
        }
    }

    /// Has the workers work until the daemon is dead, or is to end; tells whether it came to that.
    fn work(&mut self, daemon: &Daemon, death: Death) -> bool {
        let (done, wanted) = (AtomicU64::new(0), self.random.u64(CALLS));
        let later = Duration::from_micros(self.random.u64(LATER));
        let watch = daemon.watch();
        let has_come = thread::scope(|scope| {
            for worker in &mut self.workers {
                scope.spawn(|| worker.work(watch, &done));
            }
            let is_enough = || done.load(Ordering::Relaxed) >= wanted || watch.is_dead();
            let has_come = match death {
                Death::At(instant) if !instant.is_at_the_end() => watch.ends(PATIENCE),
                _ => comes_to_hold(PATIENCE, is_enough),
            };
            match death {
                Death::Anywhere if !watch.ends(later) => daemon.kill(),
                _ => watch.stop(),
            }
            has_come
        });
        self.tally.calls += done.into_inner();
        self.tally.open += self.workers.iter().filter(|worker| worker.book.is_open()).count() as u64;
        has_come
    }

    /// A blob that nobody names, as a daemon leaves it that dies after it has linked one.
    fn plant_orphan(&self) {
        let content = b"nobody's";
        let mut hasher = Hasher::new(HashType::Sha256);
        hasher.update(content);
        let name = hasher.finish();
        fs::write(self.home.store().join("blobs").join(&name[..2]).join(&name), content).unwrap();
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { seed, tally, now, .. } = self;
            eprintln!("with the seed {seed}, in life {} of the store, whose end was to be {now:?}", tally.lives + 1);
        }
    }
}
