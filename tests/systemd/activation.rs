//! The socket starts the daemon, and holds connections while there is none.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use datacache_tests::eventually;
use datacache_tests::wait::PATIENCE;

use crate::cases;
use crate::session::{SERVICE, SOCKET, Session};

cases![
    the_first_client_that_connects_starts_the_daemon,
    values_of_every_size_come_back,
    no_client_notices_that_the_daemon_restarts,
    looking_stopping_and_configuring_start_no_daemon,
    the_socket_goes_with_its_unit,
    a_daemon_that_runs_elsewhere_goes_on_serving,
];

fn the_first_client_that_connects_starts_the_daemon() {
    let session = Session::with_service();
    assert_eq!((session.state(SOCKET), session.state(SERVICE)), ("active".into(), "inactive".into()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = session.socket();
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));

    session.add("key", "a value");
    assert_eq!(session.get("key"), "a value");
    assert_eq!((session.state(SERVICE), session.service("StatusText")), ("active".into(), "serving".into()));
    let status = session.served(&["status", "--json"]).outcome().json();
    assert_eq!(status["pid"], session.daemon().pid());
    assert_eq!(status["socket"], socket.to_str().unwrap());
    assert_eq!(status["store"], session.home(".cache/datacache").to_str().unwrap());
}

fn values_of_every_size_come_back() {
    let session = Session::with_service();
    for length in [0, 1, 32 * 1024 + 1, 8 << 20] {
        let value: Vec<u8> = (0..length).map(|byte: u32| byte.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let key = session.served(&["add", "-"]).input(value.clone()).outcome().text();
        assert!(session.served(&["get", &key]).outcome().bytes() == value, "{length} bytes");
    }
}

fn no_client_notices_that_the_daemon_restarts() {
    let session = Session::with_service();
    let mut client = session.client();
    let first = client.ask(&["open"]);
    thread::scope(|scope| {
        let adding = scope.spawn(|| (0..60).for_each(|number| session.add(&format!("command {number}"), "value")));
        client.tell(&["add-many", "client ", "0", "3000"]);
        for _ in 0..3 {
            session.systemctl(&["restart", SERVICE]);
        }
        assert_eq!(client.answer(), 3_000);
        adding.join().unwrap();
    });
    assert_eq!(session.served(&["len"]).outcome().number(), 3_060);
    assert_ne!(first, session.daemon().pid());
    assert_eq!(session.journal("warning"), "");
}

fn looking_stopping_and_configuring_start_no_daemon() {
    let session = Session::with_service();
    let is_idle = || {
        assert_eq!(session.run(&["status"]).outcome().code(), 3);
        assert_eq!(session.run(&["stop"]).outcome().code(), 1);
        session.run(&["config", "set", "limit", "1GiB"]).outcome().bytes();
        assert_eq!((session.state(SOCKET), session.state(SERVICE)), ("active".into(), "inactive".into()));
    };
    is_idle();
    assert!(!session.home(".cache/datacache").exists());
    session.add("key", "a value");
    assert_eq!(session.run(&["status", "--json"]).outcome().json()["pid"], session.daemon().pid());
    session.run(&["stop"]).outcome().bytes();
    eventually("the service is inactive", PATIENCE, || session.state(SERVICE) == "inactive");
    is_idle();
    assert_eq!(session.len(), 1);
}

fn the_socket_goes_with_its_unit() {
    let session = Session::with_service();
    session.add("key", "a value");
    session.systemctl(&["stop", SOCKET, SERVICE]);
    assert!(!session.socket().exists());
    let refused = session.served(&["len"]).outcome();
    assert!(refused.error(3).contains("no daemon"), "{refused:?}");
    assert_eq!(session.served(&["get", "key"]).outcome().text(), "a value", "what is read directly needs no daemon");
    session.systemctl(&["start", SOCKET]);
    assert_eq!(session.len(), 1);
}

/// As after a job before the login, whose environment named another socket: systemd's daemon can't have the store.
fn a_daemon_that_runs_elsewhere_goes_on_serving() {
    let session = Session::with_service();
    session.systemctl(&["stop", SOCKET, SERVICE]);
    let elsewhere = session.socket().with_file_name("elsewhere");
    session.run(&["add", "-", "--key", "key"]).env("DATACACHE_SOCKET", &elsewhere).input("a value").outcome().bytes();
    session.systemctl(&["start", SOCKET]);
    for _ in 0..10 {
        assert_eq!((session.len(), session.get("key")), (1, "a value".into()));
    }
    let status = session.served(&["status", "--json"]).outcome().json();
    assert_eq!(status["socket"], elsewhere.to_str().unwrap());
}
