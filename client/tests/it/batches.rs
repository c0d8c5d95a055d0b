//! Many entries at once: what is sent, what is refused before anything is, and what comes back.

use std::time::Duration;

use datacache_client::{Codec, DataCache, Error, Expire, Item, Key, Transfer, WireError, blocking, json};

use crate::fake::{FakeDaemon, INLINE_MAX, PAGE, Trouble, VALUE_MAX, has_no_uploads, stored};

fn large(seed: u8) -> Vec<u8> {
    (0..50_000_u32).map(|n| u8::try_from(n % 249).unwrap() ^ seed).collect()
}

async fn opened(daemon: &FakeDaemon, transfer: Transfer) -> DataCache {
    DataCache::open(daemon.options().transfer(transfer)).await.unwrap()
}

fn texts(values: Vec<Option<datacache_client::Value>>) -> Vec<Option<String>> {
    values.into_iter().map(|value| value.map(|value| value.as_text().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn items_are_values_pairs_or_say_more_and_their_keys_come_back_in_order() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    let items = [
        Item::from("alone"),
        Item::from((7, b"pair")),
        Item::new(json(&[1, 2])).key("own").tag("x").expire(Expire::Never),
        Item::from(large(0)),
    ];
    let keys = cache.add_many(items).tag("t").expire(Expire::After(Duration::from_secs(60))).await.unwrap();
    let hash = |value: &[u8]| datacache_client::hash_of(value, datacache_client::HashType::Sha256).unwrap();
    let expected = [Key::from(hash(b"alone")), 7.into(), "own".into(), hash(&large(0)).into()];
    assert_eq!(keys, expected);
    assert_eq!(daemon.state().done, ["add_many"]);
    assert_eq!(stored(&daemon, "own"), Some((Codec::Json, b"[1, 2]".to_vec())));
    assert_eq!(stored(&daemon, keys[3].as_text().unwrap()), Some((Codec::Bytes, large(0))));
    let state = daemon.state();
    let said = |key: &Key| {
        let addition = &state.entries[&("default".to_owned(), key.clone())].addition;
        let tags: Vec<&str> = addition.tags.iter().map(|tag| tag.as_str()).collect();
        (tags.join(","), addition.expires.is_some())
    };
    assert_eq!(
        keys.iter().map(said).collect::<Vec<_>>(),
        [("t".to_owned(), true), ("t".to_owned(), true), ("t,x".to_owned(), false), ("t".to_owned(), true)]
    );
}

#[tokio::test]
async fn nothing_is_staged_or_sent_when_one_item_is_invalid() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    let invalid = [
        Item::from(("", "empty key")),
        Item::new("bad tag").tag(""),
        Item::new(json(&std::collections::BTreeMap::from([([1_u8], 1)]))),
        Item::new(vec![0; usize::try_from(VALUE_MAX).unwrap() + 1]),
    ];
    for item in invalid {
        let error = cache.add_many([Item::new(large(1)), item]).await.unwrap_err();
        assert!(matches!(error, Error::InBatch { index: 1, .. }), "{error}");
        assert!(error.is_invalid_input() || error.is_too_large());
    }
    assert!(cache.add_many(["x"]).tag("").await.unwrap_err().is_invalid_input());
    assert_eq!(daemon.staged(), 0);
    assert!(daemon.state().calls_of("add_many").is_empty());
    assert_eq!(cache.add_many(Vec::<Item>::new()).await.unwrap(), []);
}

#[tokio::test]
async fn more_than_goes_in_one_step_is_refused_and_says_how_much_does() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    let refused = async |items: Vec<Item>| cache.add_many(items).await.unwrap_err();
    let many = refused((0..8_193).map(|number| Item::from((number, ""))).collect()).await;
    assert_eq!(many.to_string(), "8193 items are too many for one batch, the limit is 8192; split it");
    let files = refused((0..257).map(|_| Item::new(vec![0; 1_001])).collect()).await;
    assert_eq!(files.to_string(), "257 large values are too many for one batch, the limit is 256; split it");
    let bytes = refused((0..5_000).map(|number| Item::from((number, vec![0; 1_000]))).collect()).await;
    assert!(bytes.to_string().ends_with("bytes are too many for one batch, the limit is 4190208; split it"), "{bytes}");
    let keys = cache.delete_many((0..8_193).map(Key::from)).await.unwrap_err();
    assert_eq!(keys.to_string(), "8193 keys are too many for one batch, the limit is 8192; split it");
    let long = (0..70).map(|number| Key::from(format!("{number}{}", "k".repeat(60_000))));
    assert!(cache.delete_many(long).await.unwrap_err().is_too_large());
    for error in [many, files, bytes, keys] {
        assert!(error.is_too_large() && error.is_invalid_input());
    }
    assert_eq!(daemon.staged(), 0);
    assert!(daemon.state().done.is_empty());
}

/// What is counted before a batch is sent is at least what it takes.
#[tokio::test]
async fn the_fullest_batches_fit_a_message() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    let tags: Vec<String> = (0..64).map(|number| format!("{number:0255}")).collect();
    let full = |count: i64, length: usize| (0..count).map(move |number| Item::from((number, vec![0; length])));
    assert_eq!(cache.add_many(full(8_192, 440)).await.unwrap().len(), 8_192);
    assert_eq!(cache.add_many(full(3_900, 1_000)).await.unwrap().len(), 3_900);
    assert_eq!(cache.add_many(full(248, 0)).tags(&tags).await.unwrap().len(), 248);
    let keys = (0..8_192).map(|number| (format!("{number:0440}"), ""));
    assert_eq!(cache.add_many(keys).await.unwrap().len(), 8_192);
    let long = (0..60).map(|number| Key::from(format!("{number}{}", "k".repeat(60_000))));
    assert_eq!(cache.delete_many(long).await.unwrap(), 0);
}

#[tokio::test]
async fn large_values_of_a_batch_travel_as_files_that_do_not_stay() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Staging).await;
    cache.add_many((0..100_u8).map(|seed| (i64::from(seed), large(seed)))).await.unwrap();
    assert_eq!(daemon.staged(), 0);
    assert!(daemon.state().calls_of("upload").is_empty());
    let values = cache.get_many(0..100_i64).await.unwrap();
    for (seed, value) in (0..100).zip(values) {
        assert_eq!(&value.unwrap()[..], large(seed));
    }
}

#[tokio::test]
async fn large_values_of_a_batch_travel_in_chunks_where_the_folder_is_another() {
    let daemon = FakeDaemon::start();
    daemon.hide_staging();
    let cache = opened(&daemon, Transfer::Auto).await;
    let items = |count: u8| (0..count).map(|seed| (i64::from(seed), large(seed))).chain([(1_000, b"small".to_vec())]);
    cache.add_many(items(12)).await.unwrap();
    assert_eq!(daemon.state().done, ["add_many"]);
    assert_eq!(daemon.staged(), 0);
    assert!(has_no_uploads(&daemon));
    let error = cache.add_many(items(13)).await.unwrap_err();
    assert!(error.is_too_large(), "{error}");
    assert_eq!(daemon.state().done, ["add_many"]);
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_done_once() {
    let daemon = FakeDaemon::start();
    for transfer in [Transfer::Auto, Transfer::Chunks] {
        let cache = opened(&daemon, transfer).await;
        daemon.trouble("add_many", Trouble::HangUpAfter);
        daemon.trouble("add_many", Trouble::Stopping);
        daemon.state().done.clear();
        let keys = cache.add_many([("a", large(1)), ("b", b"small".to_vec())]).await.unwrap();
        assert_eq!(keys, ["a", "b"].map(Key::from));
        assert_eq!(daemon.state().done, ["add_many"]);
        assert_eq!(daemon.staged(), 0);
    }
}

#[tokio::test]
async fn a_refusal_of_the_daemon_is_told_as_one_of_ours() {
    let daemon = FakeDaemon::start();
    daemon.hide_staging();
    let cache = opened(&daemon, Transfer::Staging).await;
    let error = cache.add_many([("a", large(1))]).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(WireError::Staged { .. })), "{error}");
    assert_eq!(daemon.staged(), 0);
}

#[tokio::test]
async fn many_values_come_in_order_however_few_an_answer_holds() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    cache.add_many((0..10).map(|number| (number, number.to_string()))).await.unwrap();
    let asked = [3, 99, 1, 1, 9, -1, 0, 8];
    let expected: Vec<_> = asked.map(|number| (0..10).contains(&number).then(|| number.to_string())).into();
    assert_eq!(texts(cache.get_many(asked).await.unwrap()), expected);
    assert_eq!(daemon.state().calls_of("get_many").len(), asked.len().div_ceil(PAGE));
    assert!(cache.get_many(Vec::<Key>::new()).await.unwrap().is_empty());
    assert!(cache.get_many(["", "x"]).await.unwrap_err().is_invalid_input());
}

#[tokio::test]
async fn one_of_many_values_that_is_replaced_while_it_is_opened_is_looked_up_again() {
    let daemon = FakeDaemon::start();
    let cache = opened(&daemon, Transfer::Auto).await;
    cache.add_many([("a", large(1)), ("b", large(2))]).await.unwrap();
    daemon.trouble("get_many", Trouble::Replaced);
    let values = cache.get_many(["a", "b"]).await.unwrap();
    let replaced: Vec<u8> = large(1).iter().map(|byte| byte.wrapping_add(1)).collect();
    assert_eq!(&values[0].as_ref().unwrap()[..], replaced);
    assert_eq!(&values[1].as_ref().unwrap()[..], large(2));
}

#[test]
fn programs_that_wait_have_the_same() {
    let daemon = FakeDaemon::start();
    let cache = blocking::DataCache::open(daemon.options()).unwrap();
    let keys = cache.add_many(["one", "two"]).run().unwrap();
    cache.add_many([(Key::from("large"), vec![7; usize::try_from(INLINE_MAX).unwrap() + 1])]).run().unwrap();
    let values = cache.get_many(keys.iter().cloned().chain(["missing".into()])).unwrap();
    assert_eq!(texts(values), [Some("one".to_owned()), Some("two".to_owned()), None]);
    assert_eq!(cache.get_many(["large"]).unwrap()[0].as_ref().unwrap().len(), 1_001);
    assert_eq!(cache.delete_many(keys).unwrap(), 2);
}
