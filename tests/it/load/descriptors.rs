//! A daemon that has no descriptor left: it does what takes none, says what it can't do, and goes on when there are some.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use datacache_proto::PROTOCOL;
use datacache_proto::error::{Resource, StoreStep, WireError};
use datacache_proto::service::{CacheRequest, CacheResponse};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

use super::raw::Raw;
use crate::support::noise;

/// So many the daemon may have. At rest it has less than half of them.
const DESCRIPTORS: &str = "64:64";
/// What Linux says where a process has as many files open as it may.
const TOO_MANY: i32 = 24;

/// A daemon of a home that may open few files.
struct Poor(Child);

impl Poor {
    fn start(home: &Home) -> Self {
        let mut command: Command = home.program("prlimit");
        let log = fs::File::create(home.path().join("log")).unwrap();
        command.arg(format!("--nofile={DESCRIPTORS}")).arg(datacache_tests::program::program()).arg("daemon");
        let child = command.stderr(log).spawn().unwrap();
        eventually("it listens", PATIENCE, || home.run(["len", "--no-start"]).status().success());
        Self(child)
    }
}

impl Drop for Poor {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn log(home: &Home) -> String {
    fs::read_to_string(home.path().join("log")).unwrap()
}

fn open() -> CacheRequest {
    CacheRequest::Open { namespace: "default".into(), key: "large".into() }
}

#[test]
fn a_daemon_without_descriptors_serves_who_is_connected_and_lets_others_wait_until_there_are_some() {
    let home = Home::new();
    let _daemon = Poor::start(&home);
    let cache = home.open();
    cache.add(noise(3, 100_000)).key("large").run().unwrap();
    let mut greedy = Raw::introduced(&home);
    let mut handles = Vec::new();
    let refused = loop {
        match greedy.ask(&open()) {
            CacheResponse::Open(Ok(Some(opened))) => handles.push(opened.handle),
            CacheResponse::Open(Err(error)) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused, WireError::Store { step: StoreStep::Blob, errno: Some(TOO_MANY) });
    assert!(handles.len() > 10);

    // What takes no descriptor goes on, what takes one says so.
    for number in 0..200 {
        cache.set(number, "v").unwrap();
    }
    assert_eq!(cache.get_as::<String>(7).unwrap().as_deref(), Some("v"));
    let error = cache.add(noise(4, 100_000)).key("second").run().unwrap_err();
    assert!(error.to_string().contains("Too many open files"), "{error}");

    // Who comes now waits, and nobody spins over that.
    let begun = Instant::now();
    let mut newcomer = Raw::connect(&home);
    newcomer.say(&CacheRequest::Hello { hello: crate::wire::hello(PROTOCOL, PROTOCOL) });
    eventually("it is tried again", PATIENCE, || log(&home).contains("failures=8"));
    assert!(begun.elapsed() > Duration::from_millis(500), "{}", log(&home));
    assert!(log(&home).lines().filter(|line| line.contains("can't be accepted")).count() <= 8, "{}", log(&home));

    for handle in handles {
        assert!(matches!(greedy.ask(&CacheRequest::Close { handle }), CacheResponse::Close(Ok(()))));
    }
    assert!(matches!(newcomer.hear().unwrap(), CacheResponse::Hello(Ok(_))));
    cache.add(noise(4, 100_000)).key("second").run().unwrap();
    assert_eq!(home.run(["len"]).number(), 202);
    assert!(home.run(["verify"]).status().success());
}

#[test]
fn connections_leave_half_of_the_descriptors_to_what_is_done_for_them() {
    let home = Home::new();
    let _daemon = Poor::start(&home);
    let hello = || CacheRequest::Hello { hello: crate::wire::hello(PROTOCOL, PROTOCOL) };
    let mut open = Vec::new();
    let refused = loop {
        let mut raw = Raw::connect(&home);
        match raw.ask(&hello()) {
            CacheResponse::Hello(Ok(_)) => open.push(raw),
            CacheResponse::Hello(Err(error)) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused, WireError::Busy { what: Resource::Connections, limit: 32 });
    assert!((28..=32).contains(&open.len()), "{}", open.len());
    open.truncate(20);
    eventually("there is room again", PATIENCE, || home.run(["len", "--no-start"]).status().success());
    let cache = home.open();
    cache.add(noise(5, 100_000)).key("large").run().unwrap();
    assert!(!log(&home).contains("can't be accepted"), "{}", log(&home));
}
