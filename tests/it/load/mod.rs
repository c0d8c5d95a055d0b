//! More of everything than anybody needs: the others are served, memory stays bounded, and nothing is left when it is over.

mod connections;
mod descriptors;
mod extremes;
mod leaks;
mod messages;
mod raw;
mod readers;

use datacache_tests::process::Holdings;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, Watched, eventually};

/// What a busy daemon may keep of the memory that it had to take, for the next time.
const KEPT: u64 = 12 << 20;

/// Somebody else is served.
#[track_caller]
pub(crate) fn check_others(home: &Home) {
    home.command(["add", "-", "--key", "other"]).input("v").outcome().text();
    assert_eq!(home.run(["get", "other"]).text(), "v");
    assert_eq!(home.command(["get", "other"]).env("DATACACHE_DIRECT", "0").outcome().text(), "v");
}

/// Waits until a daemon has no more than it had before: no descriptor, no thread, and little memory.
#[track_caller]
pub(crate) fn check_left(daemon: &Watched, before: Holdings) {
    // Threads that may block end when nobody has needed them for ten seconds.
    eventually(&format!("it is as it was: {before:?}"), 2 * PATIENCE, || {
        let now = daemon.holdings();
        now.descriptors <= before.descriptors && now.threads <= before.threads && now.memory <= before.memory + KEPT
    });
}
