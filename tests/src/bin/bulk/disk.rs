//! What a store takes on the disk, and when that is given back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use datacache_client::blocking::DataCache;
use datacache_tests::wait::comes_to_hold;

/// How long the daemon may take to give the space back.
const PATIENCE: Duration = Duration::from_secs(120);

/// Has the log applied.
pub(crate) fn settle(cache: &DataCache) {
    cache.list().next().transpose().unwrap();
}

/// Returns the blocks of all files below a folder, in bytes; links are not followed.
pub(crate) fn bytes(folder: &Path) -> u64 {
    // What goes meanwhile takes nothing.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(of).sum()
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
    (bytes(store), is_done.then(|| begun.elapsed()))
}
