//! Homes that share a folder for sockets, as `HOME=/other` and `XDG_CACHE_HOME=/other` have it: each has a store of its own, and nobody
//! reads or changes one that its settings do not mean.

use std::fs;
use std::path::{Path, PathBuf};

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

#[test]
fn a_place_that_follows_from_the_environment_is_shown_as_such() {
    let home = Home::new();
    let run = home.command(["config", "show"]).without("XDG_CONFIG_HOME");
    let shown = run.env("XDG_CACHE_HOME", Path::new("/elsewhere")).outcome().text();
    let ends = |name: &str, end: &str| {
        let row = shown.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        assert!(row.split_whitespace().collect::<Vec<_>>().join(" ").ends_with(end), "{row}");
    };
    ends("store", "/elsewhere/datacache environment XDG_CACHE_HOME");
    ends("socket", "environment XDG_RUNTIME_DIR");
    ends("config", "default");
}
