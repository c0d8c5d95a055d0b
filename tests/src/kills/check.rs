//! What has to be there after a death, and what must not.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use datacache_client::Metadata;
use datacache_client::blocking::DataCache;

use super::worker::Worker;
use crate::Home;
use crate::wait::{PATIENCE, eventually};

/// Longer than the daemon leaves a staged file alone that nobody holds.
const LONG_AGO: Duration = Duration::from_secs(120);
/// Values that are longer are files.
const INLINE_MAX: usize = 32 * 1_024;

/// Looks at a store that a daemon serves which was not there when the last one died, and whose workers rest.
///
/// # Panics
/// Where anything is there that should not be, or is not that should.
pub fn check(home: &Home, workers: &mut [Worker], limit: Option<u64>) {
    let cache = DataCache::open(home.options()).unwrap();
    workers.iter_mut().for_each(|worker| worker.settle(&cache).unwrap());
    let asking = DataCache::open(home.options().direct(false)).unwrap();
    for cache in [&cache, &asking] {
        workers.iter_mut().for_each(|worker| worker.book.compare(cache).unwrap());
    }
    check_list(&cache, workers);
    assert!(cache.len().unwrap() <= limit.unwrap_or(u64::MAX), "more than there may be");
    // Blobs that nobody names go by themselves. Until then `verify` would find them.
    check_blobs(home, workers, &cache);
    check_files(home);
    assert_eq!(cache.verify(false).unwrap().findings, [], "what `verify` finds");
}

fn check_list(cache: &DataCache, workers: &[Worker]) {
    cache.expire().unwrap();
    let books = workers.iter().map(|worker| &worker.book);
    let expected = books.flat_map(|book| book.entries().map(|(key, _)| book.name(key)));
    let expected: BTreeSet<String> = expected.collect();
    let listed: BTreeSet<String> = all(cache).iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(listed, expected, "what is listed, and what was acknowledged");
    assert_eq!(cache.len().unwrap(), expected.len() as u64, "what is counted");
}

fn all(cache: &DataCache) -> Vec<Metadata> {
    cache.list().map(Result::unwrap).collect()
}

/// The files are there that entries name, and no others.
fn check_blobs(home: &Home, workers: &[Worker], cache: &DataCache) {
    let named: Vec<String> = all(cache).iter().filter_map(|entry| Some(entry.digest?.to_string())).collect();
    let entries = workers.iter().flat_map(|worker| worker.book.entries());
    assert_eq!(named.len(), entries.filter(|(_, entry)| entry.content.len() > INLINE_MAX).count());
    let named: BTreeSet<String> = named.into_iter().collect();
    let mut there = BTreeSet::new();
    let found = || -> BTreeSet<String> {
        names(&home.store().join("blobs"))
            .iter()
            .flat_map(|folder| names(&home.store().join("blobs").join(folder)))
            .collect()
    };
    let are_alike = crate::wait::comes_to_hold(PATIENCE, || {
        there = found();
        there == named
    });
    assert!(are_alike, "blobs that nobody names: {:?}", there.difference(&named));
}

/// Nothing is left of what was under way.
fn check_files(home: &Home) {
    let store = home.store();
    eventually("nothing is staged", PATIENCE, || names(&store.join("staging")).is_empty());
    // The active one and the next, which the daemon makes by itself.
    eventually("two segments are left", PATIENCE, || names(&store.join("gen-1/log")).len() == 2);
    let expected = ["CACHEDIR.TAG", "blobs", "current", "gen-1", "lock", "sock", "staging", "unclean"];
    assert_eq!(Vec::from_iter(names_but_learned(&store)), expected);
    assert_eq!(
        Vec::from_iter(names(&store.join("gen-1"))),
        ["access", "checked", "data.mdb", "lock.mdb", "log", "recent"]
    );
    assert_eq!(Vec::from_iter(names(home.socket().parent().expect("it lies in a folder"))), ["sock", "store"]);
}

/// Looks at a store that was closed.
///
/// # Panics
/// Where anything is left.
pub fn check_closed(home: &Home) {
    let store = home.store();
    assert_eq!(names(&store.join("gen-1/log")), BTreeSet::new(), "the log of a store that was closed");
    let expected = ["CACHEDIR.TAG", "blobs", "current", "gen-1", "lock", "staging", "unclean"];
    assert_eq!(Vec::from_iter(names_but_learned(&store)), expected);
    assert_eq!(Vec::from_iter(names(home.socket().parent().expect("it lies in a folder"))), ["store"]);
}

/// Makes all that is staged as old as it has to be to be swept: nobody is at it any more.
pub fn age_staging(home: &Home) {
    let staging = home.store().join("staging");
    for name in names(&staging) {
        File::open(staging.join(name)).unwrap().set_modified(SystemTime::now() - LONG_AGO).unwrap();
    }
}

/// Returns the names in a store's folder without that of what was learned of evictions, which is there once there was something to learn.
fn names_but_learned(store: &Path) -> BTreeSet<String> {
    let mut names = names(store);
    names.remove("eviction");
    names
}

fn names(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
