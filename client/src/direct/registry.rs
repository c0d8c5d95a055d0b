//! The environments that this process has open: one for each index, shared by all caches that see the same store.
//!
//! LMDB's locks belong to the process: opening an index a second time and closing it again would drop them under the first.
//! And a child must close what it inherited before it can open the same. So all opening and closing is done here, one after the
//! other, and never while the process is forked.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datacache_proto::types::Fallback;

use super::environment::{Environment, Identity};
use crate::fork::{Mark, hold_off};

/// LMDB's data, in a generation's folder.
pub(super) const DATA_FILE: &str = "data.mdb";

/// What is open. Locked only while forks are held off.
static OPEN: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

struct Entry {
    identity: Identity,
    /// The process that opened it.
    mark: Mark,
    environment: Arc<Environment>,
    /// How many [`Share`]s of it there are in that process.
    users: usize,
}

/// One user's share of an open environment. The last one that is dropped closes it, and in a forked child none does.
#[derive(Debug)]
pub(super) struct Share(Arc<Environment>);

impl Share {
    /// Opens the environment in the folder of a generation, or joins its users.
    ///
    /// # Errors
    /// Why it can't be read from here.
    pub(super) fn take(generation: &Path) -> Result<Self, Fallback> {
        let _still = hold_off();
        let mut open = open();
        close_inherited(&mut open);
        let file = fs::metadata(generation.join(DATA_FILE)).map_err(|_| Fallback::Unreachable)?;
        let identity = (file.dev(), file.ino());
        if let Some(entry) = open.iter_mut().find(|entry| entry.identity == identity) {
            entry.users += 1;
            return Ok(Self(Arc::clone(&entry.environment)));
        }
        let environment = Arc::new(Environment::open(generation, identity)?);
        open.push(Entry { identity, mark: Mark::current(), environment: Arc::clone(&environment), users: 1 });
        Ok(Self(environment))
    }
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
        let is_ours = |entry: &Entry| Arc::ptr_eq(&entry.environment, &self.0) && entry.mark == Mark::current();
        // An inherited one is closed, or left to whoever opens the next.
        let Some(at) = open.iter().position(is_ours) else { return };
        open[at].users -= 1;
        if open[at].users == 0 {
            close(&open.swap_remove(at));
        }
    }
}

fn open() -> MutexGuard<'static, Vec<Entry>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what a parent process had open, which nobody uses here: a lookup compares the mark of its cache first.
fn close_inherited(open: &mut Vec<Entry>) {
    let own = Mark::current();
    open.extract_if(.., |entry| entry.mark != own).for_each(|entry| close(&entry));
}

fn close(entry: &Entry) {
    // SAFETY: `close` wants nobody to use the environment from now on. It is reached through shares alone.
    // - In the process that opened it, the last share is being dropped: what borrowed from one is over, and the lock of `OPEN`
    //   makes what other threads did with theirs happen before this.
    // - In a forked child the shares belong to caches of the parent's, through which nothing is looked up here.
    #[expect(unsafe_code, reason = "see `Environment::close`")]
    unsafe {
        entry.environment.close();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Store;
    use super::*;

    fn users(share: &Share) -> usize {
        open().iter().find(|entry| Arc::ptr_eq(&entry.environment, &share.0)).map_or(0, |entry| entry.users)
    }

    fn works(share: &Share) -> bool {
        share.read(|_| Ok::<_, Fallback>(())).is_ok()
    }

    fn is_open(store: &Store) -> bool {
        heed::env_closing_event(store.generation()).is_some()
    }

    #[test]
    fn an_index_is_opened_once_and_closed_with_its_last_user() {
        let store = Store::new();
        let one = Share::take(&store.generation()).unwrap();
        let other = Share::take(&store.path().join("current")).unwrap();
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert_eq!(users(&one), 2);
        drop(one);
        assert!(is_open(&store));
        assert!(works(&other));
        drop(other);
        assert!(!is_open(&store));
        assert!(Share::take(&store.generation()).is_ok());
    }

    #[test]
    fn an_index_that_others_in_this_process_have_open_is_taken() {
        let store = Store::new();
        // SAFETY: the folder is ours and opened once, since we are refused below.
        #[expect(unsafe_code, reason = "LMDB maps its file")]
        let others = unsafe { heed::EnvOpenOptions::new().open(store.generation()) }.unwrap();
        assert_eq!(Share::take(&store.generation()).unwrap_err(), Fallback::Taken);
        drop(others);
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
        assert!(Share::take(&store.generation()).is_ok());
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
        assert!(!is_open(&store));
    }
}
