//! Clients that are killed in the middle of a batch, wherever that is, and with all that a client can hold: it comes back within
//! seconds, and the batch is there whole or not at all.

use std::fs;
use std::path::PathBuf;

use datacache_client::blocking::DataCache;
use datacache_tests::process::Activity;
use datacache_tests::reads::Way as Reads;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Client, Home, Watched, eventually};
use rustix::process::Signal;
use serde_json::json;

use crate::batches::assert_whole;
use crate::load::{check_left, check_others};
use crate::support::client;

/// How a batch is on its way when its client dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Some of its files lie in the staging folder, and not yet all.
    Staging,
    /// Some of it came in chunks.
    Chunks,
    /// The message is longer than what a socket holds, and nobody takes it.
    HalfSent,
    /// Nobody has taken the message, which is there as a whole, and all its values with it.
    Sent,
    /// The same, with values that are files.
    SentWithFiles,
}

const WAYS: [Way; 5] = [Way::Staging, Way::Chunks, Way::HalfSent, Way::Sent, Way::SentWithFiles];
/// A client that has done nothing in so many looks waits for something.
const LOOKS_AT_REST: u32 = 20;

impl Way {
    /// Returns how large values go.
    fn transfer(self) -> &'static str {
        if self == Self::Chunks { "chunks" } else { "staging" }
    }

    /// Returns how many values there are, and how long each is.
    fn size(self) -> (usize, usize) {
        match self {
            Self::Staging | Self::Chunks => (8, 8 << 20),
            Self::HalfSent => (120, 30_000),
            Self::Sent => (5, 100),
            Self::SentWithFiles => (5, 100_000),
        }
    }
}

/// A client with a batch on its way.
struct Doomed {
    client: Client,
    way: Way,
    prefix: String,
}

impl Doomed {
    /// Starts one that holds a place among the readers and, if it is to bind, a lease.
    fn start(home: &Home, way: Way, prefix: String, is_bound: bool) -> Self {
        let mut client = client(home);
        client.ask(&["open-to-send", way.transfer()]);
        client.ask(&["get", "there"]);
        if is_bound {
            client.ask(&["bind", &format!("{prefix}before"), "v"]);
        }
        Self { client, way, prefix }
    }

    fn send(&mut self) {
        let (values, length) = self.way.size();
        self.client.tell(&["add-batch", &self.prefix, &values.to_string(), &length.to_string()]);
    }

    /// Kills it where its way says.
    fn kill_on_its_way(mut self, home: &Home, cache: &DataCache) {
        match self.way {
            Way::Staging | Way::Chunks => {
                let before = staged(home);
                self.send();
                let has_more = || staged(home).iter().any(|file| !before.contains(file));
                eventually("it has begun", PATIENCE, || has_more() || self.count(cache) > 0);
                self.client.kill();
            }
            Way::HalfSent | Way::Sent | Way::SentWithFiles => {
                let daemon = home.daemon();
                daemon.signal(Signal::STOP);
                self.send();
                comes_to_rest(self.client.process());
                self.client.kill();
                daemon.signal(Signal::CONT);
            }
        }
    }

    /// Returns how much of the batch is there.
    fn count(&self, cache: &DataCache) -> usize {
        count(cache, &self.prefix, self.way)
    }
}

fn count(cache: &DataCache, prefix: &str, way: Way) -> usize {
    let (values, length) = way.size();
    let found = cache.get_many((0..values).map(|number| format!("{prefix}{number}"))).unwrap();
    let is_right = |(number, value): (usize, &datacache_client::Value)| {
        value.len() == length && value.iter().all(|byte| usize::from(*byte) == number)
    };
    let found: Vec<_> = found.into_iter().enumerate().filter_map(|(number, value)| Some((number, value?))).collect();
    assert!(found.iter().all(|(number, value)| is_right((*number, value))), "{prefix}: other bytes than were added");
    found.len()
}

/// Returns the processes that have places among the readers. How many places there are says nothing: the daemon's threads have some too.
fn readers(home: &Home) -> Vec<u32> {
    // A place is a line of the cache behind a head of at least two, and has its process behind a word.
    let table = fs::read(home.store().join("current/lock.mdb")).unwrap();
    let pid = |place: &[u8]| u32::from_le_bytes(place[8..12].try_into().unwrap());
    table.chunks_exact(64).skip(2).map(pid).filter(|pid| *pid != 0).collect()
}

fn staged(home: &Home) -> Vec<PathBuf> {
    fs::read_dir(home.store().join("staging")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Waits until a process waits for somebody else.
fn comes_to_rest(process: &Watched) {
    let (mut last, mut looks) = (None::<Activity>, 0);
    eventually("it waits for the daemon", PATIENCE, || {
        let now = process.activity();
        looks = if last.replace(now) == Some(now) { looks + 1 } else { 0 };
        looks >= LOOKS_AT_REST
    });
}

#[test]
fn what_a_client_held_that_is_killed_in_the_middle_of_a_batch_comes_back_and_the_batch_is_whole_or_not_there() {
    let home = Home::new();
    let cache = home.open();
    cache.set("there", "v").unwrap();
    check_others(&home);
    let daemon = home.daemon();
    let before = daemon.holdings();
    let batches: Vec<_> = WAYS.into_iter().flat_map(|way| [(way, true), (way, false)]).collect();
    let mut dead = Vec::new();
    for (way, is_bound) in &batches {
        let doomed = Doomed::start(&home, *way, format!("{way:?} {is_bound} "), *is_bound);
        let pid = doomed.client.process().pid();
        assert_eq!(readers(&home).contains(&pid), Reads::of_this_run() == Reads::Direct);
        dead.push(pid);
        doomed.kill_on_its_way(&home, &cache);
    }
    let stats = || cache.stats().unwrap();
    eventually("their leases are given back", PATIENCE, || stats().store.leases == 0);
    eventually("they are gone", PATIENCE, || stats().daemon.connections == 1);
    let mut whole = 0;
    for (way, is_bound) in batches {
        let (prefix, values) = (format!("{way:?} {is_bound} "), way.size().0);
        let there = count(&cache, &prefix, way);
        assert!(there == 0 || there == values && !is_bound, "{there} of the {values} of {prefix}");
        assert!(!cache.contains(format!("{prefix}before")).unwrap());
        whole += usize::from(there > 0);
    }
    println!("{whole} batches were done");
    eventually("no staged file is left", PATIENCE, || staged(&home).is_empty());
    eventually("their places are free", PATIENCE, || readers(&home).iter().all(|pid| !dead.contains(pid)));
    check_left(&daemon, before);
    assert_eq!(home.run(["verify", "--json"]).json()["findings"], json!([]));
    check_others(&home);
}

/// The daemon lives, and has whatever it was doing for them in hand.
#[test]
fn batches_of_clients_that_are_killed_at_any_moment_are_there_whole_or_not_at_all() {
    const SIZE: u32 = 100;
    let home = Home::new();
    let cache = home.open();
    for round in 0..8 {
        let (mut free, mut bound) = (client(&home), client(&home));
        bound.ask(&["bind", &format!("{round}"), "v"]);
        let prefixes = [format!("{round}/free/"), format!("{round}/bound/")];
        for (client, prefix) in [&mut free, &mut bound].into_iter().zip(&prefixes) {
            client.tell(&["add-batches", prefix, "1000000", &SIZE.to_string()]);
        }
        let are_there = || prefixes.iter().all(|prefix| cache.contains(format!("{prefix}{round}/0")).unwrap());
        eventually("both are at it", PATIENCE, are_there);
        [free, bound].into_iter().for_each(Client::kill);
        let stats = || cache.stats().unwrap();
        eventually("both are gone", PATIENCE, || stats().daemon.connections == 1 && stats().store.leases == 0);
        prefixes.iter().for_each(|prefix| assert_whole(&cache, prefix, SIZE));
        assert!(!cache.contains(format!("{round}")).unwrap() && cache.contains(format!("{round}/free/0/0")).unwrap());
    }
    assert_eq!(home.run(["verify", "--json"]).json()["findings"], json!([]));
}
