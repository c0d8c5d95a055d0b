//! When what a store took on the disk is given back.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use datacache_client::blocking::DataCache;
use datacache_tests::disk::bytes_below;
use datacache_tests::wait::comes_to_hold;

/// How long the daemon may take to give the space back.
const PATIENCE: Duration = Duration::from_secs(120);

/// Has the log applied.
pub(crate) fn settle(cache: &DataCache) {
    cache.list().next().transpose().unwrap();
}

/// Waits until the index has another, smaller file; returns what the store takes then, and after how long. `None` where it never comes
/// to that: there is not enough to give back.
pub(crate) fn wait_until_given_back(store: &Path, cache: &DataCache) -> (u64, Option<Duration>) {
    let (begun, link) = (Instant::now(), store.join("current"));
    let live = || fs::read_link(&link).unwrap();
    let (before, was) = (live(), store.join(live()));
    let is_large = fs::metadata(was.join("data.mdb")).unwrap().len() >= 32 << 20;
    let is_done = is_large
        && comes_to_hold(PATIENCE, || {
            // A client lets go of the file before when it reads.
            cache.get("anything").unwrap();
            live() != before && !was.exists()
        });
    (bytes_below(store), is_done.then(|| begun.elapsed()))
}
