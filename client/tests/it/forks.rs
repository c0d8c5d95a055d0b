//! A forked child and its parent do not disturb each other.

use std::io::{PipeReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use datacache_client::{DataCache, Error, blocking};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::fake::FakeDaemon;
use crate::wait::eventually;

/// A forked child; killed when it is dropped.
struct Child(Option<Pid>);

impl Child {
    /// Forks; the child does `work`, and ends with whether that was as it should be. It prints nothing: another thread may
    /// have held the lock of the output.
    #[expect(unsafe_code, reason = "only a fork is a fork")]
    fn fork(work: impl FnOnce() -> bool) -> Self {
        // SAFETY: the child may only rely on what a fork leaves whole. It uses no lock that another thread could hold but the
        // allocator's, which the C library makes whole again, and it ends without running anything else.
        match unsafe { libc::fork() } {
            0 => {
                let is_right = catch_unwind(AssertUnwindSafe(work)).unwrap_or(false);
                // SAFETY: it ends the process at once, and no destructor of the parent's runs here.
                unsafe { libc::_exit(i32::from(!is_right)) }
            }
            pid => Self(Some(Pid::from_raw(pid).expect("fork failed"))),
        }
    }

    /// Waits for the child; tells whether its work was as it should be.
    fn was_right(mut self) -> bool {
        let pid = self.0.take().unwrap();
        let status = std::cell::Cell::new(None);
        eventually("the child ended", || {
            status.set(waitpid(Some(pid), WaitOptions::NOHANG).unwrap());
            status.get().is_some()
        });
        status.get().unwrap().1.exit_status() == Some(0)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            kill_process(pid, Signal::KILL).unwrap();
            waitpid(Some(pid), WaitOptions::empty()).unwrap();
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Waits until the other end of the pipe is closed.
fn wait_for(mut pipe: PipeReader) {
    pipe.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_child_gets_a_connection_of_its_own_and_the_parents_stays_good() {
    let daemon = FakeDaemon::start();
    let cache = blocking::DataCache::open(daemon.options()).unwrap();
    cache.set("parent", "value").unwrap();
    let child = Child::fork(|| {
        let is_seen = cache.contains("parent").is_ok_and(|seen| seen);
        is_seen && cache.set("child", vec![1; 10_000]).is_ok()
    });
    assert!(child.was_right());
    assert_eq!(cache.get("child").unwrap().unwrap().len(), 10_000);
    let state = daemon.state();
    let pids: Vec<u32> = state.introductions.iter().map(|introduction| introduction.process.pid).collect();
    assert_eq!((pids.len(), pids[0]), (2, std::process::id()));
    assert_ne!(pids[0], pids[1]);
    let clients: Vec<u64> = state.calls_of("add").iter().flatten().map(|call| call.client).collect();
    assert_ne!(clients[0], clients[1], "calls of two processes must not be taken for repetitions");
}

#[test]
fn what_a_child_drops_stays_as_it_was_for_the_parent() {
    let daemon = FakeDaemon::start();
    let cache = blocking::DataCache::open(daemon.options()).unwrap();
    let scope = cache.scope().unwrap();
    cache.add("v").key("bound").bind(&scope).run().unwrap();
    let file = cache.get_file("bound").run().unwrap().unwrap();
    let path = file.path().to_owned();
    let mut owned = Some((cache, scope, file));
    let child = Child::fork(|| {
        drop(owned.take());
        true
    });
    assert!(child.was_right());
    let (cache, scope, _file) = owned.take().unwrap();
    assert!(cache.contains("bound").unwrap() && path.exists());
    assert_eq!(daemon.state().introductions.len(), 1, "the parent had to connect anew");
    assert!(daemon.state().calls_of("release").is_empty());
    assert_eq!(scope.end().unwrap(), 1);
}

#[test]
fn a_child_does_not_keep_its_parents_connection_open() {
    let daemon = FakeDaemon::start();
    let cache = blocking::DataCache::open(daemon.options()).unwrap();
    let (parent_is_done, parent) = std::io::pipe().unwrap();
    let mut parent = Some(parent);
    let child = Child::fork(|| {
        drop(parent.take());
        let is_served = cache.is_empty().is_ok();
        wait_for(parent_is_done);
        is_served
    });
    eventually("the child is connected", || daemon.state().introductions.len() == 2);
    drop(cache);
    eventually("the parent's connection has ended", || daemon.state().connections == 1);
    drop(parent);
    assert!(child.was_right());
    eventually("the child's connection has ended", || daemon.state().connections == 0);
}

#[test]
fn a_child_has_none_of_its_parents_scopes() {
    let daemon = FakeDaemon::start();
    let cache = blocking::DataCache::open(daemon.options()).unwrap();
    let scope = cache.scope().unwrap();
    let child = Child::fork(|| {
        let bound = cache.add("v").key("bound").bind(&scope).run();
        let is_served = cache.is_empty().is_ok();
        let own = cache.scope().unwrap();
        is_served && matches!(bound, Err(Error::ForeignScope { .. })) && cache.add("v").bind(&own).run().is_ok()
    });
    assert!(child.was_right());
    assert!(!cache.contains("bound").unwrap());
    let scopes: Vec<usize> = daemon.state().introductions.iter().map(|one| one.scopes.len()).collect();
    assert_eq!(scopes, [0, 0], "the child renewed its parent's scope");
}

#[test]
fn an_asynchronous_cache_goes_on_in_a_child_that_leaks_the_runtime() {
    let daemon = FakeDaemon::start();
    let mut parents = Some(runtime());
    let cache = parents.as_ref().unwrap().block_on(DataCache::open(daemon.options())).unwrap();
    let child = Child::fork(|| {
        std::mem::forget(parents.take());
        runtime().block_on(cache.set("child", "value")).is_ok()
    });
    assert!(child.was_right());
    assert!(parents.unwrap().block_on(cache.contains("child")).unwrap());
    assert_eq!(daemon.state().introductions.len(), 2);
}

#[test]
fn a_grandchild_is_no_different() {
    let daemon = FakeDaemon::start();
    let cache = blocking::DataCache::open(daemon.options()).unwrap();
    let child = Child::fork(|| {
        let is_served = cache.set("child", "value").is_ok();
        let grandchild = Child::fork(|| cache.set("grandchild", "value").is_ok());
        is_served && grandchild.was_right() && cache.contains("grandchild").is_ok_and(|seen| seen)
    });
    assert!(child.was_right());
    assert_eq!(cache.len().unwrap(), 2);
    assert_eq!(daemon.state().introductions.len(), 3);
}
