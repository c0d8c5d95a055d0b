//! The environments that this process has open: one for each index, shared by all caches that see the same store.
//!
//! LMDB's locks belong to the process: opening an index a second time and closing it again would drop them under the first.
//! And a child must close what it inherited before it can open the same. So all opening and closing is done here, one after the
//! other, and never while the process is forked.
//!
//! # When an environment is closed
//! Not by its last user, but by whoever comes to open or leave one some seconds later, or reads through another then. A thread that ends gives its reader's slot
//! back by storing to LMDB's table of readers; nobody can tell whether one is just about to, and under it the table must not
//! be unmapped. Threads end a moment after their work is done, which is when the last user goes. And who comes back soon finds
//! everything open, the memory included that the generation shares: mapping that and touching it again takes longer than
//! all the rest.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datacache_proto::layout::{DATA_FILE, LOCK_FILE};
use datacache_proto::types::Fallback;

use super::clock;
use super::environment::{Environment, Identity};
use super::shared::Memory;
use crate::fork::{Mark, hold_off};

/// How long an environment stays open without a user, in seconds: far longer than a thread needs to end.
const REST: u64 = 3;

/// The files of an index: its data and its table of readers. A daemon that finds the second one to be damaged makes another.
type Files = [Identity; 2];

/// What is open. Locked only while forks are held off.
static OPEN: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

struct Entry {
    identity: Files,
    /// The process that opened it.
    mark: Mark,
    environment: Arc<Environment>,
    /// The memory that was mapped last in the index's folder.
    memory: Option<Memory>,
    /// How many [`Share`]s of it there are in that process.
    users: usize,
    /// When the last one went, in seconds.
    left: u64,
}

/// One user's share of an open environment, which stays open as long as there is one.
#[derive(Debug)]
pub(super) struct Share(Arc<Environment>);

impl Share {
    /// Opens the environment in the folder of a generation, or joins its users.
    ///
    /// # Errors
    /// Why it can't be read from here. [`Fallback::Map`] where its file outgrew the map, until the last user has left that.
    pub(super) fn take(generation: &Path) -> Result<Self, Fallback> {
        let _still = hold_off();
        let mut open = open();
        close_unused(&mut open);
        let identity = identity(generation).ok_or(Fallback::Unreachable)?;
        if let Some(entry) = open.iter_mut().find(|entry| entry.identity == identity) {
            if entry.environment.is_outgrown() {
                return Err(Fallback::Map);
            }
            entry.users += 1;
            return Ok(Self(Arc::clone(&entry.environment)));
        }
        let environment = Arc::new(Environment::open(generation, identity[0])?);
        let (mark, shared) = (Mark::current(), Arc::clone(&environment));
        open.push(Entry { identity, mark, environment: shared, memory: None, users: 1, left: 0 });
        Ok(Self(environment))
    }

    /// Keeps the generation's memory as long as the environment, in the place of what was kept before.
    pub(super) fn keep(&self, memory: &Memory) {
        let _still = hold_off();
        let mut open = open();
        if let Some(entry) = open.iter_mut().find(|entry| Arc::ptr_eq(&entry.environment, &self.0)) {
            entry.memory = Some(memory.clone());
        }
    }
}

/// Closes what has no user any more and has rested for long enough.
pub(super) fn close_what_rests() {
    let _still = hold_off();
    close_unused(&mut open());
}

/// Returns the memory that is kept for the index in the folder of a generation. This process mapped it; whether it still is
/// that of the folder is for the caller to see.
pub(super) fn kept(generation: &Path) -> Option<Memory> {
    let _still = hold_off();
    let mut open = open();
    close_unused(&mut open);
    let identity = identity(generation)?;
    open.iter().find(|entry| entry.identity == identity)?.memory.clone()
}

impl Deref for Share {
    type Target = Environment;

    #[inline]
    fn deref(&self) -> &Environment {
        &self.0
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _still = hold_off();
        let mut open = open();
        close_unused(&mut open);
        // An inherited one is not there any more.
        let Some(entry) = open.iter_mut().find(|entry| Arc::ptr_eq(&entry.environment, &self.0)) else { return };
        entry.users -= 1;
        entry.left = clock::seconds();
    }
}

fn open() -> MutexGuard<'static, Vec<Entry>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(generation: &Path) -> Option<Files> {
    let identity = |name| fs::metadata(generation.join(name)).ok().map(|file| (file.dev(), file.ino()));
    Some([identity(DATA_FILE)?, identity(LOCK_FILE)?])
}

/// Closes what has rested for long enough, and in a forked child all that its parent had open.
fn close_unused(open: &mut Vec<Entry>) {
    let (own, now) = (Mark::current(), clock::seconds());
    let is_unused = |entry: &mut Entry| entry.mark != own || (entry.users == 0 && now >= entry.left + REST);
    for Entry { environment, .. } in open.extract_if(.., is_unused) {
        // SAFETY: `close` wants nobody to use the environment from now on. It is reached through shares alone.
        // - In the process that opened it there is none left, and the lock of `OPEN` makes what other threads did with theirs
        //   happen before this. Threads that ended since have given back their slots, see the module's head.
        // - In a forked child the shares belong to caches of the parent's: a lookup compares the mark of its cache first,
        //   and none of the parent's other threads is here.
        #[expect(unsafe_code, reason = "see `Environment::close`")]
        unsafe {
            environment.close();
        }
    }
}

/// Lets the time pass that the index in a folder stays open without a user.
#[cfg(test)]
pub(super) fn rest(generation: &Path) {
    let (_still, identity) = (hold_off(), identity(generation));
    let mut open = open();
    open.iter_mut().filter(|entry| Some(entry.identity) == identity).for_each(|entry| entry.left = 0);
    close_unused(&mut open);
}

#[cfg(test)]
mod tests {
    use super::super::testing::Store;
    use super::*;
    use crate::fork::testing::in_child;

    fn users(share: &Share) -> usize {
        open().iter().find(|entry| Arc::ptr_eq(&entry.environment, &share.0)).map_or(0, |entry| entry.users)
    }

    fn works(share: &Share) -> bool {
        share.read(|_| Ok::<_, Fallback>(())).is_ok()
    }

    fn is_open(store: &Store) -> bool {
        let _still = hold_off();
        heed::env_closing_event(store.generation()).is_some()
    }

    #[test]
    fn an_index_is_opened_once_and_closed_a_while_after_its_last_user_went() {
        let store = Store::new();
        let one = Share::take(&store.generation()).unwrap();
        let other = Share::take(&store.path().join("current")).unwrap();
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert_eq!(users(&one), 2);
        drop(one);
        rest(&store.generation());
        assert!(is_open(&store) && works(&other));
        drop(other);
        assert!(is_open(&store));
        assert!(works(&Share::take(&store.generation()).unwrap()), "who comes back soon finds it open");
        rest(&store.generation());
        assert!(!is_open(&store));
        assert!(works(&Share::take(&store.generation()).unwrap()));
    }

    #[test]
    fn an_index_that_others_in_this_process_have_open_is_taken() {
        let store = Store::new();
        // SAFETY: the folder is ours and opened once, since we are refused below.
        #[expect(unsafe_code, reason = "LMDB maps its file")]
        let open = || unsafe { heed::EnvOpenOptions::new().open(store.generation()) }.unwrap();
        let still = hold_off();
        let others = open();
        drop(still);
        assert_eq!(Share::take(&store.generation()).unwrap_err(), Fallback::Taken);
        let still = hold_off();
        drop(others);
        drop(still);
        assert!(Share::take(&store.generation()).is_ok());
    }

    #[test]
    fn another_index_in_the_same_place_is_another_one() {
        let (store, successor) = (Store::new(), Store::new());
        let before = Share::take(&store.generation()).unwrap();
        std::fs::rename(store.generation(), store.path().join("away")).unwrap();
        std::fs::rename(successor.generation(), store.generation()).unwrap();
        // The place is still taken, and what was there must not be taken for what is there now.
        assert_eq!(Share::take(&store.generation()).unwrap_err(), Fallback::Taken);
        drop(before);
        rest(&store.path().join("away"));
        assert!(Share::take(&store.generation()).is_ok());
    }

    /// Its table of readers was not that of the daemon, which used pages again under those who read.
    #[test]
    fn an_index_with_another_table_of_readers_is_another_one() {
        let store = Store::new();
        let before = Share::take(&store.generation()).unwrap();
        std::fs::rename(store.generation().join(LOCK_FILE), store.path().join("away")).unwrap();
        std::fs::copy(store.path().join("away"), store.generation().join(LOCK_FILE)).unwrap();
        assert_eq!(Share::take(&store.generation()).unwrap_err(), Fallback::Taken);
        let environment = Arc::clone(&before.0);
        drop(before);
        let is_it = |entry: &&mut Entry| Arc::ptr_eq(&entry.environment, &environment);
        open().iter_mut().filter(is_it).for_each(|entry| entry.left = 0);
        assert!(Share::take(&store.generation()).is_ok());
    }

    #[test]
    fn an_index_that_outgrew_its_map_is_opened_anew_once_all_have_left_it() {
        let store = Store::new();
        let small = Share::take(&store.generation()).unwrap();
        small.0.outgrow();
        assert_eq!(Share::take(&store.generation()).unwrap_err(), Fallback::Map);
        drop(small);
        assert_eq!(Share::take(&store.generation()).unwrap_err(), Fallback::Map);
        rest(&store.generation());
        assert!(works(&Share::take(&store.generation()).unwrap()));
    }

    #[test]
    fn a_child_gets_an_environment_of_its_own_and_closes_what_it_inherited() {
        let store = Store::new();
        let parents = Share::take(&store.generation()).unwrap();
        parents.keep(&Memory::map(&store.generation()).unwrap());
        assert!(works(&parents) && kept(&store.generation()).is_some());
        assert!(in_child(|| {
            // While the inherited one is open, nobody can open the same.
            let own = Share::take(&store.generation()).unwrap();
            let is_another = !Arc::ptr_eq(&own.0, &parents.0) && (users(&own), users(&parents)) == (1, 0);
            let is_another = is_another && kept(&store.generation()).is_none();
            is_another && parents.0.is_closed() && !own.0.is_closed() && works(&own)
        }));
        assert!(!parents.0.is_closed() && works(&parents));
        assert_eq!(users(&parents), 1);
    }

    #[test]
    fn users_come_and_go_in_many_threads() {
        let store = Store::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let share = Share::take(&store.generation()).unwrap();
                        assert!(works(&share));
                    }
                });
            }
        });
        rest(&store.generation());
        assert!(!is_open(&store));
    }
}
