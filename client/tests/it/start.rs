//! Starting a daemon, with scripts in its place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datacache_client::blocking::DataCache;
use datacache_client::{Error, Options};

use crate::fake::FakeDaemon;
use crate::wait::eventually;

/// Writes a program that is run in place of the daemon.
fn program(daemon: &FakeDaemon, script: &str) -> PathBuf {
    // A store that a daemon had before.
    fs::write(daemon.store().join("lock"), "").unwrap();
    let path = daemon.store().join("program");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn options(daemon: &FakeDaemon, program: &Path) -> Options {
    daemon.options().start(true).daemon_program(program)
}

/// A script that leaves a mark and waits until the test has a daemon listen; `run` is where its socket is.
fn waiting(daemon: &FakeDaemon, mark: &Path) -> String {
    let socket = daemon.socket();
    let (mark, socket) = (mark.display(), socket.display());
    format!("echo $$ >> {mark}; for turn in $(seq 1500); do [ -S {socket} ] && exit; sleep 0.02; done")
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let daemon = FakeDaemon::absent();
    let error = DataCache::open(options(&daemon, Path::new("/no/such/program"))).unwrap_err();
    assert!(matches!(&error, Error::Spawn { program, .. } if program == Path::new("/no/such/program")), "{error}");
    assert!(error.is_unavailable());
}

#[test]
fn a_daemon_that_ends_at_once_is_told_with_its_last_words() {
    let daemon = FakeDaemon::absent();
    let program = program(&daemon, "echo first; echo 'the store is full of eels' >&2; exit 3");
    let error = DataCache::open(options(&daemon, &program)).unwrap_err();
    assert!(matches!(error, Error::StartFailed { .. }) && error.is_unavailable(), "{error}");
    assert!(error.to_string().ends_with("(exit status: 3): the store is full of eels"), "{error}");
}

#[test]
fn a_daemon_inherits_nothing() {
    let daemon = FakeDaemon::absent();
    let told = daemon.store().join("told");
    let script = format!("exec > {}; echo \"$@\"; pwd; env; ls -l /proc/$$/fd | sed 's/.*-> //'", told.display());
    let program = program(&daemon, &script);
    let _held = fs::File::open(&program).unwrap();
    assert!(DataCache::open(options(&daemon, &program)).is_err());
    let told = fs::read_to_string(told).unwrap();
    let mut lines = told.lines();
    let places = format!("--dir {} --socket {}", daemon.store().display(), daemon.socket().display());
    assert_eq!(lines.next(), Some(format!("daemon --detached {places}").as_str()));
    assert_eq!(lines.next(), Some("/"));
    assert!(!told.contains("CARGO_"), "{told}");
    assert!(told.contains("/dev/null"), "{told}");
    let lock = daemon.socket();
    assert!(told.lines().all(|line| Path::new(line) != lock.parent().unwrap()), "{told}");
}

#[test]
fn its_log_is_the_users_alone_and_a_socket_that_was_named_gets_no_folder() {
    let daemon = FakeDaemon::absent();
    let program = program(&daemon, "echo said");
    let folder = daemon.socket().parent().unwrap().to_owned();
    fs::remove_dir(&folder).unwrap();
    let error = DataCache::open(options(&daemon, &program)).unwrap_err();
    assert!(error.is_invalid_input() && !folder.exists(), "{error}");
    fs::create_dir(&folder).unwrap();
    assert!(DataCache::open(options(&daemon, &program)).is_err());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&daemon.store().join("daemon.log")), 0o600);
    let beside: Vec<_> = fs::read_dir(folder).unwrap().collect();
    assert!(beside.is_empty(), "nothing is left beside a socket: {beside:?}");
}

#[test]
fn many_at_once_start_one() {
    let daemon = FakeDaemon::absent();
    let mark = daemon.store().join("mark");
    let program = program(&daemon, &waiting(&daemon, &mark));
    std::thread::scope(|scope| {
        let opened: Vec<_> =
            (0..10).map(|_| scope.spawn(|| DataCache::open(options(&daemon, &program)).map(drop))).collect();
        eventually("one was started", || mark.exists());
        daemon.listen();
        opened.into_iter().for_each(|opened| opened.join().unwrap().unwrap());
    });
    assert_eq!(fs::read_to_string(mark).unwrap().lines().count(), 1);
    assert_eq!(daemon.state().introductions.len(), 10);
}

#[test]
fn a_daemon_that_dies_is_replaced_by_the_next_call() {
    let daemon = FakeDaemon::start();
    let mark = daemon.store().join("mark");
    let program = program(&daemon, &waiting(&daemon, &mark));
    let cache = DataCache::open(options(&daemon, &program)).unwrap();
    daemon.die();
    std::thread::scope(|scope| {
        let set = scope.spawn(|| cache.set("k", "v"));
        eventually("one was started", || mark.exists());
        daemon.listen();
        set.join().unwrap().unwrap();
    });
    assert_eq!(daemon.state().done_of("add"), 1);
}

/// Two daemons for a store: ours finds the lock taken and ends, but the other one is there to be waited for.
#[test]
fn a_daemon_that_finds_its_store_taken_leaves_us_waiting_for_the_other() {
    let daemon = FakeDaemon::absent();
    let lock = fs::File::create(daemon.store().join("lock")).unwrap();
    lock.lock().unwrap();
    let mark = daemon.store().join("mark");
    let program = program(&daemon, &format!("echo >> {}; exit 1", mark.display()));
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| DataCache::open(options(&daemon, &program)).map(drop));
        eventually("ours has ended and was tried again", || {
            fs::read_to_string(&mark).is_ok_and(|mark| mark.lines().count() > 1)
        });
        daemon.listen();
        opened.join().unwrap().unwrap();
    });
}

#[test]
fn a_daemon_that_stays_busy_is_not_started_twice_nor_given_up_at_the_timeout() {
    let daemon = FakeDaemon::absent();
    let mark = daemon.store().join("mark");
    let program = program(&daemon, &waiting(&daemon, &mark));
    let options = options(&daemon, &program).connect_timeout(Duration::from_millis(1));
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| DataCache::open(options).map(drop));
        // By now the timeout is over: no program starts within a millisecond.
        eventually("one was started", || mark.exists());
        daemon.listen();
        opened.join().unwrap().unwrap();
    });
    assert_eq!(fs::read_to_string(mark).unwrap().lines().count(), 1);
}
