//! Clients that can't reach the store's folder, or only a part of it: large values travel over the socket then.

use datacache_client::{Fallback, HashType, hash_of};
use datacache_tests::reads::Way;
use datacache_tests::{Client, Home, Run};
use serde_json::json;

use crate::{Case, Need, behind};

pub(crate) const CASES: &[Case] = &[
    ("a_process_that_can_not_see_the_store_adds_and_gets_large_values", Need::Mounts, without_the_store),
    ("a_process_that_can_not_write_to_the_staging_folder_adds_and_gets_large_values", Need::Mounts, without_staging),
    ("a_process_that_can_not_see_the_blobs_gets_large_values", Need::Mounts, without_the_blobs),
    ("the_command_works_where_only_the_socket_can_be_reached", Need::Mounts, the_command),
];

/// An empty folder lies over the store, as in a container that has the socket only.
const NO_STORE: &str = "mount -t tmpfs none \"$STORE\"";

fn without_the_store() {
    large_values_travel(NO_STORE);
}

fn without_staging() {
    large_values_travel("mount -t tmpfs -o ro none \"$STORE/staging\"");
}

fn without_the_blobs() {
    large_values_travel("mount -t tmpfs none \"$STORE/blobs\"");
}

fn large_values_travel(mounts: &str) {
    let home = Home::new();
    let cache = home.open();
    let mut hidden = Client::start(behind(&home, mounts, env!("CARGO_BIN_EXE_client-process")));
    let value = vec![1; 3_000_000];
    let key = cache.add(&value).run().unwrap();
    let key = key.as_text().unwrap();
    assert_eq!(hidden.ask(&["hash", key]), json!([value.len(), key]));
    let other = vec![2; 2_000_000];
    let path = home.file("other", &other);
    let key = hidden.ask(&["add-file", path.to_str().unwrap(), "t"]);
    assert!(cache.get_as::<Vec<u8>>(key.as_str().unwrap()).unwrap().unwrap() == other);
    assert_eq!(hidden.ask(&["add", "small", "v"]), "small");
    assert_eq!(hidden.ask(&["get", "small"]), "v");
    assert_eq!(hidden.ask(&["bind", "bound", "v"]), "bound");
    assert_eq!(hidden.ask(&["release"]), 1);
    let reads = cache.stats().unwrap().reads.fallbacks;
    let reason = if Way::of_this_run() == Way::Direct { Fallback::Unreachable } else { Fallback::Off };
    assert_eq!(reads, [(reason, 2)], "its reads are told as what they are, and none as several");
}

fn the_command() {
    let home = Home::new();
    home.start();
    let value = vec![3; 1_500_000];
    let key = hash_of(&value, HashType::Sha256).unwrap();
    let run = |arguments: &str| Run::new(behind(&home, NO_STORE, &format!("\"$DATACACHE_PROGRAM\" {arguments}")));
    assert_eq!(run("add -").input(value.clone()).outcome().text(), key);
    assert!(run(&format!("get {key}")).outcome().bytes() == value);
    assert!(home.run(["get", &key]).bytes() == value);
    assert_eq!(home.daemons().len(), 1);
}
