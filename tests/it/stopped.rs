//! Clients that are stopped, or killed, in the middle of something: what they held is told of, and comes back.

use std::fs;
use std::time::Duration;

use datacache_client::blocking::DataCache;
use datacache_client::{Laggard, Stats};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Client, Home, eventually};
use rustix::process::Signal;

use crate::support::{client, noise};

/// Entries that are overwritten again and again, and so free what was there.
const KEYS: i64 = 100;

/// Starts a process that is in the middle of a read when this returns.
fn reader(home: &Home) -> Client {
    let mut reader = client(home);
    reader.ask(&["hold-read", home.store().join("current").to_str().unwrap()]);
    reader
}

fn overwrite(cache: &DataCache, round: u64) {
    let values = (0..KEYS).map(|key| (key, noise(round, 8_000)));
    cache.add_many(values).run().unwrap();
    // Which has the log applied.
    assert!(cache.list().page_size(1).next().unwrap().is_ok());
}

/// Overwrites until the daemon's numbers are as `is_right` wants them.
#[track_caller]
fn overwrite_until(what: &str, cache: &DataCache, is_right: impl Fn(&Stats) -> bool) -> Stats {
    let (mut round, mut stats) = (0, Stats::default());
    eventually(what, PATIENCE, || {
        overwrite(cache, round);
        round += 1;
        stats = cache.stats().unwrap();
        is_right(&stats)
    });
    stats
}

fn index_length(home: &Home) -> u64 {
    fs::metadata(home.store().join("current/data.mdb")).unwrap().len()
}

/// Asserts that what is freed is used again: after some rounds the index does not grow any more.
#[track_caller]
fn assert_space_is_used_again(home: &Home, cache: &DataCache) {
    (0..3).for_each(|round| overwrite(cache, round));
    let before = index_length(home);
    (0..10).for_each(|round| overwrite(cache, round));
    assert_eq!(index_length(home), before, "it grows on");
}

fn log(home: &Home) -> String {
    fs::read_to_string(home.store().join("daemon.log")).unwrap()
}

#[test]
fn a_process_that_is_stopped_in_the_middle_of_a_read_is_told_of_and_its_space_comes_back_when_it_goes_on() {
    let home = Home::new();
    let cache = home.open();
    overwrite(&cache, 0);
    let mut reader = reader(&home);
    let pid = reader.process().pid();
    reader.process().signal(Signal::STOP);
    let lags = |stats: &Stats| stats.laggard.is_some_and(|laggard| laggard.grown_bytes > 1_000_000);
    let stats = overwrite_until("the daemon tells of it", &cache, lags);
    let Some(Laggard { pid: told, is_stopped: true, .. }) = stats.laggard else { panic!("{stats:?}") };
    assert_eq!(told, pid);
    let readers = &stats.readers;
    assert!(
        readers.oldest_read_ms.is_some_and(|millis| millis >= 4_000),
        "it is told of after four seconds: {readers:?}"
    );
    assert!(readers.reading >= 1 && readers.behind_transactions >= 1 && readers.processes >= 2, "{readers:?}");
    let page = home.run(["stats"]).text();
    assert!(page.contains(&format!("process {pid}, which is stopped, has been in the middle of a read")), "{page}");
    let begun = log(&home);
    assert!(begun.contains("does not come to the end of a read") && begun.contains(&format!("pid={pid}")), "{begun}");
    reader.process().signal(Signal::CONT);
    reader.ask(&["end-read"]);
    eventually("the daemon sees that it goes on", PATIENCE, || cache.stats().unwrap().laggard.is_none());
    assert!(log(&home).contains("goes on, or has ended"), "{}", log(&home));
    assert_space_is_used_again(&home, &cache);
}

#[test]
fn a_process_that_is_killed_in_the_middle_of_a_read_leaves_its_place_and_its_space() {
    let home = Home::new();
    let cache = home.open();
    overwrite(&cache, 0);
    let places = || cache.stats().unwrap().store.readers;
    // The daemon's own threads have some too, and leave them when they have nothing to do for long.
    let before = places();
    let readers = [(); 12].map(|()| reader(&home));
    assert!(before < 12 && places() >= 12, "{before} places, then {}", places());
    readers.into_iter().for_each(Client::kill);
    eventually("their places are free", PATIENCE, || places() <= before);
    assert_space_is_used_again(&home, &cache);
}

/// LMDB's lock on the table of readers: whoever takes a place in it holds it for a moment.
#[test]
fn a_process_that_is_stopped_while_it_takes_a_place_among_the_readers_does_not_stop_the_daemon() {
    let home = Home::new();
    home.start();
    let cache = DataCache::open(home.options().direct(false)).unwrap();
    cache.set("first", "of the connection").unwrap();
    let mut stopped = client(&home);
    stopped.ask(&["hold-lock", home.store().join("current/lock.mdb").to_str().unwrap()]);
    stopped.process().signal(Signal::STOP);
    for round in 0..500_i64 {
        cache.set(round, noise(1, 1_000)).unwrap();
        assert!(cache.get(round).unwrap().is_some() && cache.delete(round).unwrap());
    }
    assert!(cache.stats().is_ok());
    stopped.kill();
    let mut newcomer = client(&home);
    newcomer.ask(&["add", "k", "v"]);
    assert_eq!(newcomer.ask(&["get", "k"]), "v", "who died with the lock is no obstacle");
}

#[test]
fn the_staged_file_of_a_killed_uploader_is_removed_within_seconds() {
    let home = Home::new();
    home.start();
    let staged = || fs::read_dir(home.store().join("staging")).unwrap().count();
    let mut child = home.command(["add", "-", "--key", "k"]).spawn();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), &noise(1, 200_000)).unwrap();
    eventually("the upload is staged", PATIENCE, || staged() == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("it is removed", PATIENCE + Duration::from_secs(10), || staged() == 0);
}
