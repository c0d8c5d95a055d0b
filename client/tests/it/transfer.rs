//! Large values: by file, in chunks, and from one to the other.

use std::fs;
use std::future::IntoFuture;
use std::io::{Cursor, Read};
use std::time::Duration;

use datacache_client::{Codec, DataCache, Error, Transfer};
use datacache_proto::layout::{BLOBS, STAGING};
use futures::FutureExt;

use crate::fake::{FakeDaemon, Trouble, VALUE_MAX, has_no_open_values, has_no_uploads, stored};

fn large() -> Vec<u8> {
    (0..50_000_u32).map(|n| u8::try_from(n % 249).unwrap()).collect()
}

async fn opened(daemon: &FakeDaemon, transfer: Transfer) -> DataCache {
    DataCache::open(daemon.options().transfer(transfer)).await.unwrap()
}

async fn read(cache: &DataCache, key: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    cache.get_reader(key).await.unwrap().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_large_value_travels_as_a_file_that_does_not_stay() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Staging).await;
    let key = cache.add(large()).await.unwrap();
    assert_eq!(stored(&daemon, &key), Some((Codec::Bytes, large())));
    assert_eq!(daemon.staged(), 0);
    assert!(daemon.state().calls_of("upload").is_empty());
    assert_eq!(&cache.get(&key).await.unwrap().unwrap()[..], large());
    assert!(daemon.state().calls_of("open").is_empty());
}

#[tokio::test]
async fn a_large_value_travels_in_chunks_where_that_is_asked_for() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Chunks).await;
    cache.add(large()).key("memory").await.unwrap();
    cache.add_reader(Cursor::new(large())).key("reader").await.unwrap();
    for key in ["memory", "reader"] {
        assert_eq!(stored(&daemon, key), Some((Codec::Bytes, large())), "{key}");
        assert_eq!(&cache.get(key).await.unwrap().unwrap()[..], large());
        assert_eq!(read(&cache, key).await, large());
        assert_eq!(&cache.borrow_file(key).await.unwrap().unwrap()[..], large());
    }
    assert_eq!(daemon.state().calls_of("upload").len(), 2 * 13);
    assert!(has_no_open_values(&daemon));
}

#[tokio::test]
async fn both_ways_give_one_key() {
    let daemon = FakeDaemon::start();
    let by_file = opened(&daemon, Transfer::Staging).await.add(large()).await.unwrap();
    let cache = opened(&daemon, Transfer::Chunks).await;
    assert_eq!(cache.add(large()).await.unwrap(), by_file);
    assert_eq!(cache.add_reader(Cursor::new(large())).await.unwrap(), by_file);
}

#[tokio::test]
async fn an_upload_that_breaks_off_begins_again_and_is_done_once() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Chunks).await;
    daemon.trouble("upload", Trouble::HangUp);
    daemon.trouble("add", Trouble::HangUpAfter);
    cache.add_reader(Cursor::new(large())).key("key").await.unwrap();
    assert_eq!(stored(&daemon, "key"), Some((Codec::Bytes, large())));
    let state = daemon.state();
    assert_eq!((state.done_of("add"), state.calls_of("upload_begin").len()), (1, 3));
}

#[tokio::test]
async fn a_download_that_breaks_off_begins_again() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Chunks).await;
    cache.add(large()).key("key").await.unwrap();
    daemon.trouble("read", Trouble::HangUp);
    assert_eq!(read(&cache, "key").await, large());
    daemon.trouble("read", Trouble::HangUp);
    assert_eq!(&cache.get("key").await.unwrap().unwrap()[..], large());
}

#[tokio::test]
async fn a_staged_value_survives_a_lost_answer() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Staging).await;
    daemon.trouble("add", Trouble::HangUpAfter);
    cache.add(large()).key("key").await.unwrap();
    assert_eq!(stored(&daemon, "key"), Some((Codec::Bytes, large())));
    assert_eq!(daemon.state().done_of("add"), 1);
}

/// A folder of the same name as the store, as a container may have it: the staged file never reaches the daemon.
#[tokio::test]
async fn where_the_folder_is_another_one_values_travel_in_chunks_from_then_on() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    let staging = daemon.store().join(STAGING);
    daemon.hide_staging();
    cache.add(large()).key("one").await.unwrap();
    assert!(!cache.daemon().await.unwrap().is_store_visible);
    cache.add_reader(Cursor::new(large())).key("two").await.unwrap();
    for key in ["one", "two"] {
        assert_eq!(stored(&daemon, key), Some((Codec::Bytes, large())), "{key}");
    }
    let staged = daemon.state().calls_of("add").len() - 2;
    assert_eq!(staged, 1, "staging was tried again");
    assert_eq!(fs::read_dir(staging).unwrap().count(), 0);
}

#[tokio::test]
async fn staging_that_is_insisted_on_is_refused_where_the_folder_is_out_of_reach() {
    let daemon = FakeDaemon::start();
    fs::remove_dir(daemon.store().join(STAGING)).unwrap();
    let cache = opened(&daemon, Transfer::Staging).await;
    cache.add("small").key("small").await.unwrap();
    let error = cache.add(large()).await.unwrap_err();
    assert!(matches!(&error, Error::StoreHidden { store } if *store == daemon.store()), "{error}");
}

#[tokio::test]
async fn a_value_that_is_replaced_while_it_is_opened_is_looked_up_again() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    cache.add(large()).key("key").await.unwrap();
    for _ in 0..3 {
        daemon.trouble("get", Trouble::Replaced);
    }
    let value = cache.get("key").await.unwrap().unwrap();
    assert_eq!(value[0], large()[0] + 3);
    assert_eq!(daemon.state().calls_of("get").len(), 4);
}

#[tokio::test]
async fn a_blob_that_can_not_be_seen_is_fetched_through_the_daemon() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    cache.add(large()).key("key").await.unwrap();
    fs::remove_dir_all(daemon.store().join(BLOBS)).unwrap();
    assert_eq!(&cache.get("key").await.unwrap().unwrap()[..], large());
    assert_eq!(read(&cache, "key").await, large());
    assert!(has_no_open_values(&daemon));
    let state = daemon.state();
    assert_eq!((state.calls_of("get").len(), state.calls_of("open").len()), (2, 2), "each was looked up once");
}

#[tokio::test]
async fn a_value_outlives_its_entry() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    cache.add(large()).key("key").await.unwrap();
    let value = cache.get("key").await.unwrap().unwrap();
    cache.delete("key").await.unwrap();
    fs::remove_dir_all(daemon.store().join(BLOBS)).unwrap();
    assert_eq!(&value[..], large());
}

#[tokio::test]
async fn damage_is_told_by_who_checks() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    cache.add(large()).key("key").await.unwrap();
    daemon.damage_blobs();
    let error = cache.get_reader("key").await.unwrap().unwrap().read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert!(matches!(cache.get_file("key").await, Err(Error::Damaged { .. })));
    let unmapped = DataCache::open(daemon.options().mapped(false)).await.unwrap();
    assert!(matches!(unmapped.get("key").await, Err(Error::Damaged { .. })));
}

/// The one that had just taken its place was reported as damaged.
#[tokio::test]
async fn a_damaged_value_that_is_replaced_while_it_is_read_is_got_as_what_is_there_now() {
    let daemon = FakeDaemon::start();
    let waiting = datacache_client::blocking::DataCache::open(daemon.options()).unwrap();
    let cache = opened(&daemon, Transfer::Auto).await;
    let replaced: Vec<u8> = large().iter().map(|byte| byte.wrapping_add(1)).collect();
    let renewed = async || {
        cache.add(large()).key("key").await.unwrap();
        daemon.damage_blobs();
        daemon.trouble("suspect", Trouble::Replaced);
    };
    renewed().await;
    assert!(cache.get("key").await.unwrap().unwrap()[..] == replaced);
    renewed().await;
    assert!(cache.get_many(["key"]).await.unwrap()[0].as_ref().unwrap()[..] == replaced);
    renewed().await;
    assert!(cache.borrow_file("key").await.unwrap().unwrap()[..] == replaced);
    renewed().await;
    assert!(fs::read(cache.get_file("key").await.unwrap().unwrap()).unwrap() == replaced);
    renewed().await;
    assert!(waiting.get("key").unwrap().unwrap()[..] == replaced);
    renewed().await;
    assert!(fs::read(waiting.get_file("key").run().unwrap().unwrap()).unwrap() == replaced);
}

#[tokio::test]
async fn damage_that_the_daemon_does_not_see_is_reported_a_few_times_and_then_told() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    cache.add(large()).key("key").await.unwrap();
    daemon.damage_blobs();
    let error = cache.get("key").await.unwrap_err();
    assert!(matches!(&error, Error::Damaged { key: Some(key), .. } if key == "key"), "{error}");
    assert_eq!(daemon.state().calls_of("suspect").len(), 3);
}

#[tokio::test]
async fn files_and_readers_are_taken_as_what_they_are_said_to_be() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, r#"{"b":1,"a":[]}"#).unwrap();
    let bytes = cache.add_file(&path).await.unwrap();
    assert_eq!(stored(&daemon, bytes).unwrap().0, Codec::Bytes);
    cache.add_file(&path).text().key("text").await.unwrap();
    assert_eq!(cache.get_as::<String>("text").await.unwrap().unwrap(), r#"{"b":1,"a":[]}"#);
    cache.add_file(&path).json().key("json").await.unwrap();
    assert_eq!(stored(&daemon, "json"), Some((Codec::Json, br#"{"a": [], "b": 1}"#.to_vec())));
    let long = "é".repeat(40_000);
    let key = cache.add_reader(Cursor::new(long.clone())).text().await.unwrap();
    assert_eq!(cache.get_as::<String>(key).await.unwrap().unwrap(), long);
}

#[tokio::test]
async fn a_staging_folder_that_can_not_be_used_is_worked_around() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    fs::remove_dir(daemon.store().join(STAGING)).unwrap();
    cache.add(large()).key("memory").await.unwrap();
    cache.add_reader(Cursor::new(large())).key("reader").await.unwrap();
    for key in ["memory", "reader"] {
        assert_eq!(stored(&daemon, key), Some((Codec::Bytes, large())), "{key}");
    }
}

#[tokio::test]
async fn a_value_that_can_never_fit_is_refused_before_it_is_sent() {
    let daemon = FakeDaemon::start();
    let bytes = vec![0; usize::try_from(VALUE_MAX).unwrap() + 1];
    for transfer in [Transfer::Auto, Transfer::Chunks] {
        let cache = opened(&daemon, transfer).await;
        let errors = [
            cache.add(bytes.clone()).await.unwrap_err(),
            cache.add_reader(Cursor::new(bytes.clone())).await.unwrap_err(),
        ];
        for error in errors {
            assert!(error.is_too_large() && error.is_refused(), "{error}");
        }
    }
    let state = daemon.state();
    assert!(state.calls_of("add").is_empty() && state.calls_of("upload_begin").is_empty());
}

/// A client once kept to the limit that it was told when it connected, for as long as it stayed connected.
#[tokio::test]
async fn a_limit_that_was_raised_is_learned_before_a_value_is_refused() {
    let daemon = FakeDaemon::start();
    daemon.state().value_max = Some(1_000);
    let cache = opened(&daemon, Transfer::Auto).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, large()).unwrap();
    assert!(cache.add(large()).await.unwrap_err().is_too_large());
    assert!(cache.add_many([("k", large())]).await.unwrap_err().is_too_large());
    for limit in [50_000, 60_000] {
        daemon.state().value_max = Some(limit);
        cache.add(large()).key("memory").await.unwrap();
        cache.add_file(&path).key("file").await.unwrap();
        cache.add_reader(Cursor::new(large())).key("reader").await.unwrap();
        cache.add_many([("batch", large())]).await.unwrap();
        daemon.state().value_max = Some(1_000);
        assert!(cache.add_file(&path).await.unwrap_err().is_too_large());
    }
    assert_eq!(daemon.state().calls_of("hello").len(), 1, "the connection stayed");
}

#[tokio::test]
async fn a_limit_is_asked_for_again_only_where_it_decides() {
    let daemon = FakeDaemon::start();
    daemon.state().value_max = Some(100_000);
    let cache = opened(&daemon, Transfer::Auto).await;
    cache.add("small").await.unwrap();
    cache.add(large()).await.unwrap();
    cache.add_many([("batch", large())]).await.unwrap();
    assert!(cache.add(vec![0; 100_001]).await.unwrap_err().is_too_large());
    daemon.state().value_max = Some(200_000);
    cache.add(vec![0; 100_001]).await.unwrap();
    assert_eq!(daemon.state().calls_of("introduce").len(), 1, "a length that is known is asked about by itself");
    assert_eq!(daemon.state().calls_of("fits").len(), 4);
    cache.add_reader(Cursor::new(vec![0; 100_002])).await.unwrap();
    assert_eq!(daemon.state().calls_of("introduce").len(), 2);
}

#[tokio::test]
async fn more_uploads_at_once_than_the_daemon_takes_wait_for_each_other() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Chunks).await;
    let uploads = (0..40_i64).map(|key| cache.add(large()).key(key).into_future());
    futures::future::try_join_all(uploads).await.unwrap();
    assert_eq!(cache.len().await.unwrap(), 40);
    let reads = (0..40_i64).map(|key| cache.get_reader(key));
    assert!(futures::future::try_join_all(reads).await.unwrap().iter().all(Option::is_some));
}

/// Whoever waited no longer for a transfer once left it open in the daemon, which takes 16 uploads and 64 open values of
/// a connection: then it took no more of either.
#[tokio::test]
async fn a_transfer_that_is_given_up_does_not_stay_open() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Chunks).await;
    daemon.trouble("upload", Trouble::Silence);
    give_up(cache.add(large()).key("key").into_future(), || !daemon.state().calls_of("upload").is_empty()).await;
    until(|| has_no_uploads(&daemon)).await;
    cache.add(large()).key("key").await.unwrap();
    daemon.trouble("read", Trouble::Silence);
    give_up(cache.get("key"), || !daemon.state().calls_of("read").is_empty()).await;
    until(|| has_no_open_values(&daemon)).await;
}

/// Drops a call that gets no answer, once the daemon has seen it.
async fn give_up<T>(call: impl Future<Output = T>, is_seen: impl Fn() -> bool) {
    let mut call = Box::pin(call);
    until(|| {
        assert!(call.as_mut().now_or_never().is_none());
        is_seen()
    })
    .await;
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it never came to be");
}

#[tokio::test]
async fn what_never_fits_is_refused_before_any_of_it_is_sent() {
    let daemon = FakeDaemon::start();
    daemon.state().room = Some(40_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    fs::write(&path, large()).unwrap();
    for transfer in [Transfer::Staging, Transfer::Chunks] {
        let cache = opened(&daemon, transfer).await;
        let batch = [("small", b"x".to_vec()), ("large", large())];
        for error in [
            cache.add(large()).key("k").await.unwrap_err(),
            cache.add_file(&path).key("k").await.unwrap_err(),
            cache.add_many(batch).await.unwrap_err(),
        ] {
            assert!(error.is_too_large() && error.is_no_space(), "{error}");
        }
        cache.add(&large()[..40_000]).key("fits").await.unwrap();
    }
    assert_eq!((daemon.staged(), daemon.state().calls_of("fits").len()), (0, 8));
    assert_eq!(daemon.state().calls_of("upload").len(), 10);
}

/// That was found once all of them had been sent.
#[tokio::test]
async fn values_that_never_fit_together_are_refused_before_any_of_them_is_sent() {
    let daemon = FakeDaemon::start();
    daemon.state().room = Some(100_000);
    let value = |byte| vec![byte; 40_000];
    for transfer in [Transfer::Staging, Transfer::Chunks] {
        let cache = opened(&daemon, transfer).await;
        let error = cache.add_many([("a", value(1)), ("b", value(2)), ("c", value(3))]).await.unwrap_err();
        assert!(error.is_too_large() && error.is_no_space(), "{error}");
        assert!(!error.to_string().contains("item"), "it is no item's fault: {error}");
        assert_eq!((daemon.staged(), daemon.state().calls_of("upload_begin").len()), (0, 0));
        let error = cache.add_many([("a", value(1)), ("b", vec![2; 100_001])]).await.unwrap_err();
        assert!(error.is_too_large() && error.to_string().contains("item"), "{error}");
    }
    let cache = opened(&daemon, Transfer::Staging).await;
    cache.add_many([("a", value(1)), ("b", value(1)), ("c", value(1))]).await.unwrap();
    cache.add_many([("a", value(1)), ("a", value(2)), ("a", value(3))]).await.unwrap();
    cache.add_many([value(1), value(1), value(2)]).await.unwrap();
    daemon.state().room = None;
    daemon.state().value_max = Some(50_000);
    cache.add_many([("a", value(1)), ("b", value(2))]).await.unwrap();
}
