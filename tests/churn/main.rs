//! Memory safety of reads without the daemon, and the order of what they see: for a minute, readers in four processes check
//! every byte and version while writers churn, the log is applied every few milliseconds, and the daemon is killed again and
//! again.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use datacache_client::{Stats, Value};
use datacache_tests::churn::{Crew, Done};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Client, Home, eventually};
use rustix::process::Signal;

/// Says for how many seconds it goes on.
const SECONDS_VARIABLE: &str = "DATACACHE_CHURN_SECONDS";
const SECONDS: u64 = 60;
/// How often the daemon is killed.
const DEATHS: u32 = 5;
/// Who works: beside readers and writers, one has the log applied, and has the number after theirs.
const READERS: u64 = 4;
const WRITERS: u64 = 2;
const ROTATOR: u64 = READERS + WRITERS;
/// What the workers do at least in a second, all readers together, on a machine that has better things to do.
const READS_A_SECOND: u64 = 200;
const WRITES_A_SECOND: u64 = 5;

#[test]
fn no_reader_sees_a_wrong_byte_an_older_version_or_an_error_while_writers_churn_and_daemons_die() {
    let home = Home::new();
    let seconds = std::env::var(SECONDS_VARIABLE).map_or(SECONDS, |text| text.parse().unwrap());
    let mut churn = Churn::begin(&home);
    let begun = Instant::now();
    let moment = |part: u32| begun + Duration::from_secs(seconds) * part / (DEATHS + 1);
    for death in 0..DEATHS {
        churn.run_until(moment(death + 1));
        churn.kill_the_daemon(death == 0);
    }
    churn.run_until(moment(DEATHS + 1));
    let Ended { done, segments, fallbacks, stats } = churn.end();
    let Done { reads, values, looks, writes, batches, deletes } = done;
    let direct = stats.reads.direct_hits + stats.reads.direct_misses;
    println!(
        "{reads} reads, {values} of them found bytes, {direct} direct, {fallbacks} by call; {looks} looks; {writes} writes, \
         {deletes} deletions and {batches} batches among them; {segments} segments applied"
    );
    assert!(reads > READS_A_SECOND * seconds && values > reads / 2 && looks > reads / 100);
    assert!(writes > WRITES_A_SECOND * seconds && batches > 0 && deletes > 0);
    assert!(segments > 100, "{segments} rotations");
    assert!(direct >= reads, "every read is counted");
    assert!(fallbacks * 100 < direct, "{fallbacks} reads by call and {direct} direct ones");
}

/// The processes at work.
struct Churn<'h> {
    home: &'h Home,
    crew: Crew,
    rotator: Client,
    /// What daemons counted that are dead now.
    segments: u64,
    fallbacks: u64,
}

/// What came of it.
struct Ended {
    done: Done,
    segments: u64,
    fallbacks: u64,
    stats: Stats,
}

impl<'h> Churn<'h> {
    fn begin(home: &'h Home) -> Self {
        home.start();
        let path = home.path().join("ledger");
        let start = || Client::start(home.program(env!("CARGO_BIN_EXE_client-process")));
        let crew = Crew::begin(&path, READERS, WRITERS, start);
        let mut rotator = start();
        rotator.tell(&["churn-rotate", path.to_str().unwrap(), &ROTATOR.to_string()]);
        let churn = Self { home, crew, rotator, segments: 0, fallbacks: 0 };
        churn.assert_all_go_on();
        churn
    }

    /// Waits for a moment, or for a worker that says why it goes on no longer.
    fn run_until(&self, moment: Instant) {
        let left = moment.saturating_duration_since(Instant::now());
        eventually("it is time", left + PATIENCE, || self.is_over() || Instant::now() >= moment);
    }

    fn is_over(&self) -> bool {
        self.crew.ledger().is_over()
    }

    /// Kills the daemon; the clients start the next one. If `alone`, nobody does so at first, and the readers have to do
    /// without.
    fn kill_the_daemon(&mut self, alone: bool) {
        if self.is_over() {
            return;
        }
        let stats = self.stats();
        self.note(&stats);
        let daemon = self.home.daemon();
        if alone {
            self.signal_writers(Signal::STOP);
        }
        daemon.kill();
        self.crew.assert_readers_go_on();
        if alone {
            assert!(self.is_over() || self.home.daemons().is_empty(), "the readers need one");
            self.signal_writers(Signal::CONT);
        }
        self.assert_all_go_on();
    }

    fn signal_writers(&self, signal: Signal) {
        self.crew.signal_writers(signal);
        self.rotator.process().signal(signal);
    }

    fn assert_all_go_on(&self) {
        self.crew.assert_all_go_on();
        self.crew.assert_goes_on(ROTATOR);
    }

    fn stats(&self) -> Stats {
        self.home.open().stats().unwrap()
    }

    fn note(&mut self, stats: &Stats) {
        self.segments += stats.daemon.segments;
        self.fallbacks += fallbacks_of(stats);
    }

    /// Ends the workers, and looks at what they leave behind.
    fn end(self) -> Ended {
        let Self { home, crew, mut rotator, mut segments, mut fallbacks } = self;
        let (done, ledger) = crew.end();
        rotator.answer();
        let cache = home.open();
        let stats = cache.stats().unwrap();
        segments += stats.daemon.segments;
        fallbacks += fallbacks_of(&stats);
        ledger.assert_is_held(|key| cache.get(key).unwrap().map(Value::into_vec));
        assert_eq!(cache.verify(false).unwrap().findings, []);
        Ended { done, segments, fallbacks, stats }
    }
}

/// Counts the reads that could not be made directly.
fn fallbacks_of(stats: &Stats) -> u64 {
    stats.reads.fallbacks.iter().map(|(_, count)| count).sum()
}
