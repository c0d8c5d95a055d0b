//! Scopes end, and the daemon is told of it.

use std::time::Duration;

use datacache_client::{DataCache, Error, blocking};

use crate::fake::{FakeDaemon, Trouble};

#[tokio::test]
async fn what_is_bound_to_a_scope_goes_with_it() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).await.unwrap();
    let scope = cache.scope().unwrap();
    cache.add("v").key("bound").bind(&scope).await.unwrap();
    cache.add("v").key("free").await.unwrap();
    assert!(cache.stat("bound").await.unwrap().unwrap().bound);
    assert_eq!(scope.end().await.unwrap(), 1);
    assert!(!cache.contains("bound").await.unwrap());
    assert!(cache.contains("free").await.unwrap());
}

#[tokio::test]
async fn a_dropped_scope_is_released_in_the_background() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).await.unwrap();
    let scope = cache.scope().unwrap();
    cache.add("v").key("bound").bind(&scope).await.unwrap();
    // Neither the cache nor anything else is held any more: the task has all that it needs.
    drop((scope, cache));
    while !daemon.state().entries.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_scope_dropped_outside_of_the_runtime_is_released_in_the_one_it_was_opened_in() {
    let daemon = FakeDaemon::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (cache, scope) = runtime.block_on(async {
        let cache = DataCache::open(daemon.options()).await.unwrap();
        let scope = cache.scope().unwrap();
        cache.add("v").key("bound").bind(&scope).await.unwrap();
        (cache, scope)
    });
    drop(scope);
    runtime.block_on(async {
        while cache.contains("bound").await.unwrap() {
            tokio::task::yield_now().await;
        }
    });
}

#[tokio::test]
async fn open_scopes_are_renewed_at_each_connection_and_ended_ones_are_not() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).await.unwrap();
    let (open, ended) = (cache.scope().unwrap(), cache.scope().unwrap());
    cache.add("v").key("bound").bind(&open).await.unwrap();
    ended.end().await.unwrap();
    daemon.die();
    daemon.listen();
    assert!(cache.contains("bound").await.unwrap());
    let state = daemon.state();
    let scope = state.entries.values().find_map(|entry| entry.addition.scope).unwrap();
    assert_eq!(state.introductions[1].scopes, [scope]);
}

#[tokio::test]
async fn a_scope_that_ended_while_the_daemon_was_away_is_released_at_the_next_connection() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).await.unwrap();
    let scope = cache.scope().unwrap();
    cache.add("v").key("bound").bind(&scope).await.unwrap();
    daemon.die();
    let error = scope.end().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    daemon.listen();
    assert!(!cache.contains("bound").await.unwrap());
    assert!(daemon.state().introductions[1].scopes.is_empty());
}

#[tokio::test]
async fn a_release_is_repeated_over_a_lost_connection_and_keeps_its_count() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).await.unwrap();
    let scope = cache.scope().unwrap();
    cache.add("v").key("bound").bind(&scope).await.unwrap();
    daemon.trouble("release", Trouble::HangUpAfter);
    assert_eq!(scope.end().await.unwrap(), 1);
    assert_eq!(daemon.state().done_of("release"), 1);
}

#[test]
fn a_blocking_scope_is_released_when_its_drop_returns() {
    let daemon = FakeDaemon::start();
    let cache = blocking::DataCache::open(daemon.options()).unwrap();
    let scope = cache.scope().unwrap();
    cache.add("v").key("bound").bind(&scope).run().unwrap();
    drop(scope);
    assert!(daemon.state().entries.is_empty());
    let scope = cache.scope().unwrap();
    cache.add("v").key("bound").bind(&scope).run().unwrap();
    assert_eq!(scope.end().unwrap(), 1);
    assert_eq!(daemon.state().calls_of("release").len(), 2);
}

#[test]
fn a_scope_whose_daemon_is_gone_starts_none() {
    let daemon = FakeDaemon::start();
    let options = daemon.options().start(true).daemon_program("/bin/false").connect_timeout(Duration::from_secs(5));
    let cache = blocking::DataCache::open(options).unwrap();
    let scope = cache.scope().unwrap();
    daemon.die();
    let error = scope.end().unwrap_err();
    assert!(matches!(error, Error::NoDaemon { .. }), "{error}");
    assert!(!daemon.store().join("daemon.log").exists(), "one was started");
}
