//! A cache's way to its store without the daemon: which map it looks through, when that is opened again, and why there is none.

use std::cell::Cell;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datacache_proto::access::FREQUENCY_MAX;
use datacache_proto::checked::Checked;
use datacache_proto::key::Key;
use datacache_proto::listening::is_listening;
use datacache_proto::recent::KeyHash;
use datacache_proto::record::Record;
use datacache_proto::types::Fallback;

use super::clock;
use super::lookup::{Obstacle, Place};
use super::map::Map;
use super::slot::{Loan, Slot, let_go_of_the_gone};
use crate::namespace::Namespace;
use crate::options::Settings;

/// How often one lookup opens the store again because its map is of the past. A generation ends once in its life.
const OPENINGS: u32 = 4;

/// The row in which reads of namespaces that are not there are counted.
pub(super) const NO_NAMESPACE: u32 = u32::MAX;
/// The hash of no key: nothing is found in a namespace that is not there, and nothing marked.
const NO_HASH: KeyHash = KeyHash::from_bits(0);

/// A process's direct way to a store.
#[derive(Debug)]
pub(crate) struct Direct {
    is_wanted: bool,
    slot: Arc<Slot>,
    state: Mutex<State>,
}

/// Where the store is, and what came of opening it.
#[derive(Debug)]
struct State {
    /// The folder that is meant, which no other takes the place of.
    meant: Option<PathBuf>,
    /// Where only a socket was named: the folder that the daemon there named, once it did.
    told_folder: Option<PathBuf>,
    /// That socket, and the link beside it.
    socket: PathBuf,
    link: PathBuf,
    /// Which store the daemon serves, once it said so.
    expected: Option<u128>,
    /// Why there is no map, and when that was found, in seconds.
    obstacle: Option<(Fallback, u64)>,
    /// The reason that was told last.
    told: Option<Fallback>,
}

/// A look at a key that was taken: what it looked through, and at.
#[derive(Debug)]
pub(crate) struct Look {
    map: Loan,
    namespace: u32,
    hash: KeyHash,
    /// How often the key was read lately.
    frequency: u8,
}

impl Direct {
    /// Looks for the store where the settings say, but not before it is needed.
    pub(crate) fn new(settings: &Settings) -> Self {
        let paths = &settings.paths;
        let meant = (!settings.store_is_guessed).then(|| paths.store.clone());
        let (socket, link) = (paths.socket.clone(), paths.store_link.clone());
        let state = State { meant, told_folder: None, socket, link, expected: None, obstacle: None, told: None };
        let state = Mutex::new(state);
        Self { is_wanted: settings.direct, slot: Slot::new(), state }
    }

    /// Opens the store, unless it is open.
    ///
    /// # Errors
    /// Why it can't be read from here.
    pub(crate) fn open(&self) -> Result<(), Fallback> {
        self.current().map(drop)
    }

    /// Shows `judge` the live entry of a key, `None` where there is none. What it was shown last is what counts.
    ///
    /// # Errors
    /// Why the daemon has to be asked.
    #[inline]
    pub(crate) fn look(
        &self,
        namespace: &Namespace,
        key: &Key,
        mut judge: impl FnMut(Option<&Record<'_>>),
    ) -> Result<Look, Fallback> {
        let ((namespace, hash, frequency), map) = self.through(|map| look(map, namespace, key, &mut judge))?;
        Ok(Look { map, namespace, hash, frequency })
    }

    /// Looks through the map, and again where that turns out to be of the past.
    #[inline]
    pub(super) fn through<T>(&self, mut look: impl FnMut(&Map) -> Result<T, Obstacle>) -> Result<(T, Loan), Fallback> {
        for _ in 0..OPENINGS {
            let loan = self.current()?;
            let Some(map) = &*loan else { continue };
            match look(map) {
                Ok(seen) => return Ok((seen, loan)),
                Err(Obstacle::Over) => self.slot.clear(map.id),
                Err(Obstacle::Ask(fallback)) => return Err(self.resign(map, fallback)),
            }
        }
        Err(Fallback::Unreadable)
    }

    /// Notes why the daemon is asked although there is a map.
    #[cold]
    fn resign(&self, map: &Map, fallback: Fallback) -> Fallback {
        if fallback == Fallback::Map {
            // The store outgrew it; the next one is larger, if the system grants that.
            self.slot.clear(map.id);
        }
        self.state().tell(fallback);
        fallback
    }

    /// Returns how many clients called the daemon lately; `None` where the store is not open.
    pub(crate) fn callers(&self) -> Option<u64> {
        self.slot.load().as_ref().map(|map| map.memory.access().callers())
    }

    /// Learns from a new connection which store the daemon serves, and where it is as far as can be seen from here.
    pub(crate) fn learn(&self, store: u128, folder: Option<&Path>) {
        let mut state = self.state();
        state.expected = Some(store);
        state.told_folder = folder.map(Path::to_owned);
        state.obstacle = None;
        if let Some(map) = self.slot.load().as_ref().filter(|map| map.environment.store != store) {
            self.slot.clear(map.id);
        }
    }

    /// Returns the map that is open, or opens one.
    #[inline]
    fn current(&self) -> Result<Loan, Fallback> {
        let loan = self.slot.load();
        match &*loan {
            Some(map) if map.is_in_place() => Ok(loan),
            Some(map) => {
                self.slot.clear(map.id);
                // IMPORTANT: given back first. What is on loan stays open, and its place is taken.
                drop(loan);
                self.reopen()
            }
            None => self.reopen(),
        }
    }

    /// Opens the store, at most once a second as long as that fails.
    #[cold]
    fn reopen(&self) -> Result<Loan, Fallback> {
        if !self.is_wanted {
            return Err(Fallback::Off);
        }
        let mut state = self.state();
        let others = self.slot.load();
        if others.is_some() {
            return Ok(others);
        }
        let now = clock::seconds();
        if let Some((fallback, _)) = state.obstacle.filter(|(_, found)| *found == now) {
            return Err(fallback);
        }
        let opened = state.open();
        if matches!(opened, Err(Fallback::Taken | Fallback::Map)) {
            // It may be taken by what was there before, or by a map that it outgrew. Then it can be opened a little later.
            let_go_of_the_gone();
        }
        state.obstacle = opened.as_ref().err().map(|fallback| (*fallback, now));
        opened.map(|map| self.slot.put(map)).inspect_err(|fallback| state.tell(*fallback))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Opens the first of the places that has the store.
    fn open(&self) -> Result<Map, Fallback> {
        let mut reason = Fallback::Unreachable;
        for place in self.places() {
            match Map::open(place) {
                Ok(map) if self.expected.is_none_or(|expected| expected == map.environment.store) => return Ok(map),
                Ok(_) | Err(Fallback::Unreachable) => {}
                Err(fallback) => reason = fallback,
            }
        }
        Err(reason)
    }

    fn places(&self) -> impl Iterator<Item = &Path> {
        let told = self.told_folder.as_deref().filter(|_| self.meant.is_none());
        // IMPORTANT: the link outlives its daemon. The next one at that socket may serve another store, and so a link that nobody
        // stands behind leads nowhere.
        let linked = iter::once_with(|| (self.meant.is_none() && is_listening(&self.socket)).then_some(&*self.link));
        self.meant.as_deref().into_iter().chain(told).chain(linked.flatten())
    }

    /// Says why the daemon is asked, once for each change of the reason.
    fn tell(&mut self, fallback: Fallback) {
        if self.told.replace(fallback) != Some(fallback) {
            tracing::debug!(reason = %fallback, "the store can't be read directly; values are looked up by call");
        }
    }
}

/// Looks a key up; returns the namespace's number, the key's hash, and how often it was read lately.
#[inline]
fn look(
    map: &Map,
    namespace: &Namespace,
    key: &Key,
    mut judge: impl FnMut(Option<&Record<'_>>),
) -> Result<(u32, KeyHash, u8), Obstacle> {
    let Some(number) = map.number(namespace)? else {
        judge(None);
        return Ok((NO_NAMESPACE, NO_HASH, FREQUENCY_MAX));
    };
    let place = Place::of(number, key);
    // Loaded here, so that the processor waits for it and for the index at the same time.
    let frequency = map.memory.access().frequency(place.hash);
    map.look(place, judge)?;
    Ok((number, place.hash, frequency))
}

/// Counts a read, and marks what was found as in use.
#[inline]
pub(super) fn count(map: &Map, namespace: u32, hash: KeyHash, hit: bool) {
    let access = map.memory.access();
    access.count(shard(), namespace, hit);
    if hit {
        access.mark(hash);
    }
}

impl Look {
    /// Counts a read that found a live entry, or none, and marks what was found as in use.
    #[inline]
    pub(crate) fn count(&self, hit: bool) {
        let Some(map) = &*self.map else { return };
        let access = map.memory.access();
        access.count(shard(), self.namespace, hit);
        if hit && self.frequency < FREQUENCY_MAX {
            access.mark(self.hash);
        }
    }

    /// Returns what was hashed of the store since the boot, where that is kept.
    pub(crate) fn checked(&self) -> Option<Arc<Checked>> {
        self.map.as_ref().and_then(|map| map.checked.clone())
    }

    /// Returns the store's folder.
    pub(crate) fn store(&self) -> Option<&Path> {
        self.map.as_ref().map(|map| &*map.store)
    }
}

/// Returns a number of the calling thread: few threads have the same.
#[inline]
fn shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SHARD.with(|shard| {
        shard.get().unwrap_or_else(|| {
            let number = THREADS.fetch_add(1, Ordering::Relaxed);
            shard.set(Some(number));
            number
        })
    })
}
