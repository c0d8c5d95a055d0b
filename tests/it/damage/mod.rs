//! What a user meets whose files were damaged, copied, or lie somewhere else than thought.

mod index;
mod readers;
mod stores;
mod values;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};
use serde_json::Value;

fn findings(home: &Home) -> Vec<Value> {
    let outcome = home.run(["verify", "--json"]);
    let found: Value = serde_json::from_slice(outcome.printed()).unwrap_or_else(|_| panic!("{outcome:?}"));
    found["findings"].as_array().unwrap().clone()
}

/// Adds a large value as a file, and returns its path in the store.
fn blob(home: &Home, key: &str, content: &[u8]) -> PathBuf {
    let file = home.file("content", content);
    home.run(["add", file.to_str().unwrap(), "--key", key]).text();
    let hash = home.run(["hash", file.to_str().unwrap()]).text();
    home.store().join("blobs").join(&hash[..2]).join(hash)
}

/// Writes into a file in place, so that its length is kept.
fn damage(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"damage", 100).unwrap();
}

/// Waits until the daemon has hashed what was added, so that it does not find the damage itself.
fn settle(home: &Home) {
    eventually("nothing is left to do", PATIENCE, || findings(home).is_empty());
}
