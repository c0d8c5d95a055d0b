//! Many connections, and connections that nothing comes of.

use datacache_proto::codec::MAX_MESSAGE;
use datacache_proto::service::{CacheRequest, CacheResponse};
use datacache_tests::Home;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::raw::Raw;
use super::{check_left, check_others};

/// Allows this process so many open files, and returns how many connections it and a daemon may have then, at most `wanted`.
fn allowed(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    // A daemon leaves half of its own for all else.
    limit.maximum.map_or(wanted, |maximum| wanted.min((maximum / 2).saturating_sub(50)))
}

fn len() -> CacheRequest {
    CacheRequest::Len { namespace: "default".into() }
}

#[test]
fn a_thousand_connections_are_served_beside_each_other_and_leave_nothing_behind() {
    let home = Home::new();
    let cache = home.open();
    cache.set("k", "v").unwrap();
    let number = allowed(1_000);
    let daemon = home.daemon();
    check_others(&home);
    let before = daemon.holdings();
    let mut open: Vec<Raw> = (0..number).map(|_| Raw::introduced(&home)).collect();
    open.iter_mut().for_each(|raw| raw.say(&len()));
    for raw in &mut open {
        assert!(matches!(raw.hear().unwrap(), CacheResponse::Len(Ok(2))));
    }
    assert!(cache.stats().unwrap().daemon.connections > number);
    check_others(&home);
    let most = daemon.holdings();
    assert!(most.memory < before.memory + number * (64 << 10), "{before:?}, {most:?}");
    drop(open);
    check_left(&daemon, before);
}

/// One that never said who it is once kept its place for ever.
#[test]
fn connections_that_never_say_who_they_are_keep_nobody_waiting_and_are_hung_up_on() {
    let home = Home::new();
    home.start();
    let daemon = home.daemon();
    check_others(&home);
    let before = daemon.holdings();
    let mut half = u32::try_from(MAX_MESSAGE).unwrap().to_le_bytes().to_vec();
    half.extend([1; 60_000]);
    let mut open: Vec<Raw> = (0..100).map(|_| Raw::connect(&home)).collect();
    for (number, raw) in open.iter_mut().enumerate() {
        raw.send(&half[..[0, 2, 4, 60_000][number % 4]]);
    }
    check_others(&home);
    // What has come is kept, and what is only said to come takes nothing.
    let most = daemon.holdings();
    assert!(most.memory < before.memory + 100 * (128 << 10), "{before:?}, {most:?}");
    let mut known = Raw::introduced(&home);
    open.iter_mut().for_each(Raw::is_hung_up_on);
    assert!(matches!(known.ask(&len()), CacheResponse::Len(Ok(1))), "who has said it stays, however silent it is");
    drop(known);
    check_left(&daemon, before);
}
