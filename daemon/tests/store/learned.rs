//! What the policies have learned, on its way to its files: who holds the store is not to wait for the disk.

use datacache_daemon::store::{Command, Put, Reserve, Rule, Rules};
use datacache_proto::key::Key;
use datacache_proto::types::Codec;

use crate::driver::{Driver, inline};

fn rules(own: Option<u64>) -> Rules {
    let entries = |limit| Rule { limit_entries: Some(limit), ..Rule::default() };
    let namespaces = own.map(|limit| ("own".to_owned(), entries(limit))).into_iter().collect();
    Rules { all: entries(100), namespaces, held_percent: 50, reserve: Reserve::Bytes(0), ..Rules::default() }
}

/// Makes a store that has evicted from the pool of `own`, and from the one that others share.
fn driver() -> Driver {
    let mut driver = Driver::new();
    driver.store().set_rules(rules(Some(10)));
    for namespace in ["own", "other"] {
        for key in 0..120 {
            let (namespace, key, codec) = (namespace.into(), Key::from(key).into(), Codec::Bytes);
            let value = inline(b"value");
            let put =
                Put { namespace, key, codec, value, expires: None, tags: Vec::new(), pinned: false, holder: None };
            driver.write(vec![Command::Put(put)]).unwrap();
        }
    }
    driver
}

/// Returns the names of the files of what was learned.
fn files(driver: &Driver) -> Vec<String> {
    let folder = std::fs::read_dir(driver.path().join("eviction"));
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = folder.into_iter().flatten().map(name).collect();
    names.sort();
    names
}

#[test]
fn where_rules_change_nothing_is_written_and_what_a_pool_that_ends_has_learned_is_handed_out() {
    let mut driver = driver();
    assert!(driver.store().set_rules(rules(Some(20))).is_none(), "all pools stay");
    let left = driver.store().set_rules(rules(None)).expect("one ends");
    assert_eq!(files(&driver), [""; 0]);
    left.keep();
    assert_eq!(files(&driver), ["namespace-1"]);
}

#[test]
fn what_was_learned_is_handed_out_a_pool_at_a_time() {
    let mut driver = driver();
    for written in [&["namespace-1"][..], &["namespace-1", "shared"]] {
        driver.store().learned().expect("both have learned").keep();
        assert_eq!(files(&driver), written);
    }
    assert!((0..2).all(|_| driver.store().learned().is_none()), "nothing is new");
}
