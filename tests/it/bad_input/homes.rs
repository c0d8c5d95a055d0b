//! Homes that share a folder for sockets, as `HOME=/other` and `XDG_CACHE_HOME=/other` have it: each has a store of its own, and nobody
//! reads or changes one that its settings do not mean.

use std::fs;
use std::path::PathBuf;

use datacache_client::blocking;
use datacache_tests::{Home, Outcome, Run};

/// Another home of the same user, with the same folder for sockets.
struct Second<'h> {
    home: &'h Home,
    caches: PathBuf,
}

impl<'h> Second<'h> {
    fn of(home: &'h Home) -> Self {
        Self { home, caches: home.path().join("second") }
    }

    fn store(&self) -> PathBuf {
        self.caches.join("datacache")
    }

    fn command(&self, arguments: &[&str]) -> Run {
        self.home.command(arguments).env("XDG_CACHE_HOME", &self.caches)
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.command(arguments).outcome()
    }

    fn add(&self, key: &str, value: &str) {
        self.command(&["add", "-", "--key", key]).input(value).outcome().text();
    }

    /// Returns the store and the socket that `status` and `config show` agree on.
    #[track_caller]
    fn places(&self) -> [PathBuf; 2] {
        let status: serde_json::Value = serde_json::from_slice(self.run(&["status", "--json"]).printed()).unwrap();
        let shown = self.run(&["config", "show"]).text();
        ["store", "socket"].map(|name| {
            let told = status[name].as_str().unwrap();
            let row = shown.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
            assert!(row.contains(told), "{row}: {told}");
            told.into()
        })
    }
}

fn add(home: &Home, key: &str, value: &str) {
    home.command(["add", "-", "--key", key]).input(value).outcome().text();
}

#[test]
fn the_default_socket_is_used_for_the_store_that_has_it_alone() {
    let home = Home::new();
    let second = Second::of(&home);
    add(&home, "k", "first");
    assert_eq!(second.run(&["status"]).code(), 3, "its store has no daemon");
    second.add("k", "second");
    assert_eq!(second.run(&["get", "k"]).text(), "second");
    assert_eq!(home.run(["get", "k"]).text(), "first");
    second.run(&["clear"]).text();
    assert_eq!((home.run(["len"]).number(), second.run(&["len"]).number()), (1, 0));
    let [store, socket] = second.places();
    assert_eq!(store, second.store());
    assert_ne!(socket, home.socket());
    second.run(&["stop"]).text();
    assert_eq!(second.places(), [store, socket], "and so without a daemon");
    assert_eq!(home.run(["len", "--no-start"]).number(), 1, "the other one still runs");
}

/// The link beside the socket stays when a daemon stops: reads went by it, and all else by the settings.
#[test]
fn what_a_stopped_daemon_left_leads_no_other_home_astray() {
    let home = Home::new();
    let second = Second::of(&home);
    add(&home, "k", "first");
    home.run(["stop"]).text();
    assert_eq!(second.run(&["get", "k"]).code(), 1);
    assert_eq!(second.run(&["contains", "k"]).code(), 1);
    second.add("other", "second");
    assert_eq!(second.run(&["len"]).number(), 1);
    assert_eq!(home.run(["get", "k"]).text(), "first");
    assert_eq!(home.run(["len"]).number(), 1);
}

/// As systemd listens before its daemon has run: nothing tells yet whose the socket is.
#[test]
fn a_daemon_whose_link_is_not_there_is_asked_which_store_it_serves() {
    let home = Home::new();
    let second = Second::of(&home);
    add(&home, "k", "first");
    fs::remove_file(home.path().join("run/datacache/store")).unwrap();
    for verb in ["get k", "stat k", "delete k", "clear", "len"] {
        let arguments: Vec<_> = verb.split(' ').chain(["--no-start"]).collect();
        let outcome = second.run(&arguments);
        assert_ne!(outcome.code(), 0, "{outcome:?}");
    }
    assert_eq!(home.run(["get", "k"]).text(), "first");
}

#[test]
fn a_socket_from_the_environment_is_refused_where_another_store_is_served_there() {
    let home = Home::new();
    add(&home, "k", "first");
    let other = home.path().join("other");
    fs::create_dir(&other).unwrap();
    for verb in [&["len"][..], &["get", "k"]] {
        let run = home.command(verb).env("DATACACHE_DIR", &other).env("DATACACHE_SOCKET", home.socket());
        let line = run.outcome().error(4).to_owned();
        assert!(line.contains(home.store().to_str().unwrap()) && line.contains(other.to_str().unwrap()), "{line}");
    }
    let options = home.options().dir(&other);
    assert!(blocking::DataCache::open(options).unwrap_err().is_refused());
}

/// It was read, and what was added went into the default store: the link outlives its daemon.
#[test]
fn a_link_that_a_stopped_daemon_left_beside_a_socket_leads_nobody_to_its_store() {
    let home = Home::new();
    let (socket, named) = (home.path().join("run/own"), home.path().join("named"));
    let at = |arguments: &[&str]| {
        let arguments = arguments.iter().map(AsRef::as_ref).chain(["--socket".as_ref(), socket.as_os_str()]);
        home.command(arguments.collect::<Vec<_>>())
    };
    at(&["add", "-", "--key", "k", "--dir", named.to_str().unwrap()]).input("named").outcome().text();
    assert_eq!(at(&["get", "k"]).outcome().text(), "named", "its daemon runs");
    at(&["stop"]).outcome().text();
    assert!(home.path().join("run/own.store").exists());
    assert_eq!(at(&["get", "k"]).outcome().code(), 1);
    at(&["add", "-", "--key", "k"]).input("default").outcome().text();
    assert_eq!(at(&["get", "k"]).outcome().text(), "default");
}

#[test]
fn a_place_that_follows_from_the_environment_is_shown_as_such() {
    let home = Home::new();
    let shown = |arguments: &[&str], cache: &str, without: &str| {
        let run = home.command(["config", "show"].iter().chain(arguments)).without("XDG_CONFIG_HOME");
        run.env("XDG_CACHE_HOME", cache).without(without).outcome().text()
    };
    let ends = |shown: &str, name: &str, end: &str| {
        let row = shown.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        assert!(row.split_whitespace().collect::<Vec<_>>().join(" ").ends_with(end), "{row}");
    };
    let plain = shown(&[], "/elsewhere", "DATACACHE_DIR");
    ends(&plain, "store", "/elsewhere/datacache environment XDG_CACHE_HOME");
    ends(&plain, "socket", "environment XDG_RUNTIME_DIR");
    ends(&plain, "config", "default");
    ends(&shown(&["--dir", "/named"], "/elsewhere", "DATACACHE_DIR"), "store", "/named command line");
    // Which it is not, and so it is not gone by.
    ends(&shown(&[], "no/path", "DATACACHE_DIR"), "store", "default");
    // Where systemd has made a folder for the user, that is it.
    let bare = shown(&[], "/elsewhere", "XDG_RUNTIME_DIR");
    let is_in_store = bare.contains("/elsewhere/datacache/run/sock");
    ends(&bare, "socket", if is_in_store { "environment XDG_CACHE_HOME" } else { "default" });
}
