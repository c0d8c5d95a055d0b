//! What all other tests rely on: a home of a test leaves nothing behind.

use std::time::Duration;

use datacache_tests::reads::Way;
use datacache_tests::{Home, Watched};

use crate::support::client;

#[test]
fn a_home_that_goes_takes_its_processes_and_files_along() {
    let home = Home::new();
    let mut other = client(&home);
    other.ask(&["open"]);
    let mut child = home.program("sleep").arg("600").spawn().unwrap();
    let sleeper = Watched::begin(child.id()).unwrap();
    let (daemon, path) = (home.daemon(), home.path().to_owned());
    let pids = |home: &Home| home.processes().iter().map(Watched::pid).collect::<Vec<_>>();
    let running = pids(&home);
    assert!([&daemon, &sleeper, other.process()].into_iter().all(|process| running.contains(&process.pid())));
    assert_eq!(running.len(), 3);
    drop(home);
    for process in [&daemon, &sleeper, other.process()] {
        assert!(process.ends(Duration::ZERO), "process {} is left", process.pid());
    }
    assert!(!path.exists());
    child.wait().unwrap();
}

#[test]
fn every_client_reads_the_way_that_is_tested() {
    let home = Home::new();
    let (cache, way) = (home.open(), Way::of_this_run());
    let mut other = client(&home);
    other.ask(&["add", "k", "v"]);
    let before = way.count(&cache.stats().unwrap());
    assert_eq!(other.ask(&["get", "k"]), "v");
    assert_eq!(cache.get_as::<String>("k").unwrap().as_deref(), Some("v"));
    assert_eq!(home.run(["get", "k"]).text(), "v");
    assert_eq!(home.run(["get", "missing"]).code(), 1);
    assert_eq!(way.count(&cache.stats().unwrap()), before + 4);
    way.assert_only_way(&cache);
    assert_eq!(way.other().count(&cache.stats().unwrap()), 0);
}

#[test]
fn one_home_knows_nothing_of_another() {
    let [one, other] = [Home::new(), Home::new()];
    one.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    assert_eq!(other.run(["len"]).number(), 0);
    assert_ne!(one.daemon().pid(), other.daemon().pid());
    drop(other);
    assert_eq!(one.run(["get", "k", "--no-start"]).text(), "v");
}
