//! Stores that were copied, lie somewhere else than thought, or have what nobody expects there.

use std::fs;
use std::path::Path;
use std::process::Command;

use datacache_tests::Home;
use serde_json::Value;

use super::findings;

/// The daemon said that its own store was none, and did not start.
#[test]
fn a_stray_file_keeps_no_daemon_from_starting() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    home.run(["stop"]).text();
    fs::write(home.store().join("notes.txt"), "mine").unwrap();
    fs::write(home.store().join("blobs/notes.txt"), "mine").unwrap();
    home.start();
    assert_eq!(home.run(["get", "k"]).text(), "v");
    assert_eq!(findings(&home), Vec::<Value>::new());
}

#[test]
fn what_reads_or_removes_makes_no_store_where_none_is() {
    let home = Home::new();
    let mistyped = home.path().join("mistyped");
    let place = ["--dir", mistyped.to_str().unwrap()];
    for arguments in [&["get", "k"][..], &["delete", "k"], &["verify"], &["ls"], &["len"], &["clear"], &["stats"]] {
        let outcome = home.run(arguments.iter().chain(&place));
        let line = outcome.error(1);
        assert!(line.contains("there is no store at") && line.contains(place[1]) && line.contains("--dir"), "{line}");
    }
    assert!(!mistyped.exists() && home.daemons().is_empty());
    // Who names a socket is told of that: the store may be out of sight.
    let socket = home.path().join("none");
    let named = home.command(["len", "--no-start"].iter().chain(&place)).env("DATACACHE_SOCKET", &socket).outcome();
    assert!(named.error(3).contains(socket.to_str().unwrap()), "{named:?}");
    home.command(["add", "-", "--key", "k"].iter().chain(&place)).input("v").outcome().text();
    assert_eq!(home.run(["get", "k"].iter().chain(&place)).text(), "v");
}

/// The link to the socket was copied too, and led to the daemon of the original.
#[test]
fn a_copy_of_a_store_in_use_is_a_store_of_its_own() {
    let home = Home::new();
    let original = home.path().join("original");
    let copied = home.path().join("copied");
    let run = |dir: &Path, arguments: &[&str]| {
        let place = ["--dir", dir.to_str().unwrap()];
        home.command(arguments.iter().copied().chain(place)).input("v").outcome()
    };
    run(&original, &["add", "-", "--key", "k"]).text();
    let status = Command::new("cp").arg("-r").args([&original, &copied]).status().unwrap();
    assert!(status.success());
    run(&copied, &["add", "-", "--key", "new"]).text();
    assert_eq!(run(&copied, &["get", "k"]).text(), "v");
    assert_eq!(run(&original, &["get", "new"]).code(), 1);
    let named = home.command(["status", "--json"]).env("DATACACHE_DIR", &copied).outcome().json();
    assert_eq!(named["store"], *copied.to_str().unwrap());
    assert_eq!(home.daemons().len(), 2);
}
