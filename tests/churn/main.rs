//! Memory safety of reads without the daemon, and the order of what they see: for a minute, readers in four processes check
//! every byte and version while writers churn, the log is applied every few milliseconds, and the daemon is killed again and
//! again.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use datacache_client::Stats;
use datacache_tests::churn::{Ledger, Seen, Version};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Client, Home, eventually};
use rustix::process::Signal;
use serde_json::Value;

/// Says for how many seconds it goes on.
const SECONDS_VARIABLE: &str = "DATACACHE_CHURN_SECONDS";
const SECONDS: u64 = 60;
/// How often the daemon is killed.
const DEATHS: u32 = 5;
/// The numbers of the workers: four read, two write, one has the log applied.
const READERS: std::ops::Range<u64> = 0..4;
const WRITERS: [u64; 2] = [4, 5];
const ROTATOR: u64 = 6;
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
    let Ended { reads, values, looks, writes, batches, deletes, segments, fallbacks, stats } = churn.end();
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
    ledger: Ledger,
    readers: Vec<Client>,
    writers: Vec<Client>,
    rotator: Client,
    /// What daemons counted that are dead now.
    segments: u64,
    fallbacks: u64,
}

/// What came of it.
struct Ended {
    reads: u64,
    values: u64,
    looks: u64,
    writes: u64,
    batches: u64,
    deletes: u64,
    segments: u64,
    fallbacks: u64,
    stats: Stats,
}

impl<'h> Churn<'h> {
    fn begin(home: &'h Home) -> Self {
        home.start();
        let path = home.path().join("ledger");
        let ledger = Ledger::create(&path);
        let keys =
            |number: u64| [Ledger::KEYS / 2 * number, Ledger::KEYS / 2 * (number + 1)].map(|key| key.to_string());
        let writers = WRITERS.into_iter().zip(0..).map(|(worker, number)| {
            let [from, to] = keys(number);
            worker_of(home, &["churn-write", text(&path), &worker.to_string(), &from, &to])
        });
        let readers = READERS.map(|worker| worker_of(home, &["churn-read", text(&path), &worker.to_string()]));
        let rotator = worker_of(home, &["churn-rotate", text(&path), &ROTATOR.to_string()]);
        let (writers, readers) = (writers.collect(), readers.collect());
        let churn = Self { home, ledger, readers, writers, rotator, segments: 0, fallbacks: 0 };
        churn.assert_all_go_on();
        churn
    }

    /// Waits for a moment, or for a worker that says why it goes on no longer.
    fn run_until(&self, moment: Instant) {
        let left = moment.saturating_duration_since(Instant::now());
        eventually("it is time", left + PATIENCE, || self.ledger.is_over() || Instant::now() >= moment);
    }

    /// Kills the daemon; the clients start the next one. If `alone`, nobody does so at first, and the readers have to do
    /// without.
    fn kill_the_daemon(&mut self, alone: bool) {
        if self.ledger.is_over() {
            return;
        }
        let stats = self.stats();
        self.note(&stats);
        let daemon = self.home.daemon();
        if alone {
            self.signal_writers(Signal::STOP);
        }
        daemon.kill();
        self.assert_go_on(READERS);
        if alone {
            assert!(self.ledger.is_over() || self.home.daemons().is_empty(), "the readers need one");
            self.signal_writers(Signal::CONT);
        }
        self.assert_all_go_on();
    }

    fn signal_writers(&self, signal: Signal) {
        self.writers.iter().chain([&self.rotator]).for_each(|worker| worker.process().signal(signal));
    }

    fn assert_all_go_on(&self) {
        self.assert_go_on(READERS.chain(WRITERS).chain([ROTATOR]));
    }

    /// Waits until each of these workers has got more done.
    fn assert_go_on(&self, workers: impl Iterator<Item = u64>) {
        for worker in workers {
            let before = self.ledger.ticks(worker);
            eventually("the worker goes on", PATIENCE, || {
                self.ledger.is_over() || self.ledger.ticks(worker) > before + 10
            });
        }
    }

    fn stats(&self) -> Stats {
        self.home.open().stats().unwrap()
    }

    fn note(&mut self, stats: &Stats) {
        self.segments += stats.daemon.segments;
        self.fallbacks += stats.reads.fallbacks.iter().map(|(_, count)| count).sum::<u64>();
    }

    /// Ends the workers, and looks at what they leave behind.
    fn end(mut self) -> Ended {
        self.ledger.stop();
        // Before what failed at one: that is told by its answer.
        let readers: Vec<Value> = self.readers.iter_mut().map(Client::answer).collect();
        let writers: Vec<Value> = self.writers.iter_mut().map(Client::answer).collect();
        self.rotator.answer();
        let stats = self.stats();
        self.note(&stats);
        self.assert_holds_what_was_written();
        Ended {
            reads: sum(&readers, "reads"),
            values: sum(&readers, "values"),
            looks: sum(&readers, "looks"),
            writes: sum(&writers, "writes"),
            batches: sum(&writers, "batches"),
            deletes: sum(&writers, "deletes"),
            segments: self.segments,
            fallbacks: self.fallbacks,
            stats,
        }
    }

    fn assert_holds_what_was_written(&self) {
        let cache = self.home.open();
        for key in 0..Ledger::KEYS {
            let version = Version { key, number: self.ledger.finished(key) };
            assert_eq!(version.number, self.ledger.begun(key), "all that was begun is done");
            let value = cache.get(format!("churned {key}")).unwrap();
            assert!(value.as_deref() == version.value().as_deref(), "{:?}", Seen::of(key, value.as_deref()));
        }
        assert_eq!(cache.verify(false).unwrap().findings, []);
    }
}

fn worker_of(home: &Home, request: &[&str]) -> Client {
    let mut worker = Client::start(home.program(env!("CARGO_BIN_EXE_client-process")));
    worker.tell(request);
    worker
}

fn sum(answers: &[Value], name: &str) -> u64 {
    answers.iter().map(|answer| answer[name].as_u64().unwrap()).sum()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
