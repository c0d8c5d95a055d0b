//! `service`: the systemd user units, with a `systemctl` that only writes down what it is told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::home::Home;

/// Writes a `systemctl` that notes its arguments, does what `answers` says, and succeeds in everything else.
fn with_systemctl(answers: &str) -> Home {
    let home = Home::new();
    let calls = home.path().join("calls");
    let script = format!("#!/bin/sh\necho \"$*\" >> '{}'\n{answers}\nexit 0\n", calls.display());
    let path = home.file("bin/systemctl", script.as_bytes());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    home
}

fn units(home: &Home) -> [PathBuf; 2] {
    ["datacache.socket", "datacache.service"].map(|name| home.path().join(".config/systemd/user").join(name))
}

fn calls(home: &Home) -> Vec<String> {
    fs::read_to_string(home.path().join("calls")).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn installing_writes_the_units_and_lets_systemd_listen() {
    let home = with_systemctl("");
    let ended = home.run(&["service", "install"]);
    let [socket, service] = units(&home);
    assert_eq!(ended.printed(), format!("{}\n{}\n", socket.display(), service.display()));
    let text = fs::read_to_string(&service).unwrap();
    assert!(text.contains(&format!("ExecStart={} daemon", env!("CARGO_BIN_EXE_datacache"))), "{text}");
    assert_eq!(calls(&home)[1..], ["--user daemon-reload", "--user enable --now datacache.socket"]);
}

#[test]
fn an_installation_that_fails_leaves_nothing_half_installed() {
    let home = with_systemctl(r#"case "$*" in *enable*) echo "no such bus" >&2; exit 1;; esac"#);
    let ended = home.run(&["service", "install"]);
    let line = ended.error(4);
    assert!(line.contains("`systemctl --user enable --now datacache.socket` failed: no such bus"), "{line}");
    assert!(units(&home).iter().all(|path| !path.exists()));
    let calls = calls(&home);
    assert!(calls.contains(&"--user disable --now datacache.socket".to_owned()), "{calls:?}");
    assert_eq!(calls.last().unwrap(), "--user daemon-reload");
}

#[test]
fn a_failed_update_brings_the_older_units_back() {
    let home = with_systemctl(r#"case "$*" in *enable*) exit 1;; esac"#);
    home.file(".config/systemd/user/datacache.service", b"older");
    home.run(&["service", "install"]).error(4);
    let [socket, service] = units(&home);
    assert_eq!(fs::read(service).unwrap(), b"older");
    assert!(!socket.exists());
    assert!(!calls(&home).iter().any(|call| call.contains("disable")));
}

#[test]
fn without_systemd_the_error_says_so_and_nothing_is_written() {
    let home = Home::new();
    let ended = home.run(&["service", "install"]);
    assert!(ended.error(4).contains("can't run `systemctl`"), "{ended:?}");
    let home = with_systemctl("echo 'Failed to connect to bus' >&2; exit 1");
    let ended = home.run(&["service", "install"]);
    assert!(ended.error(4).contains("no systemd user manager can be reached (Failed to connect to bus)"), "{ended:?}");
    assert!(!home.path().join(".config").exists());
}

#[test]
fn uninstalling_reverses_installing_and_a_second_time_there_is_nothing_to_do() {
    let home = with_systemctl("");
    home.run(&["service", "install"]).printed();
    home.run(&["service", "uninstall"]).printed();
    assert!(units(&home).iter().all(|path| !path.exists()));
    let calls = calls(&home);
    let last = ["--user disable --now datacache.socket", "--user stop datacache.service", "--user daemon-reload"];
    assert_eq!(calls[calls.len() - 3..], last);
    assert!(home.run(&["service", "uninstall"]).error(1).contains("not installed"));
}

#[test]
fn status_shows_both_units_and_is_no_unless_systemd_listens() {
    let home = with_systemctl(
        r#"case "$*" in
*"is-active datacache.socket") echo active;;
*"is-active datacache.service") echo inactive; exit 3;;
*"is-enabled datacache.socket") echo enabled;;
*"is-enabled datacache.service") echo static;;
esac"#,
    );
    let text = "datacache.socket   active    enabled\ndatacache.service  inactive  static\n";
    assert_eq!(home.run(&["service", "status"]).printed(), text);
    let home = with_systemctl(r#"case "$*" in *is-*) [ "$2" = is-active ] && echo inactive; exit 1;; esac"#);
    let ended = home.run(&["service", "status"]);
    assert_eq!(ended.status(), 1);
    assert_eq!(ended.stdout(), "datacache.socket   inactive  not-found\ndatacache.service  inactive  not-found\n");
}

#[test]
fn the_service_is_for_the_default_store_only() {
    let home = with_systemctl("");
    assert!(home.run(&["service", "install", "--dir", "x"]).error(2).contains("default store"));
    assert!(units(&home).iter().all(|path| !path.exists()));
}
