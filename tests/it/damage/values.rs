//! Values whose files were damaged, and what comes of who reads them.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use datacache_client::Transfer;
use datacache_client::blocking::DataCache;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};
use serde_json::Value;

use super::{blob, damage, settle};
use crate::support::{client, noise};

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
