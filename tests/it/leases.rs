//! S13: what is bound to a scope goes with it, and with nothing else: not with another session that has the same content,
//! not with a forked child, not with a restart of the daemon.

use std::time::Duration;

use datacache_tests::{Client, Home, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client;

/// A bound value is gone this soon after its process.
const GONE_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn a_bound_value_is_gone_within_a_second_after_its_process_is_killed() {
    let home = Home::new();
    let cache = home.open();
    let mut owner = client(&home);
    owner.ask(&["bind", "bound", "v"]);
    owner.ask(&["add", "free", "v"]);
    assert!(cache.contains("bound").unwrap());
    assert_eq!(cache.stats().unwrap().store.leases, 1);
    owner.kill();
    eventually("the bound value is gone", GONE_WITHIN, || !cache.contains("bound").unwrap());
    assert!(cache.contains("free").unwrap());
    assert_eq!(cache.stats().unwrap().store.leases, 0);
}

#[test]
fn a_bound_value_is_gone_within_a_second_after_its_process_ends_by_itself() {
    let home = Home::new();
    let cache = home.open();
    let mut owner = client(&home);
    owner.ask(&["bind", "bound", "v"]);
    assert!(owner.end().success());
    eventually("the bound value is gone", GONE_WITHIN, || !cache.contains("bound").unwrap());
}

#[test]
fn a_bound_value_outlives_a_process_that_is_only_stopped() {
    let home = Home::new();
    let cache = home.open();
    let mut owner = client(&home);
    owner.ask(&["bind", "bound", "v"]);
    owner.process().signal(Signal::STOP);
    // Another process comes and goes meanwhile, so the daemon has had its turn.
    let mut other = client(&home);
    other.ask(&["bind", "other", "v"]);
    other.kill();
    eventually("the other's value is gone", GONE_WITHIN, || !cache.contains("other").unwrap());
    assert!(cache.contains("bound").unwrap());
    owner.process().signal(Signal::CONT);
    assert_eq!(owner.ask(&["release"]), 1);
}

#[test]
fn a_second_session_that_bound_the_same_content_keeps_it_alive() {
    let home = Home::new();
    let cache = home.open();
    let [mut first, mut second] = [client(&home), client(&home)];
    let key = first.ask(&["bind-content", "shared"]);
    assert_eq!(second.ask(&["bind-content", "shared"]), key);
    let key = key.as_str().unwrap();
    first.ask(&["bind", "first's own", "v"]);
    first.kill();
    eventually("the first session's end is noticed", GONE_WITHIN, || !cache.contains("first's own").unwrap());
    assert_eq!(second.ask(&["get", key]), "shared");
    second.kill();
    eventually("the last session takes it along", GONE_WITHIN, || !cache.contains(key).unwrap());
}

#[test]
fn the_end_of_a_forked_child_removes_nothing() {
    let home = Home::new();
    let cache = home.open();
    let mut parent = client(&home);
    parent.ask(&["bind", "bound", "v"]);
    for inherited in
        [&["fork"][..], &["fork", "drop-scope"], &["fork", "get", "bound"], &["fork", "add", "child's", "w"]]
    {
        assert!(parent.ask(inherited).get("failed").is_none(), "{inherited:?}");
    }
    assert_eq!(cache.get_as::<String>("child's").unwrap().as_deref(), Some("w"));
    // The parent's own connection still works, and its lease is still one.
    assert_eq!(parent.ask(&["get", "bound"]), "v");
    assert!(cache.stat("bound").unwrap().unwrap().bound);
    assert_eq!(parent.ask(&["release"]), 1);
    assert!(!cache.contains("bound").unwrap());
}

#[test]
fn a_forked_child_can_not_bind_to_the_scope_that_it_inherited() {
    let home = Home::new();
    home.start();
    let mut parent = client(&home);
    parent.ask(&["bind", "bound", "v"]);
    let refused = parent.ask(&["fork", "bind", "childs", "v"]);
    assert!(refused["failed"].as_str().unwrap().contains("a forked child has to open its own"), "{refused}");
    let refused = parent.ask(&["fork", "release"]);
    assert!(refused["failed"].is_string(), "{refused}");
    assert_eq!(parent.ask(&["release"]), 1);
}

#[test]
fn what_a_forked_child_binds_to_its_own_scope_goes_with_the_child() {
    let home = Home::new();
    let cache = home.open();
    let mut parent = client(&home);
    // The parent has the cache open, but no scope: the child opens one.
    parent.ask(&["open"]);
    assert_eq!(parent.ask(&["fork", "bind", "child's", "v"]), "child's");
    eventually("it went with the child", GONE_WITHIN, || !cache.contains("child's").unwrap());
    assert_eq!(parent.ask(&["bind", "parent's", "v"]), "parent's");
    assert!(cache.contains("parent's").unwrap());
}

#[test]
fn a_lease_survives_a_restart_of_the_daemon_while_its_process_lives() {
    let home = Home::new();
    let mut owner = client(&home);
    owner.ask(&["bind", "bound", "v"]);
    for end in [stop, kill] {
        end(&home);
        let cache = home.open();
        assert!(cache.stat("bound").unwrap().unwrap().bound);
    }
    assert_eq!(owner.ask(&["get", "bound"]), "v");
    let cache = home.open();
    owner.kill();
    eventually("it goes with its process", GONE_WITHIN, || !cache.contains("bound").unwrap());
}

#[test]
fn a_lease_whose_process_ended_while_no_daemon_ran_ends_with_the_next_daemon() {
    let home = Home::new();
    for end in [stop, kill] {
        let mut owner = client(&home);
        owner.ask(&["bind", "bound", "v"]);
        end(&home);
        owner.kill();
        let cache = home.open();
        eventually("it is gone", GONE_WITHIN, || !cache.contains("bound").unwrap());
    }
}

fn stop(home: &Home) {
    home.run(["stop"]).text();
}

fn kill(home: &Home) {
    home.daemon().kill();
}

#[test]
fn releasing_is_idempotent_and_a_scope_that_ended_while_no_daemon_ran_is_released_by_the_next_call() {
    let home = Home::new();
    let cache = home.open();
    let mut owner = client(&home);
    owner.ask(&["bind", "one", "v"]);
    assert_eq!(owner.ask(&["release"]), 1);
    assert_eq!(owner.ask(&["release"]), Value::Null);
    owner.ask(&["bind", "two", "v"]);
    drop(cache);
    stop(&home);
    // Nobody to tell.
    owner.ask(&["drop-scope"]);
    let cache = home.open();
    assert!(cache.contains("two").unwrap());
    owner.ask(&["len"]);
    assert_eq!(owner.ask(&["get", "two"]), Value::Null, "the call told the daemon first");
    assert!(!cache.contains("two").unwrap());
}

#[test]
fn a_scope_does_not_touch_what_was_put_under_its_key_later() {
    let home = Home::new();
    let cache = home.open();
    let mut owner = client(&home);
    owner.ask(&["bind", "k", "old"]);
    owner.ask(&["bind", "watched", "v"]);
    cache.set("k", "new").unwrap();
    owner.kill();
    eventually("its end is noticed", GONE_WITHIN, || !cache.contains("watched").unwrap());
    assert_eq!(cache.get_as::<String>("k").unwrap().as_deref(), Some("new"));
}

#[test]
fn equal_content_that_is_added_without_a_scope_stays() {
    let home = Home::new();
    let cache = home.open();
    let mut owner = client(&home);
    let key = owner.ask(&["bind-content", "v"]);
    assert_eq!(cache.add("v").run().unwrap().as_text(), key.as_str());
    assert_eq!(owner.ask(&["release"]), 0);
    assert!(cache.contains(key.as_str().unwrap()).unwrap());
}

#[test]
fn many_sessions_of_the_same_content_end_one_by_one_and_the_last_takes_it_along() {
    let home = Home::new();
    let cache = home.open();
    let mut sessions: Vec<Client> = (0..8).map(|_| client(&home)).collect();
    sessions.iter_mut().for_each(|session| session.tell(&["bind-content", "v"]));
    let keys: Vec<Value> = sessions.iter_mut().map(Client::answer).collect();
    let key = keys[0].as_str().unwrap();
    assert!(keys.iter().all(|other| *other == keys[0]));
    assert_eq!(cache.stats().unwrap().store.leases, 8);
    while let Some(mut session) = sessions.pop() {
        assert_eq!(session.ask(&["release"]), json!(u64::from(sessions.is_empty())));
        assert_eq!(cache.contains(key).unwrap(), !sessions.is_empty());
    }
}
