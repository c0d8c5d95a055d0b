//! Who goes on while a namespace is cleaned up: it sets and reads in another one, at a steady pace, and measures each call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use datacache_client::blocking::DataCache;
use datacache_tests::{Home, eventually};
use hdrhistogram::Histogram;

/// How long it rests between two turns.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest that a turn may take beside it, on average.
const SLOWEST: Duration = Duration::from_millis(500);
/// How many keys it has.
const KEYS: i64 = 1_000;
/// The bytes of its values.
const VALUE: usize = 100;
/// How many phases there are: before the clean-up, and during it.
const PHASES: usize = 2;

/// What it does in a turn.
pub(crate) const CALLS: [&str; 3] = ["set", "get", "get by call"];

/// How long its calls took, in nanoseconds, in the order of [`CALLS`].
pub(crate) type Times = [Histogram<u64>; CALLS.len()];

/// A neighbour that goes on.
#[derive(Debug)]
pub(crate) struct Neighbour {
    /// Its turns in all phases.
    turns: Arc<AtomicU64>,
    /// Says that the next phase begins, and by being dropped that it is over.
    phases: Sender<()>,
    thread: JoinHandle<[Times; PHASES]>,
}

impl Neighbour {
    /// Begins with the first phase.
    pub(crate) fn begin(home: &Home) -> Self {
        let open = |direct| DataCache::open(home.options().direct(direct)).unwrap().namespace("neighbour");
        let (cache, caller) = (open(true), open(false));
        (0..KEYS).for_each(|key| cache.set(key, value()).unwrap());
        let ((phases, told), turns) = (channel(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&turns);
        Self { turns, phases, thread: thread::spawn(move || go_on(&cache, &caller, &told, &counted)) }
    }

    /// Waits until it has had so many turns.
    pub(crate) fn wait(&self, turns: u64) {
        let deadline = (PAUSE + SLOWEST) * u32::try_from(turns).unwrap_or(u32::MAX);
        let is_there = || self.thread.is_finished() || self.turns.load(Ordering::Relaxed) >= turns;
        eventually("the neighbour goes on", deadline, is_there);
    }

    /// Goes on with the next phase.
    pub(crate) fn turn(&self) {
        // One that has failed is heard of at the end.
        self.phases.send(()).ok();
    }

    /// Ends it; returns what it measured in each phase.
    pub(crate) fn end(self) -> [Times; PHASES] {
        drop(self.phases);
        self.thread.join().unwrap()
    }
}

fn go_on(cache: &DataCache, caller: &DataCache, told: &Receiver<()>, turns: &AtomicU64) -> [Times; PHASES] {
    let mut phases = [(); PHASES].map(|()| CALLS.map(|_| Histogram::new(3).unwrap()));
    let (mut phase, mut random) = (0, fastrand::Rng::with_seed(1));
    loop {
        let [set, get, ask] = &mut phases[phase];
        let (key, value) = (random.i64(0..KEYS), value());
        timed(set, || cache.set(key, value).unwrap());
        timed(get, || assert!(cache.get(key).unwrap().is_some()));
        timed(ask, || assert!(caller.get(key).unwrap().is_some()));
        turns.fetch_add(1, Ordering::Relaxed);
        match told.recv_timeout(PAUSE) {
            Ok(()) => phase += 1,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return phases,
        }
    }
}

fn value() -> Vec<u8> {
    vec![7; VALUE]
}

fn timed(times: &mut Histogram<u64>, call: impl FnOnce()) {
    let begun = Instant::now();
    call();
    times.record(u64::try_from(begun.elapsed().as_nanos()).unwrap()).unwrap();
}
