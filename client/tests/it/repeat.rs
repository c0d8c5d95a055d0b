//! Calls that are repeated, and those that are not.

use std::time::Duration;

use datacache_client::{DataCache, Error};

use crate::fake::{FakeDaemon, Trouble, stored};

async fn opened(daemon: &FakeDaemon) -> DataCache {
    DataCache::open(daemon.options()).await.unwrap()
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_repeated_with_its_id_and_done_once() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    daemon.trouble("add", Trouble::HangUpAfter);
    daemon.trouble("add", Trouble::HangUp);
    cache.set("key", "value").await.unwrap();
    let state = daemon.state();
    let calls = state.calls_of("add");
    assert_eq!(calls.len(), 3);
    assert!(calls[0].is_some() && calls.iter().all(|call| *call == calls[0]), "{calls:?}");
    assert_eq!(state.done_of("add"), 1);
}

#[tokio::test]
async fn two_changes_have_two_ids() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    cache.set("key", "value").await.unwrap();
    cache.delete("key").await.unwrap();
    cache.namespace("other").set("key", "value").await.unwrap();
    let ids: Vec<_> = daemon.state().calls.iter().filter_map(|(_, call)| *call).collect();
    assert_eq!(ids.iter().map(|id| id.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(ids.iter().all(|id| id.client == ids[0].client));
}

#[tokio::test]
async fn a_read_is_repeated_over_a_lost_connection() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    cache.set("key", "value").await.unwrap();
    daemon.trouble("get", Trouble::HangUp);
    assert_eq!(cache.get_as::<String>("key").await.unwrap().unwrap(), "value");
    assert_eq!(daemon.state().introductions.len(), 2);
}

#[tokio::test]
async fn a_call_that_a_stopping_daemon_turns_away_goes_to_the_next_one() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    daemon.trouble("add", Trouble::Stopping);
    cache.set("key", "value").await.unwrap();
    let state = daemon.state();
    assert_eq!((state.calls_of("add").len(), state.done_of("add"), state.introductions.len()), (2, 1, 2));
}

#[tokio::test]
async fn a_daemon_that_was_replaced_between_two_calls_is_not_noticed_by_the_caller() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    cache.set("key", "value").await.unwrap();
    daemon.die();
    daemon.listen();
    assert!(cache.contains("key").await.unwrap());
    daemon.die();
    daemon.listen();
    assert!(cache.delete("key").await.unwrap());
    assert_eq!(daemon.state().calls_of("delete").len(), 1, "nothing was sent on the dead connection");
}

#[tokio::test]
async fn a_daemon_that_is_gone_before_a_change_is_sent_leaves_no_doubt() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    daemon.die();
    let error = cache.set("key", "value").await.unwrap_err();
    assert!(error.is_unavailable() && !error.is_unknown_outcome(), "{error}");
}

#[tokio::test]
async fn a_change_that_was_sent_to_a_daemon_that_stays_away_is_unknown() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options().connect_timeout(Duration::from_secs(1))).await.unwrap();
    daemon.trouble("add", Trouble::Silence);
    let (added, ()) = futures::join!(cache.set("key", "value"), async {
        while daemon.state().calls_of("add").is_empty() {
            tokio::task::yield_now().await;
        }
        daemon.die();
    });
    let error = added.unwrap_err();
    assert!(error.is_unknown_outcome() && !error.is_unavailable(), "{error}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("no daemon was ready"));
}

#[tokio::test]
async fn a_call_that_was_sent_waits_for_the_daemon_that_somebody_else_starts() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    daemon.trouble("add", Trouble::Silence);
    let (added, ()) = futures::join!(cache.set("key", "value"), async {
        while daemon.state().calls_of("add").is_empty() {
            tokio::task::yield_now().await;
        }
        daemon.die();
        // Until the client has seen that nobody listens there would be nothing to prove, but no way to see it either.
        tokio::task::yield_now().await;
        daemon.listen();
    });
    added.unwrap();
    assert!(stored(&daemon, "key").is_some());
}

#[tokio::test]
async fn a_passed_deadline_is_unknown_for_a_change_and_too_late_for_a_read() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options().call_timeout(Duration::from_millis(200))).await.unwrap();
    daemon.trouble("add", Trouble::Silence);
    daemon.trouble("get", Trouble::Silence);
    let error = cache.set("key", "value").await.unwrap_err();
    assert!(error.is_unknown_outcome(), "{error}");
    let error = cache.get("key").await.unwrap_err();
    assert!(matches!(error, Error::Late { verb: "get", .. }) && error.is_unavailable(), "{error}");
    assert_eq!(daemon.state().introductions.len(), 1, "the connection is still good");
}

#[tokio::test]
async fn a_call_that_kills_every_daemon_is_not_repeated_for_ever() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    for _ in 0..20 {
        daemon.trouble("get", Trouble::HangUp);
    }
    let error = cache.get("key").await.unwrap_err();
    assert!(matches!(error, Error::Lost { verb: "get", times: 8 }), "{error}");
}

#[tokio::test]
async fn many_calls_at_once_share_one_new_connection() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon).await;
    daemon.die();
    daemon.listen();
    let calls = (0..200).map(|number: i64| {
        let cache = cache.clone();
        async move { cache.set(number, "value").await }
    });
    futures::future::try_join_all(calls).await.unwrap();
    assert_eq!(daemon.state().introductions.len(), 2);
    assert_eq!(cache.len().await.unwrap(), 200);
}

#[test]
fn a_cache_goes_on_in_another_runtime_when_the_first_one_is_gone() {
    let daemon = FakeDaemon::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cache = runtime().block_on(opened(&daemon));
    runtime().block_on(cache.set("key", "value")).unwrap();
    assert_eq!(daemon.state().introductions.len(), 2);
}
