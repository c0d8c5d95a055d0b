//! What is answered where no daemon runs and none may be started.

use std::io::ErrorKind;
use std::os::unix::net::UnixListener;

use crate::home::Home;

#[test]
fn without_a_daemon_every_verb_says_so_with_status_three() {
    let home = Home::new();
    home.file("value", b"value");
    for line in [
        "add value",
        "get k",
        "get-file k",
        "contains k",
        "delete k",
        "evict t",
        "expire",
        "clear",
        "len",
        "ls",
        "stat k",
        "touch k --expire 1h",
        "stats",
        "verify",
    ] {
        let arguments: Vec<_> = line.split(' ').chain(["--no-start"]).collect();
        let ended = home.run(&arguments);
        assert!(ended.error(3).contains("datacache daemon"), "{line}: {ended:?}");
    }
    assert!(!home.path().join(".cache").exists(), "looking for a daemon made a store");
}

#[test]
fn status_tells_where_a_daemon_would_be_and_starts_none() {
    let home = Home::new();
    let ended = home.run(&["status"]);
    assert_eq!((ended.status(), ended.stderr()), (3, ""));
    assert!(ended.stdout().starts_with("daemon  not running\n"), "{ended:?}");
    let json = home.run(&["status", "--json"]);
    assert_eq!(json.status(), 3);
    let state: serde_json::Value = serde_json::from_str(json.stdout()).unwrap();
    assert_eq!(state["running"], false);
    assert_eq!(state["store"], home.path().join(".cache/datacache").to_str().unwrap());
    assert_eq!(state["socket"], home.path().join("run/datacache/sock").to_str().unwrap());
}

/// With the units a daemon was started for whoever only looked, which made the store.
#[test]
fn looking_where_systemd_listens_and_no_store_is_connects_to_nobody() {
    let home = Home::new();
    home.file(".config/systemd/user/datacache.socket", b"");
    let socket = home.path().join("run/datacache/sock");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let systemd = UnixListener::bind(socket).unwrap();
    systemd.set_nonblocking(true).unwrap();
    for line in ["get k", "get-file k", "stat k", "ls"] {
        let ended = home.run(&line.split(' ').collect::<Vec<_>>());
        assert!(ended.error(1).contains("there is no store at"), "{line}: {ended:?}");
    }
    assert_eq!(home.run(&["status"]).status(), 3);
    assert_eq!(systemd.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn stopping_what_does_not_run_is_a_no_that_quiet_keeps_to_itself() {
    let home = Home::new();
    assert!(home.run(&["stop"]).error(1).contains("no daemon runs"));
    let quiet = home.run(&["stop", "-q"]);
    assert_eq!((quiet.status(), quiet.stdout(), quiet.stderr()), (1, "", ""));
}

/// A message that nobody reads once was a panic, with a status of its own.
#[test]
fn the_status_is_right_where_nobody_reads_the_errors() {
    let home = Home::new();
    for (arguments, status) in [(&["stop"][..], 1), (&["get", "k", "--no-start"], 3), (&["nonsense"], 2)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(home.command(arguments).stderr(writer).status().unwrap().code(), Some(status), "{arguments:?}");
    }
}

#[test]
fn the_configuration_is_shown_with_where_each_value_comes_from() {
    let home = Home::new();
    let file = home.file(".config/datacache/config.toml", b"\nsync_interval = \"2s\"\n");
    let mut command = home.command(&["config", "show", "--dir", "elsewhere"]);
    let output = command.env("DATACACHE_MAX_CONNECTIONS", "7").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |name: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("store"), format!("{} command line", home.path().join("elsewhere").display()));
    assert_eq!(row("sync_interval"), format!("2s {}, line 2", file.display()));
    assert_eq!(row("max_connections"), "7 environment DATACACHE_MAX_CONNECTIONS");
    assert!(row("inline_max").ends_with(" default"));
}

#[test]
fn a_configuration_that_can_not_be_taken_is_wrong_input() {
    let home = Home::new();
    home.file(".config/datacache/config.toml", b"idle_exits = 5\n");
    for arguments in [&["config", "show"][..], &["daemon"]] {
        let ended = home.run(arguments);
        let line = ended.error(2);
        assert!(line.contains("line 1: there is no setting `idle_exits`; did you mean `idle_exit`?"), "{line}");
    }
}
