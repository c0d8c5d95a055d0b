//! LMDB's table of readers, damaged or lost while somebody reads: it is made anew, and nothing else is given up.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use datacache_tests::Home;
use serde_json::Value;

use super::{findings, settle};
use crate::support::client;

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
