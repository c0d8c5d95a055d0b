//! Processes that read and write the same few keys, while the log is applied all the time and daemons stand still or die.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::check::Histories;
use super::event::Event;
use super::moment::WallClock;
use crate::churn::Ledger;
use crate::wait::{PATIENCE, comes_to_hold};
use crate::{Client, Home};

/// How a client goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It reads as this run does: directly, unless something else is said.
    Direct,
    /// It asks the daemon for everything.
    ByCall,
    /// It gives calls up, and then does not know whether they were done.
    Impatient,
}

/// What is to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// How often clients do something, together.
    pub steps: u64,
    /// How often the daemon is killed, and as often stopped for a moment.
    pub deaths: u64,
    /// What the clients draw from.
    pub seed: u64,
}

/// What was recorded.
#[derive(Debug)]
pub struct Recorded {
    /// What the clients did and saw.
    pub histories: Histories,
    /// How many segments of the log were applied meanwhile, as far as daemons lived to tell.
    pub segments: u64,
}

/// The clients. All moods meet; there are more of those that read themselves, since that is where the order is hard to keep.
const CLIENTS: [Mood; 5] = [Mood::Direct, Mood::Direct, Mood::Direct, Mood::ByCall, Mood::Impatient];
/// The place of the impatient one in them.
const IMPATIENT: u64 = 4;
/// Who has the log applied, as the ledger counts workers.
const ROTATOR: u64 = 6;

impl Scene {
    /// The worker that the ledger counts all steps for.
    pub const STEPS: u64 = 0;
    /// After so many steps all go on to the next keys: what is to be judged together stays short.
    pub const STEPS_A_KEY_LIVES: u64 = 120;
    /// How many keys there are at a time.
    const KEYS: u64 = 4;

    /// Returns the keys that are used after so many others were.
    #[must_use]
    pub fn keys_of(epoch: u64) -> Range<u64> {
        epoch * Self::KEYS..(epoch + 1) * Self::KEYS
    }

    /// Returns where a worker writes down what it did: in the folder of its home.
    #[must_use]
    pub fn record_of(worker: u64) -> PathBuf {
        format!("record-{worker}").into()
    }

    /// Has clients, which the program `client-process` is run for, do all that in a home of their own.
    ///
    /// # Panics
    /// Where one of them fails, or does not go on.
    #[must_use]
    pub fn record(&self, client: &Path) -> Recorded {
        let home = Home::new();
        home.start();
        let path = home.path().join("ledger");
        let ledger = Ledger::create(&path);
        let path = path.to_str().expect("homes have plain names");
        let start = |request: &[&str]| {
            let mut process = Client::start(home.program(client));
            process.tell(request);
            process
        };
        let clients = CLIENTS.iter().zip(0_u64..).map(|(mood, worker)| {
            let seed = self.seed.wrapping_mul(CLIENTS.len() as u64).wrapping_add(worker);
            start(&["record", path, &worker.to_string(), &seed.to_string(), &mood.to_string()])
        });
        let mut clients: Vec<Client> = clients.collect();
        let mut rotator = start(&["churn-rotate", path, &ROTATOR.to_string()]);
        let segments = self.disturb(&home, &ledger);
        ledger.stop();
        // What failed at one of them is told by its answer.
        clients.iter_mut().chain([&mut rotator]).for_each(|client| drop(client.answer()));
        Recorded { histories: read(&home), segments: segments + self::segments(&home) }
    }

    /// Lets the clients work, and their daemon not; returns how many segments the dead ones applied.
    fn disturb(&self, home: &Home, ledger: &Ledger) -> u64 {
        let moments = 2 * self.deaths + 1;
        let mut applied = 0;
        for moment in 1..moments {
            wait(ledger, || ledger.ticks(Self::STEPS) >= self.steps * moment / moments);
            if ledger.is_over() {
                break;
            }
            if moment % 2 == 0 {
                applied += segments(home);
                home.daemon().kill();
            } else {
                stop_for_a_moment(home, ledger);
            }
        }
        wait(ledger, || ledger.ticks(Self::STEPS) >= self.steps);
        applied
    }
}

/// Stops the daemon until somebody has lost patience with it.
fn stop_for_a_moment(home: &Home, ledger: &Ledger) {
    // The one that was killed last may not be followed yet.
    home.start();
    let (daemon, given_up) = (home.daemon(), || ledger.begun(IMPATIENT));
    let before = given_up();
    daemon.signal(Signal::STOP);
    let is_given_up = comes_to_hold(PATIENCE, || ledger.is_over() || given_up() > before);
    daemon.signal(Signal::CONT);
    assert!(is_given_up, "nobody loses patience with a daemon that does not answer");
}

/// Waits for something, or for a client that says why it goes on no longer.
fn wait(ledger: &Ledger, is_time: impl Fn() -> bool) {
    let ticks = || ledger.ticks(Scene::STEPS);
    let mut seen = ticks();
    while !ledger.is_over() && !is_time() {
        assert!(comes_to_hold(PATIENCE, || ledger.is_over() || is_time() || ticks() > seen), "the clients go on");
        seen = ticks();
    }
}

fn segments(home: &Home) -> u64 {
    home.open().stats().expect("it answers").daemon.segments
}

fn read(home: &Home) -> Histories {
    let records = (0..CLIENTS.len() as u64).map(|worker| {
        let record = std::fs::read(home.path().join(Scene::record_of(worker))).expect("it was written");
        serde_json::from_slice::<(WallClock, Vec<Event>)>(&record).expect("it is what was written")
    });
    let (clocks, events): (Vec<_>, Vec<_>) = records.unzip();
    let clock = clocks.into_iter().reduce(WallClock::and).expect("there are clients");
    Histories::new(events.into_iter().flatten(), clock)
}

impl std::fmt::Display for Mood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::ByCall => "by-call",
            Self::Impatient => "impatient",
        })
    }
}

impl std::str::FromStr for Mood {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moods = [Self::Direct, Self::ByCall, Self::Impatient];
        moods.into_iter().find(|mood| mood.to_string() == text).ok_or_else(|| format!("no mood: {text}"))
    }
}
