//! The cache for programs that wait.

use std::thread;

use datacache_client::Error;
use datacache_client::blocking::DataCache;

use crate::fake::{FakeDaemon, Trouble};

#[test]
fn the_whole_way_of_a_value() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).unwrap();
    let key = cache.add("text").tag("t").run().unwrap();
    cache.set("large", vec![1; 100_000]).unwrap();
    assert_eq!(cache.get_as::<String>(&key).unwrap().as_deref(), Some("text"));
    assert_eq!(cache.get("large").unwrap().unwrap().len(), 100_000);
    assert_eq!(cache.len().unwrap(), 2);
    assert_eq!(cache.evict("t").unwrap(), 1);
    assert!(cache.get_file("large").run().unwrap().unwrap().path().exists());
    assert!(cache.delete("large").unwrap());
    assert!(cache.is_empty().unwrap());
}

#[test]
fn threads_share_a_cache() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).unwrap();
    thread::scope(|scope| {
        for thread in 0..8_i64 {
            let cache = &cache;
            scope.spawn(move || {
                for number in 0..20 {
                    cache.set(thread * 100 + number, "v").unwrap();
                    assert!(cache.contains(thread * 100 + number).unwrap());
                }
            });
        }
    });
    assert_eq!(cache.len().unwrap(), 160);
    assert_eq!(daemon.state().introductions.len(), 1);
}

#[tokio::test]
async fn within_a_runtime_it_works_and_can_be_dropped_there() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).unwrap();
    let scope = cache.scope().unwrap();
    cache.add("v").key("k").bind(&scope).run().unwrap();
    assert_eq!(cache.list().count(), 1);
    drop(scope);
    assert!(cache.is_empty().unwrap());
    drop(cache);
    let daemon_is_free = || daemon.state().connections == 0;
    while !daemon_is_free() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_list_is_an_iterator_that_ends_after_an_error() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).unwrap();
    for key in ["a", "b", "c"] {
        cache.set(key, "v").unwrap();
    }
    let keys: Result<Vec<String>, Error> =
        cache.list().page_size(2).map(|entry| entry.map(|entry| entry.key.to_string())).collect();
    assert_eq!(keys.unwrap(), ["a", "b", "c"]);
    let mut refused = cache.list().tag("");
    assert!(refused.next().unwrap().unwrap_err().is_invalid_input());
    assert!(refused.next().is_none());
}

#[test]
fn a_daemon_that_is_replaced_between_two_calls_is_not_noticed() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).unwrap();
    daemon.die();
    daemon.listen();
    cache.set("k", "v").unwrap();
    daemon.trouble("delete", Trouble::HangUpAfter);
    assert!(cache.delete("k").unwrap());
    assert_eq!(daemon.state().done_of("delete"), 1);
}

#[test]
fn no_daemon_is_no_cache_for_who_only_looks() {
    let daemon = FakeDaemon::absent();
    assert!(DataCache::try_connect(daemon.options()).unwrap().is_none());
    daemon.listen();
    assert!(DataCache::try_connect(daemon.options()).unwrap().is_some());
}
