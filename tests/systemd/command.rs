//! `datacache service` and `datacache stop`, with a systemd that answers.

use std::fs;

use datacache_tests::Watched;
use datacache_tests::wait::PATIENCE;

use crate::cases;
use crate::session::{SERVICE, SOCKET, Session, install_from};

cases![
    the_service_is_installed_looked_at_and_uninstalled,
    installing_takes_over_from_a_daemon_that_a_client_started,
    installing_again_changes_nothing,
    a_program_whose_path_is_full_of_special_characters_is_run,
    a_program_that_systemd_does_not_run_is_not_installed,
    stopping_by_the_command_leaves_the_socket_to_start_the_daemon_again,
];

fn the_service_is_installed_looked_at_and_uninstalled() {
    let session = Session::bare();
    let status = |code: i32| {
        let outcome = session.run(&["service", "status"]).outcome();
        assert_eq!(outcome.code(), code, "{outcome:?}");
        let text = String::from_utf8(outcome.printed().to_owned()).unwrap();
        text.lines().map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(status(1), ["inactive not-found", "inactive not-found"]);

    let units = [SOCKET, SERVICE].map(|unit| session.home(".config/systemd/user").join(unit));
    let printed = session.run(&["service", "install"]).outcome().text();
    assert_eq!(printed, units.each_ref().map(|unit| unit.to_str().unwrap()).join("\n"));
    assert!(units.iter().all(|unit| unit.exists()));
    assert_eq!(status(0), ["active enabled", "inactive static"]);
    session.add("key", "a value");
    assert_eq!(status(0), ["active enabled", "active static"]);

    let daemon = session.daemon();
    assert_eq!(session.run(&["service", "uninstall"]).outcome().text(), printed);
    assert!(daemon.ends(PATIENCE));
    assert!(units.iter().all(|unit| !unit.exists()) && !session.socket().exists());
    assert_eq!(status(1), ["inactive not-found", "inactive not-found"]);
    assert_eq!(session.run(&["len"]).outcome().number(), 1, "clients start the daemon again");
    assert_eq!(session.run(&["get", "key"]).outcome().text(), "a value");
    session.run(&["stop"]).outcome().bytes();
}

fn installing_takes_over_from_a_daemon_that_a_client_started() {
    let session = Session::bare();
    session.run(&["add", "-", "--key", "key"]).input("a value").outcome().bytes();
    let pid = session.run(&["status", "--json"]).outcome().json()["pid"].as_u64().unwrap();
    let daemon = Watched::begin(pid.try_into().unwrap()).unwrap();
    let outcome = session.run(&["service", "install"]).outcome();
    assert!(outcome.told().contains(&format!("process {pid}")), "{outcome:?}");
    assert!(daemon.ends(PATIENCE));
    assert_eq!((session.len(), session.get("key")), (1, "a value".into()));
    assert_eq!(session.state(SERVICE), "active");
}

fn installing_again_changes_nothing() {
    let session = Session::with_service();
    session.add("key", "a value");
    session.run(&["service", "install"]).outcome().bytes();
    assert_eq!((session.len(), session.get("key")), (1, "a value".into()));
    assert_eq!((session.state(SOCKET), session.state(SERVICE)), ("active".into(), "active".into()));
}

fn a_program_whose_path_is_full_of_special_characters_is_run() {
    let session = Session::bare();
    let program = session.home("my tools, 100% {free}; $HOME");
    install_from(&program).bytes();
    session.add("key", "a value");
    let runs = fs::read_link(format!("/proc/{}/exe", session.daemon().pid())).unwrap();
    assert_eq!(runs, program);
}

/// systemd would refuse the unit, with no more than "bad setting".
fn a_program_that_systemd_does_not_run_is_not_installed() {
    let session = Session::bare();
    for name in ["o'clock", "\"quoted\"", "back\\slash"] {
        let outcome = install_from(&session.home(name));
        assert!(outcome.error(4).contains("has a quote or a backslash"), "{outcome:?}");
    }
    assert!(!session.home(".config/systemd").exists());
}

fn stopping_by_the_command_leaves_the_socket_to_start_the_daemon_again() {
    let session = Session::with_service();
    session.add("key", "a value");
    let daemon = session.daemon();
    session.run(&["stop"]).outcome().bytes();
    assert!(daemon.ends(PATIENCE));
    let ended = ["Result", "ExecMainStatus", "NRestarts"].map(|property| session.service(property));
    assert_eq!(ended, ["success", "0", "0"]);
    assert_eq!(session.state(SOCKET), "active");
    assert_eq!((session.len(), session.get("key")), (1, "a value".into()));
    assert_ne!(session.daemon().pid(), daemon.pid());
}
