//! An index that is damaged, with a daemon and without: it is looked through, moved aside and told of.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use datacache_client::DIRECT_VARIABLE;
use datacache_tests::program::program;
use datacache_tests::reads::Way;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, Run, eventually};
use serde_json::{Value, json};

use super::{blob, findings, settle};
use crate::support::{client, noise};

#[test]
fn an_index_beyond_reading_is_moved_aside_with_a_clear_message() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    home.run(["stop"]).text();
    let index = home.store().join("current/data.mdb");
    let length = fs::metadata(&index).unwrap().len();
    fs::write(&index, noise(3, usize::try_from(length).unwrap())).unwrap();
    assert_eq!(home.run(["verify", "--repair"]).code(), 1, "all is lost, and that is no good end");
    assert_eq!(home.run(["get", "k"]).code(), 1);
    let log = fs::read_to_string(home.store().join("daemon.log")).unwrap();
    assert!(
        log.contains("the index is damaged beyond reading: it was moved aside") && log.contains("damaged"),
        "{log}"
    );
    assert_eq!(fs::metadata(home.store().join("damaged/data.mdb")).unwrap().len(), length);
    home.command(["add", "-", "--key", "k"]).input("w").outcome().text();
    assert_eq!(home.run(["get", "k"]).text(), "w");
}

/// Nobody but the log told of it: `verify` found nothing wrong with what was left, which was nothing. And who read of a folder took it for
/// all that was lost.
#[test]
fn an_index_that_was_moved_aside_is_told_of_until_somebody_removes_it() {
    let home = Home::new();
    let large = blob(&home, "large", &noise(1, 200_000));
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    home.run(["stop"]).text();
    fs::write(home.store().join("current/data.mdb"), noise(3, 100_000)).unwrap();
    home.start();
    eventually("its large value goes", PATIENCE, || !large.exists());
    let aside = home.store().join("damaged");
    let remedy = format!("`rm -r {}`", aside.display());
    let lost = json!({"values": 1, "bytes": 200_000});
    for command in [&["verify"][..], &["verify", "--repair"], &["stats"], &["status"]] {
        let outcome = home.run(command);
        let told = String::from_utf8_lossy(outcome.printed());
        assert!(told.contains("lost index") && told.contains(&remedy) && told.contains("(200000 bytes)"), "{told}");
        assert_eq!(outcome.code(), i32::from(command[0] == "verify"), "{command:?}");
    }
    let verified = home.run(["verify", "--repair", "--json"]);
    let verified: Value = serde_json::from_slice(verified.printed()).unwrap();
    assert_eq!((&verified["findings"][0]["fault"], &verified["moved_aside"]["lost"]), (&json!("lost-index"), &lost));
    let stats = home.run(["stats", "--json"]).json();
    assert_eq!(stats["store"]["moved_aside"], verified["moved_aside"]);
    assert!(!home.run(["stats", "--prometheus"]).text().contains("datacache_store_moved_aside_bytes 0\n"));
    home.run(["stop"]).text();
    let stopped: Value = serde_json::from_slice(home.run(["status", "--json"]).printed()).unwrap();
    assert_eq!(stopped["moved_aside"], verified["moved_aside"], "also where no daemon runs");
    fs::remove_dir_all(aside).unwrap();
    assert_eq!(findings(&home), Vec::<Value>::new());
    assert_eq!(home.run(["status", "--json"]).json()["moved_aside"], Value::Null);
}

/// The first two starts failed, and said that the folder is to be moved away by hand.
#[test]
fn a_page_of_the_index_that_is_gone_keeps_no_daemon_from_starting() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    home.run(["stop"]).text();
    let index = home.store().join("current/data.mdb");
    let content = fs::read(&index).unwrap();
    let pages = content.chunks_exact(4_096).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    for (number, _) in pages {
        fs::remove_dir_all(home.store().join("damaged")).ok();
        let mut damaged = content.clone();
        damaged[number * 4_096..][..4_096].fill(0);
        fs::write(&index, damaged).unwrap();
        home.command(["add", "-", "--key", "k"]).input("w").outcome().text();
        assert_eq!(home.run(["get", "k"]).text(), "w", "page {number}");
        home.run(["stop"]).text();
    }
}

/// Nothing was written any more until somebody stopped the daemon.
#[test]
fn an_index_whose_first_pages_are_damaged_under_its_daemon_is_given_up_by_the_next() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    settle(&home);
    let index = OpenOptions::new().write(true).open(home.store().join("current/data.mdb")).unwrap();
    index.write_all_at(&noise(5, 2 * 4_096), 0).unwrap();
    home.command(["add", "-", "--key", "other"]).input("w").outcome().text();
    assert_eq!(home.run(["ls"]).text(), "other");
    assert!(home.store().join("damaged").exists());
}

/// There was no such program any more, and the daemon looked at the index unprotected.
#[test]
fn a_daemon_whose_program_was_removed_by_an_upgrade_still_has_its_index_looked_through() {
    let home = Home::new();
    let old = home.path().join("datacache");
    fs::copy(program(), &old).unwrap();
    let mut adding = home.program(&old);
    adding.args(["add", "-", "--key", "k"]);
    Run::new(adding).input("v").outcome().text();
    fs::remove_file(&old).unwrap();
    assert_eq!(findings(&home), Vec::<Value>::new());
    let log = fs::read_to_string(home.store().join("daemon.log")).unwrap();
    assert!(log.contains("the store was checked") && !log.contains("could not be looked through"), "{log}");
}

/// Overwrites all pages of the index with this one, but for the two that say where the others are.
fn damage_pages(index: &Path, page: [u8; 4_096]) {
    let index = OpenOptions::new().write(true).open(index).unwrap();
    for number in 2..index.metadata().unwrap().len() / 4_096 {
        index.write_all_at(&page, number * 4_096).unwrap();
    }
}

/// They opened the index, to see how many others call, and died of that.
#[test]
fn what_only_calls_the_daemon_does_not_open_a_damaged_index() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    settle(&home);
    // The daemon has the other file open.
    let index = home.store().join("current/data.mdb");
    let copied = home.path().join("data.mdb");
    fs::copy(&index, &copied).unwrap();
    // A branch without branches, which nobody survives who looks.
    let mut page = [0; 4_096];
    page[8..16].copy_from_slice(&[0, 0, 1, 0, 16, 0, 0, 16]);
    damage_pages(&copied, page);
    fs::rename(copied, index).unwrap();
    let read = home.command(["contains", "k"]).env(DIRECT_VARIABLE, Way::Direct.to_string()).outcome();
    assert!(read.status().signal().is_some(), "{read:?}");
    assert_eq!(home.run(["status", "--json"]).json()["running"], true);
    home.command(["add", "-", "--key", "k"]).input("w").outcome().text();
    assert_eq!(home.run(["ls"]).text(), "k");
    home.run(["stop"]).text();
}

/// The daemon looks at the index only after another process has.
#[test]
fn verify_finds_damaged_pages_and_neither_it_nor_the_daemon_dies_of_them() {
    let home = Home::new();
    let mut writer = client(&home);
    writer.ask(&["add-many", "k", "0", "2000"]);
    settle(&home);
    let daemon = home.daemon();
    damage_pages(&home.store().join("current/data.mdb"), [0xff; 4_096]);
    let found = findings(&home);
    assert!(found.iter().any(|finding| finding["fault"] == "damaged-index"), "{found:?}");
    assert_eq!(home.daemon().pid(), daemon.pid(), "it goes on");
    let repaired = home.run(["verify", "--repair"]);
    let line = String::from_utf8_lossy(repaired.printed());
    assert!(line.contains("damaged index: ") && line.contains("all that was in it is lost"), "{repaired:?}");
    let is_lost = |found: &[Value]| found.len() == 1 && found[0]["fault"] == "lost-index";
    eventually("the next one begins anew", PATIENCE, || is_lost(&findings(&home)));
    let left = home.run(["verify"]);
    assert!(left.told().contains("findings: 1") && !left.told().contains("--repair"), "no repair mends that: {left:?}");
    fs::remove_dir_all(home.store().join("damaged")).unwrap();
    assert_eq!(findings(&home), Vec::<Value>::new());
    assert_eq!(home.run(["len"]).number(), 0);
}

/// Its index is looked through then, which finds nothing.
#[test]
fn the_store_is_read_again_after_daemons_were_killed_one_after_the_other() {
    let home = Home::new();
    let mut writer = client(&home);
    for round in 0..4 {
        let prefix = format!("{round}/");
        assert_eq!(writer.ask(&["add-many", &prefix, "0", "50"]), 50);
        home.daemon().kill();
    }
    home.start();
    assert_eq!(home.run(["len"]).number(), 200);
    assert!(!home.store().join("damaged").exists());
}
