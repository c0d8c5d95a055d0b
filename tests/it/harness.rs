//! What all other tests rely on: a home of a test leaves nothing behind.

use std::time::Duration;

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
fn one_home_knows_nothing_of_another() {
    let [one, other] = [Home::new(), Home::new()];
    one.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    assert_eq!(other.run(["len"]).number(), 0);
    assert_ne!(one.daemon().pid(), other.daemon().pid());
    drop(other);
    assert_eq!(one.run(["get", "k", "--no-start"]).text(), "v");
}
