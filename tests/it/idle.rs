//! Nobody asks, nobody works: an idle daemon and its idle clients are not woken once.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use datacache_tests::process::Activity;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Client, Home, Watched, eventually};

use crate::support::{client, noise};

/// How long nothing may happen.
const STILL: Duration = Duration::from_secs(5);
/// What was written is synced after a second and applied after five; threads that are not needed end after ten.
const SETTLES_WITHIN: Duration = Duration::from_secs(40);

#[test]
fn an_idle_daemon_and_its_idle_clients_are_not_woken_once_in_five_seconds() {
    let home = Home::new();
    let mut clients: Vec<Client> = (0..3).map(|_| client(&home)).collect();
    let large = home.file("large", noise(1, 300_000));
    for (number, client) in clients.iter_mut().enumerate() {
        let (key, text) = (number.to_string(), format!("value {number}"));
        client.ask(&["add", &key, &text]);
        assert_eq!(client.ask(&["get", &key]), text);
        client.ask(&["add-file", large.to_str().unwrap(), "t"]);
        client.ask(&["bind", "bound", "v"]);
    }
    // An asynchronous one has threads of its own that could be woken.
    let mut other = client(&home);
    assert_eq!(other.ask(&["use-asynchronously", "key", "text"]), "text");
    clients.push(other);
    let daemon = home.daemon();
    let processes: Vec<&Watched> = clients.iter().map(Client::process).chain([&daemon]).collect();
    assert_rest(&processes);
    // All of it works as before.
    assert_eq!(clients[0].ask(&["get", "0"]), "value 0");
    assert_eq!(clients[3].ask(&["use-asynchronously", "key", "more"]), "more");
}

#[test]
fn a_daemon_that_nobody_has_asked_anything_yet_is_not_woken_either() {
    let home = Home::new();
    home.start();
    assert_rest(&[&home.daemon()]);
}

/// What the tests above go by.
#[test]
fn a_process_that_wakes_up_once_is_noticed() {
    let home = Home::new();
    let mut child = home.program("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let process = Watched::begin(child.id()).unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut answer = [0];
    for round in 0..20 {
        let before = process.activity();
        stdin.write_all(b"x").unwrap();
        stdout.read_exact(&mut answer).unwrap();
        // It is switched away from again when it waits for more.
        eventually("it is noticed", PATIENCE, || process.activity().switches > before.switches);
        assert_eq!(process.activity().threads, 1, "round {round}");
    }
    drop(stdin);
    child.wait().unwrap();
}

/// Waits until none of these processes was switched to or used the processor for as long as nothing may happen.
#[track_caller]
fn assert_rest(processes: &[&Watched]) {
    let look = || processes.iter().map(|process| process.activity()).collect::<Vec<Activity>>();
    let (mut last, mut since) = (look(), Instant::now());
    eventually("all are still for long enough", SETTLES_WITHIN + PATIENCE, || {
        let now = look();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() >= STILL
    });
}
