//! What a user meets whose files were damaged, copied, or lie somewhere else than thought.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use datacache_client::blocking::DataCache;
use datacache_client::{DIRECT_VARIABLE, Transfer};
use datacache_tests::program::program;
use datacache_tests::reads::Way;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, Run, eventually};
use serde_json::{Value, json};

use crate::support::{client, noise};

fn findings(home: &Home) -> Vec<Value> {
    let outcome = home.run(["verify", "--json"]);
    let found: Value = serde_json::from_slice(outcome.printed()).unwrap_or_else(|_| panic!("{outcome:?}"));
    found["findings"].as_array().unwrap().clone()
}

/// Adds a large value as a file, and returns its path in the store.
fn blob(home: &Home, key: &str, content: &[u8]) -> PathBuf {
    let file = home.file("content", content);
    home.run(["add", file.to_str().unwrap(), "--key", key]).text();
    let hash = home.run(["hash", file.to_str().unwrap()]).text();
    home.store().join("blobs").join(&hash[..2]).join(hash)
}

/// Writes into a file in place, so that its length is kept.
fn damage(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"damage", 100).unwrap();
}

/// Waits until the daemon has hashed what was added, so that it does not find the damage itself.
fn settle(home: &Home) {
    eventually("nothing is left to do", PATIENCE, || findings(home).is_empty());
}

/// It was taken for stored already, and the damage stayed.
#[test]
fn content_that_is_added_again_takes_the_place_of_a_damaged_file() {
    let home = Home::new();
    let content = noise(1, 200_000);
    let path = blob(&home, "k", &content);
    settle(&home);
    damage(&path);
    assert_eq!(blob(&home, "again", &content), path);
    assert!(fs::read(&path).unwrap() == content);
    assert!(home.run(["get", "k"]).bytes() == content, "it is good for the first key too");
    settle(&home);
}

#[test]
fn a_value_that_was_written_to_is_a_miss_and_counted_and_gone() {
    let home = Home::new();
    let content = noise(1, 200_000);
    for read in [&["bytes"][..], &["map"]] {
        let path = blob(&home, "k", &content);
        settle(&home);
        damage(&path);
        let mut reader = client(&home);
        assert_eq!(reader.ask(&[&["take"], read, &["k"]].concat()), Value::Null, "{read:?}");
        assert_eq!(home.run(["get", "k"]).code(), 1);
        eventually("its entry goes", PATIENCE, || home.run(["len"]).number() == 0);
        eventually("and its file", PATIENCE, || !path.exists());
    }
    assert_eq!(home.run(["stats", "--json"]).json()["daemon"]["damaged"], 2);
}

/// The error named neither the key nor what to do, and came again and again.
#[test]
fn a_value_whose_file_is_gone_or_cut_short_is_a_miss() {
    let home = Home::new();
    let content = noise(1, 200_000);
    for break_it in [
        |path: &Path| fs::remove_file(path).unwrap(),
        |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            File::options().write(true).open(path).unwrap().set_len(10).unwrap();
        },
    ] {
        let path = blob(&home, "k", &content);
        settle(&home);
        break_it(&path);
        let outcome = home.run(["get", "k"]);
        assert!(outcome.error(1).contains("no entry has the key `k`"), "{outcome:?}");
        eventually("its entry goes", PATIENCE, || home.run(["len"]).number() == 0);
        assert_eq!(blob(&home, "k", &content), path);
        assert!(home.run(["get", "k"]).bytes() == content);
    }
    settle(&home);
}

#[test]
fn who_streams_a_damaged_value_is_told_at_its_end_and_the_next_finds_a_miss() {
    let home = Home::new();
    let path = blob(&home, "k", &noise(1, 200_000));
    // So that no daemon is there to find it first.
    home.run(["stop"]).text();
    damage(&path);
    let outcome = home.run(["get", "k"]);
    assert_eq!(outcome.code(), 4, "{outcome:?}");
    assert!(outcome.told().contains("`k`") && outcome.told().contains("damaged"), "{outcome:?}");
    assert!(outcome.told().contains("may be wrong bytes, `-o FILE`"), "{outcome:?}");
    assert_eq!(home.run(["get", "k"]).code(), 1);
}

/// He was sent to `verify --repair`, which has nothing to do with it: the value is a miss already.
#[test]
fn who_gets_a_damaged_value_as_a_file_gets_none_and_is_told_to_add_it_again() {
    let home = Home::new();
    let (content, target) = (noise(1, 200_000), home.file("target", b"before"));
    let path = blob(&home, "k", &content);
    home.run(["stop"]).text();
    damage(&path);
    let outcome = home.run(["get", "k", "-o", target.to_str().unwrap()]);
    let line = outcome.error(4);
    assert!(line.contains("it is a miss") && line.contains("add it again"), "{line}");
    assert!(!line.contains("--repair") && !line.contains("wrong bytes"), "{line}");
    assert_eq!(fs::read(&target).unwrap(), b"before");
    assert!(home.run(["get-file", "k"]).error(1).contains("no entry has the key `k`"));
    blob(&home, "k", &content);
    home.run(["get", "k", "-o", target.to_str().unwrap()]).text();
    assert!(fs::read(&target).unwrap() == content);
}

/// It was fetched and found to be damaged before there was a reader; nobody told the daemon, and the next one met with the same.
#[test]
fn a_reader_of_a_damaged_value_that_comes_by_socket_is_none_at_all() {
    let home = Home::new();
    home.start();
    let content = noise(1, 200_000);
    let cache = DataCache::open(home.options().direct(false).transfer(Transfer::Chunks)).unwrap();
    let path = blob(&home, "k", &content);
    settle(&home);
    damage(&path);
    assert!(cache.get_reader("k").unwrap().is_none());
    assert_eq!(blob(&home, "k", &content), path);
    let mut bytes = Vec::new();
    cache.get_reader("k").unwrap().unwrap().read_to_end(&mut bytes).unwrap();
    assert!(bytes == content);
}

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

/// LMDB makes it anew where nobody has it open; else it refused, and all of the index was moved aside.
#[test]
fn a_table_of_readers_that_is_damaged_under_a_client_costs_nothing_else() {
    let home = Home::new();
    let mut reader = client(&home);
    reader.ask(&["add", "k", "v"]);
    assert_eq!(reader.ask(&["get", "k"]), "v");
    home.run(["stop"]).text();
    let readers = OpenOptions::new().write(true).open(home.store().join("current/lock.mdb")).unwrap();
    readers.write_all_at(&[7; 8], 0).unwrap();
    home.start();
    assert_eq!(home.run(["get", "k"]).text(), "v");
    client(&home).ask(&["add", "k", "w"]);
    home.run(["stop"]).text();
    home.start();
    // Only the index has it now, and that is another file than the one that the reader had open.
    assert_eq!(reader.ask(&["get", "k"]), "w");
    assert!(!home.store().join("damaged").exists());
}

/// Only who looked up or changed an entry had the next daemon put it right: all others were told of an error, again and again.
#[test]
fn whoever_meets_with_a_damaged_table_of_readers_is_answered_by_the_next_daemon() {
    for verb in ["ls", "len", "stats", "clear", "expire"] {
        let home = Home::new();
        home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
        // The threads that look at the index have their rows then.
        (0..2).for_each(|_| assert_eq!(home.run(["ls"]).text(), "k"));
        home.run(["stats"]).text();
        let readers = OpenOptions::new().write(true).open(home.store().join("current/lock.mdb")).unwrap();
        // The rows stand behind two lines of the cache.
        readers.write_all_at(&[0; 1_024], 128).unwrap();
        let outcome = home.run([verb]);
        assert_eq!(outcome.code(), 0, "{verb}: {outcome:?}");
    }
}

/// `verify` took it for damage of the index, which is in order.
#[test]
fn a_table_of_readers_that_is_damaged_under_its_daemon_is_no_damage_of_the_index() {
    // What it is known by, its locks, and the readers; but not which state of the index is the last.
    for (at, length) in [(0, 8), (24, 40), (64, 40), (128, 1_024)] {
        let home = Home::new();
        home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
        settle(&home);
        // Where somebody has the index open, LMDB makes nothing of it anew.
        let mut reader = client(&home);
        reader.ask(&["take", "bytes", "k"]);
        let readers = OpenOptions::new().write(true).open(home.store().join("current/lock.mdb")).unwrap();
        readers.write_all_at(&vec![0xff; length], at).unwrap();
        assert_eq!(findings(&home), Vec::<Value>::new(), "{length} bytes from {at}");
        home.command(["add", "-", "--key", "k"]).input("w").outcome().text();
        assert_eq!(home.run(["ls"]).text(), "k");
        assert!(!home.store().join("damaged").exists());
        let log = fs::read_to_string(home.store().join("daemon.log")).unwrap();
        assert!(!log.contains("lost"), "{log}");
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

/// The daemon did not see him in its own table, and wrote to the pages that he looked at.
#[test]
fn who_reads_while_the_table_of_readers_is_lost_under_him_sees_no_byte_change() {
    for lose in [
        |table: &Path| OpenOptions::new().write(true).open(table).unwrap().write_all_at(&[7; 8], 0).unwrap(),
        |table: &Path| fs::remove_file(table).unwrap(),
        |table: &Path| fs::remove_file(table).and_then(|()| fs::write(table, "")).unwrap(),
    ] {
        let home = Home::new();
        let [mut writer, mut reader] = [client(&home), client(&home)];
        let mut write_all = || {
            assert_eq!(writer.ask(&["add-batch", "k", "250", "200"]), 250);
            // All of it is in the index then.
            home.run(["stop"]).text();
        };
        write_all();
        let index = home.store().join("current");
        reader.ask(&["hold-read", index.to_str().unwrap()]);
        let seen = reader.ask(&["look-through-read"]);
        assert!(seen[0].as_u64() > Some(250));
        lose(&index.join("lock.mdb"));
        (0..4).for_each(|_| write_all());
        assert_eq!(reader.ask(&["look-through-read"]), seen);
        assert_eq!(home.run(["len"]).number(), 250);
        assert!(!home.store().join("damaged").exists());
    }
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

#[test]
fn who_reads_a_value_as_something_else_is_told_its_key() {
    let home = Home::new();
    let cache = home.open();
    cache.set("a text", "v").unwrap();
    let error = cache.get_as::<Vec<u8>>("a text").unwrap_err();
    assert!(error.is_wrong_type() && error.to_string().contains("`a text`"), "{error}");
    cache.set("limits", datacache_client::json(&[1, 2])).unwrap();
    let error = cache.get_json::<String>("limits").unwrap_err();
    assert!(error.to_string().contains("`limits`"), "{error}");
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
