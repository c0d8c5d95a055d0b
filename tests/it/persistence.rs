//! S18: what was acknowledged is there after the daemon is stopped, killed or replaced.

use std::process::Stdio;
use std::time::Duration;

use datacache_client::blocking;
use datacache_tests::reads::Way;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, Watched, eventually};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{client, noise};

#[test]
fn values_survive_a_stop_and_the_next_start() {
    let home = Home::new();
    let (small, large) = (noise(1, 100), noise(2, 1 << 20));
    let cache = home.open();
    cache.set("small", &small).unwrap();
    cache.add(&large).key("large").tag("t").run().unwrap();
    home.run(["stop"]).text();
    assert!(home.daemons().is_empty());
    let cache = home.open();
    assert_eq!(cache.get_as::<Vec<u8>>("small").unwrap(), Some(small));
    assert!(cache.get_as::<Vec<u8>>("large").unwrap() == Some(large));
    assert_eq!((cache.len().unwrap(), cache.evict("t").unwrap()), (2, 1));
}

#[test]
fn a_client_goes_on_by_itself_after_a_restart() {
    let home = Home::new();
    let cache = home.open();
    cache.set("k", "v").unwrap();
    let before = cache.daemon().unwrap().process;
    home.daemon().kill();
    home.start();
    assert_eq!(cache.get_as::<String>("k").unwrap().as_deref(), Some("v"));
    cache.set("l", "w").unwrap();
    assert_ne!(cache.daemon().unwrap().process, before);
}

#[test]
fn a_client_starts_a_daemon_again_when_its_own_is_gone_and_it_needs_one() {
    let home = Home::new();
    let mut other = client(&home);
    other.ask(&["add", "k", "v"]);
    home.run(["stop"]).text();
    assert_eq!(other.ask(&["get", "k"]), "v");
    assert_eq!(home.daemons().len(), usize::from(Way::of_this_run() == Way::Call));
    other.ask(&["add", "k", "w"]);
    assert_eq!(home.daemons().len(), 1);
    assert_eq!(other.ask(&["get", "k"]), "w");
}

#[test]
fn every_acknowledged_write_is_there_after_the_daemon_is_killed_under_load() {
    let home = Home::new();
    for round in 0_u32..3 {
        let mut writers: Vec<_> = (0..4).map(|_| client(&home)).collect();
        for (number, writer) in writers.iter_mut().enumerate() {
            writer.tell(&["add-many", &format!("{round}/{number}/"), "0", "200"]);
        }
        let cache = home.open();
        eventually("the writers are at it", PATIENCE, || cache.len().unwrap() >= u64::from(round * 800 + 100));
        home.daemon().kill();
        // Each goes on with the next daemon, and what it was told is done is done.
        for writer in &mut writers {
            assert_eq!(writer.answer(), 200);
        }
        assert_eq!(home.open().len().unwrap(), u64::from((round + 1) * 800));
    }
    let mut reader = client(&home);
    for key in ["0/0/0", "1/2/199", "2/3/100"] {
        let number = key.rsplit('/').next().unwrap();
        assert_eq!(reader.ask(&["get", key]), format!("value {number}"));
    }
    assert_eq!(home.run(["verify", "--json"]).json()["findings"], Value::Array(Vec::new()));
}

#[test]
fn nothing_of_a_durable_addition_could_be_lost_with_the_power() {
    let home = Home::new();
    // Nothing is synced by itself meanwhile.
    home.configure("sync_interval = \"1h\"\n");
    let cache = home.open();
    let unsynced = || cache.stats().unwrap().store.unsynced_bytes;
    cache.set("k", "v").unwrap();
    assert!(unsynced() > 0);
    cache.add("v").key("k").durable().run().unwrap();
    assert_eq!(unsynced(), 0);
    cache.set("k", "v").unwrap();
    home.command(["add", "-", "--durable"]).input("v").outcome().text();
    assert_eq!(unsynced(), 0);
}

#[test]
fn a_daemon_that_hangs_makes_reads_by_call_fail_and_changes_unknown_and_all_is_well_when_it_goes_on() {
    let home = Home::new();
    let direct = home.open();
    let options = home.options().direct(false).call_timeout(Duration::from_millis(300));
    let cache = blocking::DataCache::open(options).unwrap();
    cache.set("k", "v").unwrap();
    let daemon = home.daemon();
    daemon.signal(Signal::STOP);
    if Way::of_this_run() == Way::Direct {
        assert_eq!(direct.get_as::<String>("k").unwrap().as_deref(), Some("v"), "it does without");
    }
    let error = cache.get("k").unwrap_err();
    assert!(error.is_unavailable() && !error.is_unknown_outcome(), "{error}");
    let error = cache.set("k", "w").unwrap_err();
    assert!(error.is_unknown_outcome(), "{error}");
    daemon.signal(Signal::CONT);
    let mut seen = None;
    eventually("it answers", PATIENCE, || {
        seen = cache.get_as::<String>("k").ok().flatten();
        seen.is_some()
    });
    assert!(["v", "w"].contains(&seen.unwrap().as_str()));
    eventually("it takes changes", PATIENCE, || cache.set("k", "x").is_ok());
    assert_eq!(cache.get_as::<String>("k").unwrap().as_deref(), Some("x"));
}

#[test]
fn a_large_value_that_was_acknowledged_is_there_after_the_daemon_is_killed() {
    let home = Home::new();
    let value = noise(3, 5 << 20);
    home.open().set("large", &value).unwrap();
    home.daemon().kill();
    assert!(home.open().get_as::<Vec<u8>>("large").unwrap() == Some(value));
}

#[test]
fn a_daemon_that_is_told_to_end_by_signal_ends_with_0_and_gives_up_its_socket() {
    let home = Home::new();
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = home.command(["daemon", "--quiet"]).spawn();
        let watched = Watched::begin(daemon.id()).unwrap();
        eventually("it serves", PATIENCE, || home.run(["len", "--no-start"]).code() == 0);
        assert_eq!(home.daemon().pid(), watched.pid());
        home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
        watched.signal(signal);
        assert!(watched.ends(PATIENCE));
        assert_eq!(daemon.wait().unwrap().code(), Some(0), "{signal:?}");
        assert!(!home.socket().exists());
        assert_eq!(home.run(["len", "--no-start"]).code(), 3);
    }
    assert_eq!(home.run(["get", "k"]).text(), "v");
}

#[test]
fn a_hangup_has_the_daemon_read_its_configuration_again_and_a_broken_one_changes_nothing() {
    let home = Home::new();
    let cache = home.open();
    let daemon = home.daemon();
    let is_taken = |length| cache.set("k", noise(4, length)).is_ok();
    for (configuration, limit) in [("value_max = 1000\n", 1_000), ("value_max = \"2 KiB\"\n", 2_048)] {
        home.configure(configuration);
        daemon.signal(Signal::HUP);
        eventually("the limit holds", PATIENCE, || is_taken(limit) && !is_taken(limit + 1));
    }
    home.configure("value_max = \"a lot\"\n");
    daemon.signal(Signal::HUP);
    let told = || std::fs::read_to_string(home.store().join("daemon.log")).unwrap();
    eventually("it complains", PATIENCE, || told().contains("a lot"));
    assert!(is_taken(2_048) && !is_taken(2_049));
    assert_eq!(home.daemon().pid(), daemon.pid());
}

#[test]
fn a_client_that_stays_connected_is_held_to_the_limit_of_today() {
    let home = Home::new();
    home.configure("value_max = 1000\n");
    let cache = home.open();
    let connected = cache.daemon().unwrap().process;
    let daemon = home.daemon();
    let path = home.file("large", noise(4, 200_000));
    let add = |length: usize| cache.set("k", noise(4, length)).is_ok();
    let add_file = || cache.add_file(&path).run().is_ok();
    let add_many = || cache.add_many([("a", noise(4, 10)), ("b", noise(4, 200_000))]).run().is_ok();
    assert!(add(1_000) && !add(1_001) && !add(200_000) && !add_file() && !add_many());
    home.configure("value_max = 200000\n");
    daemon.signal(Signal::HUP);
    eventually("more is taken", PATIENCE, || add(1_001));
    assert!(add(200_000) && !add(200_001) && add_file() && add_many());
    home.configure("value_max = 1000\n");
    daemon.signal(Signal::HUP);
    eventually("less is taken", PATIENCE, || !add(1_001));
    assert!(add(1_000) && !add(200_000) && !add_file() && !add_many());
    assert_eq!(cache.daemon().unwrap().process, connected);
}

#[test]
fn a_daemon_that_nobody_needs_ends_when_it_was_asked_to() {
    let home = Home::new();
    let mut command = home.program(datacache_tests::program::program());
    let mut daemon = command.args(["daemon", "--idle-exit", "0.2s"]).stderr(Stdio::null()).spawn().unwrap();
    let watched = Watched::begin(daemon.id()).unwrap();
    assert!(watched.ends(PATIENCE));
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn a_daemon_with_leases_does_not_end_for_idleness() {
    let home = Home::new();
    home.configure("idle_exit = \"0.3s\"\n");
    let mut owner = client(&home);
    owner.ask(&["bind", "k", "v"]);
    home.daemon().kill();
    // The next daemon has the lease only: its holder has no reason yet to connect anew.
    home.start();
    let daemon = home.daemon();
    assert!(!daemon.ends(Duration::from_secs(1)));
    owner.kill();
    assert!(daemon.ends(PATIENCE), "nothing keeps it now");
}

#[test]
fn a_second_daemon_for_the_same_store_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    home.start();
    let first = home.daemon().pid();
    let outcome = home.run(["daemon"]);
    assert_eq!(outcome.code(), 4);
    let line = outcome.told().lines().next_back().unwrap();
    assert!(line.contains("another daemon") || line.contains("in use"), "{outcome:?}");
    assert_eq!(home.daemon().pid(), first);
}

#[test]
fn a_store_whose_folder_is_removed_is_begun_anew() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    let daemon = home.daemon();
    std::fs::remove_dir_all(home.store()).unwrap();
    assert!(daemon.ends(PATIENCE), "it has nothing left to serve");
    assert_eq!(home.run(["len"]).number(), 0);
    home.command(["add", "-", "--key", "k"]).input("new").outcome().text();
    assert_eq!(home.run(["get", "k"]).text(), "new");
}
