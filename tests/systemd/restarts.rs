//! What systemd does with the daemon, and what the daemon does when something happens to it.

use std::fs;

use datacache_tests::eventually;
use datacache_tests::wait::PATIENCE;
use rustix::process::Signal;

use crate::cases;
use crate::session::{SERVICE, SOCKET, Session};

cases![
    stopping_and_restarting_are_clean,
    a_killed_daemon_comes_back_with_its_values,
    a_hung_daemon_is_restarted_by_the_watchdog,
    a_daemon_that_is_well_feeds_the_watchdog,
    reloading_takes_over_a_changed_configuration,
    a_store_that_was_removed_is_begun_anew,
];

fn stopping_and_restarting_are_clean() {
    let session = Session::with_service();
    session.add("key", "a value");
    let first = session.daemon();
    session.systemctl(&["restart", SERVICE]);
    assert!(first.ends(PATIENCE));
    assert_ne!(session.daemon().pid(), first.pid());
    assert_eq!(session.get("key"), "a value");

    session.systemctl(&["stop", SERVICE]);
    let ended = ["ActiveState", "Result", "ExecMainStatus", "NRestarts"].map(|property| session.service(property));
    assert_eq!(ended, ["inactive", "success", "0", "0"]);
    assert_eq!(session.state(SOCKET), "active");
    assert_eq!(session.get("key"), "a value");
    assert_eq!(session.journal("warning"), "");
}

fn a_killed_daemon_comes_back_with_its_values() {
    let session = Session::with_service();
    session.add("key", "a value");
    let large = "large ".repeat(100_000);
    session.add("large", &large);
    for count in ["1", "2"] {
        session.daemon().kill();
        session.wait_for_restart(count);
        assert_eq!(session.get("key"), "a value");
        assert!(session.get("large") == large);
    }
    session.wait_for_journal("warning", "Failed with result 'signal'");
}

fn a_hung_daemon_is_restarted_by_the_watchdog() {
    let session = Session::with_service();
    session.override_service("WatchdogSec=1s");
    session.add("key", "a value");
    let hung = session.daemon();
    hung.signal(Signal::STOP);
    session.wait_for_restart("1");
    assert_ne!(session.daemon().pid(), hung.pid());
    assert_eq!(session.get("key"), "a value");
    session.wait_for_journal("err", "Watchdog timeout");
}

fn a_daemon_that_is_well_feeds_the_watchdog() {
    let session = Session::with_service();
    session.override_service("WatchdogSec=1s");
    let daemon = session.daemon();
    let fed = || session.service("WatchdogTimestampMonotonic").parse::<u64>().unwrap();
    let first = fed();
    eventually("the watchdog is fed for three times its limit", PATIENCE, || fed() >= first + 3_000_000);
    assert_eq!((session.daemon().pid(), session.service("NRestarts").as_str()), (daemon.pid(), "0"));
}

fn reloading_takes_over_a_changed_configuration() {
    let session = Session::with_service();
    let text = "four".repeat(1_000);
    session.add("before", &text);
    let daemon = session.daemon();
    let is_refused = |key: &str| {
        let outcome = session.served(&["add", "-", "--key", key]).input(text.clone()).outcome();
        assert!([0, 4].contains(&outcome.code()), "{outcome:?}");
        outcome.code() == 4
    };

    session.configure("value_max = \"1 KiB\"\n");
    session.systemctl(&["reload", SERVICE]);
    eventually("the limit holds", PATIENCE, || is_refused("after"));

    session.configure("value_maxi = \"1 GiB\"\n");
    session.systemctl(&["reload", SERVICE]);
    session.wait_for_journal("err", "did you mean `value_max`?");
    assert!(is_refused("later"), "a configuration that can't be read changes nothing");
    assert_eq!(session.daemon().pid(), daemon.pid());
    assert_eq!(session.state(SERVICE), "active");
}

fn a_store_that_was_removed_is_begun_anew() {
    let session = Session::with_service();
    session.add("key", "a value");
    fs::remove_dir_all(session.home(".cache/datacache")).unwrap();
    eventually("the store is empty", PATIENCE, || session.served(&["contains", "key"]).outcome().code() == 1);
    session.add("key", "another value");
    assert_eq!(session.get("key"), "another value");
    assert!(session.home(".cache/datacache/current").exists());
}
