//! Stores with limits, and what is put into them.

use datacache_daemon::store::{BatchResult, Command, NewValue, Put, Reserve, Rule, Rules};
use datacache_proto::key::Key;
use datacache_proto::types::Codec;

use crate::driver::{Driver, inline};

pub(crate) const MIB: u64 = 1 << 20;

/// Returns limits of the whole store.
pub(crate) fn rules(all: Rule) -> Rules {
    Rules { all, held_percent: 50, reserve: Reserve::Bytes(0), ..Rules::default() }
}

/// Returns a limit in bytes of the whole store.
pub(crate) fn bytes(limit: u64) -> Rules {
    rules(Rule { limit: Some(limit), ..Rule::default() })
}

/// Returns a store with these limits.
pub(crate) fn limited(rules: Rules) -> Driver {
    let mut driver = Driver::new();
    driver.store().set_rules(rules);
    driver
}

/// Returns an entry that is neither pinned nor bound, and never ends.
pub(crate) fn add(namespace: &str, key: impl Into<Key>, value: NewValue) -> Put {
    let (namespace, key, codec) = (namespace.into(), key.into().into(), Codec::Bytes);
    Put { namespace, key, codec, value, expires: None, tags: Vec::new(), pinned: false, holder: None }
}

/// Puts one entry, for which room is made if need be.
pub(crate) fn put(driver: &mut Driver, put: Put) -> BatchResult {
    driver.write(vec![Command::Put(put)])
}

/// Returns as many such entries under keys in the disorder of hashes.
pub(crate) fn some(random: &mut fastrand::Rng, entries: usize, length: usize) -> Vec<Command> {
    let value = vec![7; length];
    (0..entries).map(|_| Command::Put(add("default", random.i64(..), inline(&value)))).collect()
}

/// Returns a store that had an eighth more than its limit, of batches that `make` makes, and was packed.
pub(crate) fn packed(limit: u64, mut make: impl FnMut() -> Vec<Command>) -> Driver {
    let mut driver = Driver::new();
    while driver.store().usage().total() < limit + limit / 8 {
        driver.write(make()).unwrap();
        driver.checkpoint();
    }
    driver.store().set_rules(bytes(limit));
    loop {
        driver.checkpoint();
        let evicted = driver.store().evicted(1);
        driver.relieve();
        if driver.store().evicted(1) == evicted {
            return driver;
        }
    }
}
