//! Whose the files are and what of them stays: nothing is open to others, and nothing is left beside what was named.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

use crate::support::noise;

/// Returns everything below a folder but links, with its mode.
fn below(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_symlink() {
            continue;
        }
        if metadata.is_dir() {
            found.extend(below(&path));
        }
        found.push((path, metadata.mode() & 0o7777));
    }
    found
}

#[test]
fn whatever_the_caller_has_set_nothing_is_open_to_others() {
    let home = Home::new();
    let large = home.file("large", noise(1, 100_000));
    let script = "umask 0; \"$0\" add \"$1\" --key large && \"$0\" add - --key small </dev/null && \"$0\" ls";
    let mut shell = home.program("sh");
    shell.args(["-c", script]).arg(datacache_tests::program::program()).arg(&large);
    assert!(shell.output().unwrap().status.success());
    // A staged value of a client that is at it, too.
    let cache = home.open();
    cache.add(noise(2, 200_000)).key("other").run().unwrap();
    let places = [home.store(), home.path().join("run/datacache")];
    let all: Vec<_> = places.iter().flat_map(|place| below(place)).collect();
    for name in
        ["CACHEDIR.TAG", "daemon.log", "lock", "gen-1/data.mdb", "gen-1/lock.mdb", "gen-1/recent", "gen-1/access"]
    {
        assert!(all.iter().any(|(path, _)| *path == home.store().join(name)), "{name} is looked for in vain: {all:?}");
    }
    assert!(all.iter().any(|(path, mode)| path.ends_with("run/datacache/sock") && *mode == 0o600));
    let open: Vec<_> = all.iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
    for place in places {
        assert_eq!(fs::metadata(place).unwrap().mode() & 0o7777, 0o700);
    }
}

#[test]
fn a_store_that_was_opened_to_others_is_closed_again_by_the_next_daemon() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    home.run(["stop"]).text();
    fs::set_permissions(home.store(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(home.run(["len"]).number(), 1);
    assert_eq!(fs::metadata(home.store()).unwrap().mode() & 0o7777, 0o700);
    let log = fs::read_to_string(home.store().join("daemon.log")).unwrap();
    assert!(log.contains("the store was open to others") && log.contains("mode=777"), "{log}");
}

#[test]
fn a_link_in_the_place_of_a_file_of_the_store_is_refused_and_not_followed() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    home.run(["stop"]).text();
    let letter = home.file("letter", "Dear Sir or Madam");
    let kept = home.path().join("kept");
    for name in ["daemon.log", "lock", "CACHEDIR.TAG", "staging", "gen-1", "gen-1/data.mdb"] {
        let path = home.store().join(name);
        fs::rename(&path, &kept).unwrap();
        std::os::unix::fs::symlink(&letter, &path).unwrap();
        let outcome = home.run(["len"]);
        assert!(outcome.told().contains(name), "{outcome:?}");
        assert_ne!(outcome.code(), 0);
        assert_eq!(fs::read(&letter).unwrap(), b"Dear Sir or Madam", "{name}");
        fs::remove_file(&path).unwrap();
        fs::rename(&kept, &path).unwrap();
    }
    assert_eq!(home.run(["get", "k"]).text(), "v");
}

/// The log was put aside, and the name that it got then kept every later daemon from its store.
#[test]
fn a_log_that_has_become_long_is_put_aside_and_in_nobodys_way() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    for _ in 0..2 {
        home.run(["stop"]).text();
        fs::write(home.store().join("daemon.log"), vec![b'x'; (1 << 20) + 1]).unwrap();
        assert_eq!(home.run(["len"]).number(), 1);
    }
    assert_eq!(fs::metadata(home.store().join("daemon.log.old")).unwrap().len(), (1 << 20) + 1);
}

#[test]
fn nothing_but_the_way_to_its_store_is_left_beside_a_socket_that_was_named() {
    let home = Home::new();
    let folder = home.path().join("own");
    DirBuilder::new().mode(0o700).create(&folder).unwrap();
    let run = |verb: &str| home.run([verb.as_ref(), "--socket".as_ref(), folder.join("mine").as_os_str()]);
    assert_eq!(run("len").number(), 0);
    let daemon = home.daemons().remove(0);
    run("stop").text();
    assert!(daemon.ends(PATIENCE));
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mine.store"]);
}

#[test]
fn links_to_stores_that_are_gone_do_not_pile_up() {
    let home = Home::new();
    let links = || {
        let entries = fs::read_dir(home.path().join("run/datacache")).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "store")).collect::<Vec<_>>()
    };
    let file = home.file("content", "v");
    let add = |dir: &Path| home.run(["add".as_ref(), file.as_os_str(), "--dir".as_ref(), dir.as_os_str()]).text();
    for name in ["a", "b", "c"] {
        let dir = home.path().join(name);
        add(&dir);
        let now = links();
        assert_eq!(now.len(), 1, "{now:?}");
        let daemon = home.daemons().remove(0);
        home.run(["stop".as_ref(), "--dir".as_ref(), dir.as_os_str()]).text();
        assert!(daemon.ends(PATIENCE));
        fs::remove_dir_all(&dir).unwrap();
    }
    // Removed under its daemon, the store takes the link along.
    let dir = home.path().join("d");
    add(&dir);
    fs::remove_dir_all(&dir).unwrap();
    eventually("the link is gone", PATIENCE, || links().is_empty());
}

#[test]
fn two_spellings_of_a_store_have_one_socket_and_one_daemon() {
    let home = Home::new();
    fs::create_dir(home.path().join("a")).unwrap();
    let socket_of = |dir: &Path| {
        let shown = home.run(["config".as_ref(), "show".as_ref(), "--dir".as_ref(), dir.as_os_str()]).text();
        shown.lines().find(|line| line.starts_with("socket")).unwrap().to_owned()
    };
    let (plain, winding) = (home.path().join("b"), home.path().join("a/../b"));
    assert_eq!(socket_of(&plain), socket_of(&winding));
    let file = home.file("content", "v");
    home.run(["add".as_ref(), file.as_os_str(), "--dir".as_ref(), winding.as_os_str()]).text();
    assert!(socket_of(&plain).split_whitespace().nth(1).is_some_and(|socket| Path::new(socket).exists()));
    assert_eq!(home.run(["len".as_ref(), "--no-start".as_ref(), "--dir".as_ref(), plain.as_os_str()]).number(), 1);
    assert_eq!(home.daemons().len(), 1);
}

#[test]
fn a_variable_that_sets_nothing_is_told_with_the_one_that_was_meant() {
    let home = Home::new();
    let told = "the variable DATACACHE_IDLE_EXITS sets nothing; did you mean DATACACHE_IDLE_EXIT?";
    let shown = home.command(["config", "show"]).env("DATACACHE_IDLE_EXITS", "5m").outcome();
    assert!(shown.told().contains(told) && shown.code() == 0, "{shown:?}");
    assert_eq!(home.command(["len"]).env("DATACACHE_IDLE_EXITS", "5m").outcome().number(), 0);
    let log = fs::read_to_string(home.store().join("daemon.log")).unwrap();
    assert!(log.contains(told), "{log}");
    assert_eq!(home.run(["config", "show"]).told(), "");
}
