//! The model that the random test of the store has, and its way to drive a store.

#[path = "../store/model/map.rs"]
#[expect(dead_code, reason = "not all that the other test needs is needed here")]
pub(crate) mod map;
#[path = "../store/older.rs"]
pub(crate) mod older;
#[path = "../store/model/subject.rs"]
#[expect(dead_code, reason = "not all that the other test needs is needed here")]
pub(crate) mod subject;

use datacache_daemon::store::Holder;
use datacache_proto::key::Key;
use datacache_proto::process::Process;
use datacache_proto::time::Timestamp;

pub(crate) const SPACES: [&str; 2] = ["default", "naïve"];
pub(crate) const TAGS: [&str; 3] = ["a", "tag two", "ü"];
pub(crate) const SCOPES: u64 = 3;
/// The client whose calls are repeated.
pub(crate) const CLIENT: u64 = 77;

/// Text and integers; short ones, and some beyond the limit of the index that differ only at the end.
pub(crate) fn keys() -> Vec<Key> {
    let mut keys: Vec<Key> = (0..12).map(|n| Key::from(format!("k{n}"))).collect();
    keys.extend([Key::from(42), Key::from(-1)]);
    keys.extend((0..2).map(|n| Key::from(format!("long{}{n}", "g".repeat(5_000)))));
    keys
}

pub(crate) fn moment(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A scope of a process that is gone whenever the power was.
pub(crate) fn holder(scope: u64) -> Holder {
    Holder { process: Process { boot: 1, pid: 2, start: 3 }, scope }
}
