//! What tells a process from the one it was forked from, at the price of a load; and a lock that no fork happens under.

use std::cell::Cell;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A process among those it descends from: a forked child has another mark than its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

/// How often this process's line was forked since forks are watched, plus one; or one of the two below.
static FORKS: AtomicU64 = AtomicU64::new(UNASKED);
/// Nobody has asked yet.
const UNASKED: u64 = 0;
/// The system does not tell of forks: the process's number has to do, which costs a system call each time.
const UNWATCHED: u64 = u64::MAX;

/// Held while something is half-done that a child could neither go on with nor undo.
static STILL: Mutex<()> = Mutex::new(());

thread_local! {
    /// The lock above, from just before a fork until just after it, in the thread that forks.
    static HELD: Cell<Option<MutexGuard<'static, ()>>> = const { Cell::new(None) };
}

impl Mark {
    /// Returns the calling process's mark.
    #[inline]
    pub(crate) fn current() -> Self {
        match FORKS.load(Ordering::Relaxed) {
            UNASKED => Self::first(),
            UNWATCHED => Self(process::id().into()),
            forks => Self(forks),
        }
    }

    #[cold]
    fn first() -> Self {
        let begin = if watch() { UNASKED + 1 } else { UNWATCHED };
        // Of two threads that ask at the same time one decides; both watch then, which the handlers bear.
        let decided = FORKS.compare_exchange(UNASKED, begin, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if decided && begin == UNWATCHED {
            tracing::debug!("the system does not tell of forks; the process's number is asked for each time");
        }
        Self::current()
    }

    /// Returns the mark of some other process.
    #[cfg(test)]
    pub(super) fn foreign() -> Self {
        Self(Self::current().0 + (1 << 40))
    }
}

/// Keeps forks waiting while the guard is held, so that no child inherits what is guarded half-done. Whoever holds it must not
/// fork, nor wait for a thread that may.
pub(crate) fn hold_off() -> MutexGuard<'static, ()> {
    // Forks have to be watched for it.
    let _ = Mark::current();
    still()
}

fn still() -> MutexGuard<'static, ()> {
    STILL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the handlers below called at every fork from now on; `false` where the system can't.
fn watch() -> bool {
    // SAFETY: the duties towards `pthread_atfork`, and towards the fork that calls the handlers.
    // - They are functions that are never unloaded while they are registered: where this code is part of a library, the C
    //   library takes them off the list with it.
    // - They don't unwind: they take and give back a lock, count, and touch a cell of the thread.
    // - In the child they run in its only thread, and use nothing that another thread of the parent could have held: the lock
    //   is the forking thread's own, and the cell is the thread's.
    // - Registered twice, each runs twice in a row; the second time finds nothing to do, except that one fork counts as two.
    #[expect(unsafe_code, reason = "the C library alone tells of forks")]
    let outcome = unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after_in_child)) };
    outcome == 0
}

extern "C" fn before() {
    // Not to be had in a thread that is ending; such a fork happens unguarded.
    let _ = HELD.try_with(|held| held.set(Some(held.take().unwrap_or_else(still))));
}

extern "C" fn after() {
    let _ = HELD.try_with(|held| drop(held.take()));
}

extern "C" fn after_in_child() {
    let forks = FORKS.load(Ordering::Relaxed);
    if forks != UNASKED && forks != UNWATCHED {
        FORKS.store(forks + 1, Ordering::Relaxed);
    }
    after();
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::testing::in_child;
    use super::*;

    #[test]
    fn a_child_has_another_mark_and_a_grandchild_yet_another() {
        let own = Mark::current();
        assert!(in_child(|| {
            let childs = Mark::current();
            childs != own && in_child(|| ![own, childs].contains(&Mark::current()))
        }));
        assert_eq!(Mark::current(), own);
    }

    #[test]
    fn a_child_has_its_mark_whoever_asked_first() {
        // Handlers that are registered once more, as by a second thread.
        assert!(watch());
        let own = Mark::current();
        assert!(in_child(|| Mark::current() != own));
    }

    #[test]
    fn no_fork_happens_while_it_is_held_off() {
        let guard = hold_off();
        let is_forked = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let forking = scope.spawn(|| {
                // In the child the lock can be taken again.
                let seen = in_child(|| STILL.try_lock().is_ok());
                is_forked.store(true, Ordering::SeqCst);
                seen
            });
            for _ in 0..1_000 {
                std::thread::yield_now();
                assert!(!is_forked.load(Ordering::SeqCst), "it was forked under the guard");
            }
            drop(guard);
            assert!(forking.join().unwrap());
        });
        // The thread that forked gave it back. Other tests may have it for a moment.
        let deadline = Instant::now() + Duration::from_secs(30);
        while STILL.try_lock().is_err() {
            assert!(Instant::now() < deadline, "it was not given back");
            std::thread::yield_now();
        }
    }
}
