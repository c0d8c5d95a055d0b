//! Who goes on while a namespace is cleaned up: it sets and reads in another one, at a steady pace, and measures each call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use datacache_client::blocking::DataCache;
use datacache_tests::Home;
use hdrhistogram::Histogram;

/// How long it rests between two turns.
const PAUSE: Duration = Duration::from_millis(2);
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
    phase: Arc<AtomicUsize>,
    thread: JoinHandle<[Times; PHASES]>,
}

impl Neighbour {
    /// Begins with the first phase.
    pub(crate) fn begin(home: &Home) -> Self {
        let open = |direct| DataCache::open(home.options().direct(direct)).unwrap().namespace("neighbour");
        let (cache, caller) = (open(true), open(false));
        let phase = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&phase);
        Self { phase, thread: thread::spawn(move || go_on(&cache, &caller, &seen)) }
    }

    /// Goes on with the next phase.
    pub(crate) fn turn(&self) {
        self.phase.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends it; returns what it measured in each phase.
    pub(crate) fn end(self) -> [Times; PHASES] {
        self.turn();
        self.thread.join().unwrap()
    }
}

fn go_on(cache: &DataCache, caller: &DataCache, phase: &AtomicUsize) -> [Times; PHASES] {
    let mut phases = [(); PHASES].map(|()| CALLS.map(|_| Histogram::new(3).unwrap()));
    let value = || vec![7_u8; VALUE];
    (0..KEYS).for_each(|key| cache.set(key, value()).unwrap());
    let mut random = fastrand::Rng::with_seed(1);
    while let Some(times) = phases.get_mut(phase.load(Ordering::Relaxed)) {
        let key = random.i64(0..KEYS);
        let value = value();
        let [set, get, ask] = times;
        timed(set, || cache.set(key, value).unwrap());
        timed(get, || assert!(cache.get(key).unwrap().is_some()));
        timed(ask, || assert!(caller.get(key).unwrap().is_some()));
        thread::sleep(PAUSE);
    }
    phases
}

fn timed(times: &mut Histogram<u64>, call: impl FnOnce()) {
    let begun = Instant::now();
    call();
    times.record(u64::try_from(begun.elapsed().as_nanos()).unwrap()).unwrap();
}
