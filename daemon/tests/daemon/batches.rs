//! Calls that are about many entries: all or none of them, in one frame.

use std::fs;

use datacache_proto::error::WireError;
use datacache_proto::key::{Key, KeyError};
use datacache_proto::layout::blob_path;
use datacache_proto::service::{Chunk, Keys, Tags};
use datacache_proto::types::{
    Added, Addition, BATCH_FILES_MAX, BATCH_MAX, Body, CallId, Codec, Digest, Fallback, Lookup,
};

use crate::additions::stage;
use crate::harness::{Client, Daemon, NAMESPACE, Place, bytes, daemon_and_client, soon, tags, until};

async fn try_add(client: &Client, call: CallId, additions: Vec<Addition>) -> Result<Vec<Added>, WireError> {
    client.rpc.add_many(soon(), call, additions.into()).await.unwrap()
}

async fn add(client: &Client, additions: Vec<Addition>) -> Vec<Added> {
    try_add(client, client.call(), additions).await.unwrap()
}

async fn get(client: &Client, keys: Vec<Key>) -> Vec<Lookup> {
    client.rpc.get_many(soon(), NAMESPACE.into(), Keys(keys), Fallback::Off).await.unwrap().unwrap()
}

async fn frames(client: &Client) -> u64 {
    client.rpc.stats(soon()).await.unwrap().unwrap().daemon.frames
}

fn numbered(count: usize) -> Vec<Addition> {
    (0..count as i64).map(|number| bytes(number, &number.to_le_bytes())).collect()
}

#[tokio::test(flavor = "local")]
async fn the_largest_batch_is_one_frame_and_a_repeated_one_is_answered_from_the_kept_reply() {
    let (_place, daemon, client) = daemon_and_client().await;
    add(&client, numbered(3)).await;
    let (before, call) = (frames(&client).await, client.call());
    let added = try_add(&client, call, numbered(BATCH_MAX)).await.unwrap();
    assert_eq!(frames(&client).await, before + 1);
    assert_eq!(added.len(), BATCH_MAX);
    // The first three are what was there before, so they go on.
    assert!(added.is_sorted_by_key(|added| added.version));
    assert_eq!(added.iter().filter(|added| added.replaced).count(), 3);
    assert_eq!(client.len().await, BATCH_MAX as u64);

    add(&client, vec![bytes(7, b"newer")]).await;
    assert_eq!(try_add(&daemon.client().await, call, numbered(BATCH_MAX)).await, Ok(added));
    assert!(matches!(&get(&client, vec![7.into()]).await[..], [Lookup::Inline { value, .. }] if value == b"newer"));
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_batch_is_repeated_after_a_restart_without_being_done_again() {
    let place = Place::new();
    let daemon = Daemon::start(&place, |_| ());
    let client = daemon.client().await;
    let call = client.call();
    let additions = || vec![bytes("a", b"1"), bytes("b", b"2"), Addition { namespace: "n".into(), ..bytes("a", b"3") }];
    let added = try_add(&client, call, additions()).await.unwrap();
    client.add(bytes("a", b"newer")).await;
    daemon.stop().await;
    let daemon = Daemon::start(&place, |_| ());
    let client = daemon.client().await;
    assert_eq!(try_add(&client, call, additions()).await, Ok(added));
    assert_eq!(client.len().await, 2);
    let other = client.rpc.get_many(soon(), "n".into(), Keys(vec!["a".into()]), Fallback::Off).await.unwrap().unwrap();
    assert!(matches!(&other[..], [Lookup::Inline { value, .. }] if value == b"3"));
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn of_several_additions_of_one_key_the_last_is_found() {
    let (_place, daemon, client) = daemon_and_client().await;
    let additions = vec![bytes("k", b"1"), bytes("other", b"x"), bytes("k", b"2"), bytes("k", b"2"), bytes("k", b"3")];
    let added = add(&client, additions).await;
    assert_eq!(added.iter().map(|added| added.replaced).collect::<Vec<_>>(), [false, false, true, true, true]);
    assert_eq!(added[2].version, added[3].version, "equal content goes on");
    assert!(added[0].version < added[2].version && added[3].version < added[4].version);
    let found = Lookup::Inline { codec: Codec::Bytes, version: added[4].version, value: b"3".to_vec() };
    assert_eq!(client.get("k").await, found);
    assert_eq!(client.len().await, 2);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn one_addition_that_is_refused_refuses_all_and_is_named() {
    let (place, daemon, client) = daemon_and_client().await;
    daemon.config.send_modify(|config| config.value_max = Some(1_000_000));
    let missing = Body::Staged { name: "missing.part".into(), length: 7, digest: Digest([0; 32]) };
    let text = Addition { codec: Codec::Text, ..bytes("k", b"\xff") };
    let cases = [
        (bytes("", b"x"), WireError::Key(KeyError::Empty)),
        (text, WireError::NotText { valid_up_to: 0 }),
        (bytes("k", &vec![0; 1_000_001]), WireError::TooLarge { size: 1_000_001, limit: 1_000_000 }),
        (
            Addition { body: missing, ..bytes("k", b"") },
            WireError::Staged { name: "missing.part".into(), fault: datacache_proto::error::StagedFault::Missing },
        ),
    ];
    for (number, (refused, error)) in cases.into_iter().enumerate() {
        let staged = stage(&place.staging(), &format!("{number}.part"), &[7; 100_000]);
        let additions = vec![bytes("a", b"x"), Addition { body: staged, ..bytes("b", b"") }, refused, bytes("c", b"x")];
        let error = WireError::InBatch { index: 2, error: Box::new(error) };
        assert_eq!(try_add(&client, client.call(), additions).await, Err(error));
    }
    assert_eq!(client.len().await, 0);
    assert_eq!(frames(&client).await, 0);
    until(async || blobs(&place) == 0).await;
    daemon.stop().await;
}

fn blobs(place: &Place) -> usize {
    let folders = fs::read_dir(place.store().join("blobs")).unwrap();
    folders.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test(flavor = "local")]
async fn large_values_come_in_a_batch_however_they_are_sent() {
    let (place, daemon, client) = daemon_and_client().await;
    let staged = |name: &str, byte: u8| stage(&place.staging(), name, &[byte; 100_000]);
    let upload = client.rpc.upload_begin(soon()).await.unwrap().unwrap();
    client.rpc.upload(soon(), upload, 0, Chunk(vec![9; 70_000])).await.unwrap().unwrap();
    let sent = Body::Uploaded { upload, length: 70_000 };
    let bodies = [staged("1", 7), staged("2", 8), sent, staged("again", 7), Body::Inline(vec![1])];
    let additions = bodies.into_iter().zip(["a", "b", "c", "d", "e"]);
    add(&client, additions.map(|(body, key)| Addition { body, tags: tags(&["t"]), ..bytes(key, b"") }).collect()).await;

    for (key, content) in [("a", vec![7; 100_000]), ("b", vec![8; 100_000]), ("c", vec![9; 70_000])] {
        let Lookup::Blob { digest, .. } = client.get(key).await else { panic!("{key} is no blob") };
        assert_eq!(fs::read(blob_path(&place.store(), &digest)).unwrap(), content);
    }
    assert_eq!(blobs(&place), 3, "equal content is one blob");
    let gone = client.rpc.evict(soon(), client.call(), NAMESPACE.into(), Tags(tags(&["t"]))).await.unwrap();
    assert_eq!(gone, Ok(5));
    until(async || {
        // The blobs go when the deletes are applied.
        client.rpc.verify(soon(), false).await.unwrap().unwrap();
        blobs(&place) == 0
    })
    .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_batch_above_the_bounds_is_refused_with_the_bound() {
    let (_place, daemon, client) = daemon_and_client().await;
    let refuse = |field: &str, value, max| {
        let (value, max) = (value as u64, max as u64);
        WireError::OutOfRange { field: field.into(), value, min: 0, max }
    };
    let many = try_add(&client, client.call(), numbered(BATCH_MAX + 1)).await;
    assert_eq!(many, Err(refuse("additions", BATCH_MAX + 1, BATCH_MAX)));
    let staged = |number: i64| {
        let body = Body::Staged { name: number.to_string(), length: 7, digest: Digest([0; 32]) };
        Addition { body, ..bytes(number, b"") }
    };
    let files = try_add(&client, client.call(), (0..=BATCH_FILES_MAX as i64).map(staged).collect()).await;
    assert_eq!(files, Err(refuse("additions.files", BATCH_FILES_MAX + 1, BATCH_FILES_MAX)));
    let keys = vec![Key::from(1); BATCH_MAX + 1];
    let got = client.rpc.get_many(soon(), NAMESPACE.into(), Keys(keys.clone()), Fallback::Off).await.unwrap();
    assert_eq!(got, Err(refuse("keys", BATCH_MAX + 1, BATCH_MAX)));
    let deleted = client.rpc.delete(soon(), client.call(), NAMESPACE.into(), Keys(keys)).await.unwrap();
    assert_eq!(deleted, Err(refuse("keys", BATCH_MAX + 1, BATCH_MAX)));
    assert_eq!(try_add(&client, client.call(), Vec::new()).await, Ok(Vec::new()));
    daemon.stop().await;
}

/// Long keys stand in the log twice, and once more where they are bound to a scope.
#[tokio::test(flavor = "local")]
async fn a_batch_that_fits_a_message_but_no_frame_is_refused_with_the_bound() {
    let (_place, daemon, client) = daemon_and_client().await;
    let long = |number: usize| bytes(format!("{number}{}", "k".repeat(60_000)), b"");
    let bound = |number| Addition { scope: Some(1), ..long(number) };
    let refused = try_add(&client, client.call(), (0..60).map(bound).collect()).await.unwrap_err();
    assert!(matches!(refused, WireError::BatchTooLarge { limit: 8_388_608, .. }), "{refused}");
    assert_eq!(client.len().await, 0);
    assert_eq!(add(&client, (0..60).map(long).collect()).await.len(), 60);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn many_keys_are_answered_in_their_order_as_far_as_they_fit_a_message() {
    let (place, daemon, client) = daemon_and_client().await;
    let value = |number: i64| vec![u8::try_from(number).unwrap(); 30_000];
    for half in [0..75_i64, 75..150] {
        add(&client, half.map(|number| bytes(number, &value(number))).collect()).await;
    }
    let body = stage(&place.staging(), "one", &[7; 100_000]);
    client.add(Addition { body, ..bytes("blob", b"") }).await;
    let mut keys: Vec<Key> = vec!["blob".into(), "missing".into()];
    keys.extend((0..150_i64).map(Key::from));
    let mut found: Vec<Lookup> = Vec::new();
    let mut answers = 0;
    while found.len() < keys.len() {
        let more = get(&client, keys[found.len()..].to_vec()).await;
        assert!(!more.is_empty());
        found.extend(more);
        answers += 1;
    }
    assert_eq!(answers, 2, "3 MiB of 4.3 fit the first");
    assert!(matches!(found[0], Lookup::Blob { length: 100_000, .. }));
    assert_eq!(found[1], Lookup::Miss);
    for (number, found) in (0..150).zip(&found[2..]) {
        assert!(matches!(found, Lookup::Inline { value: found, .. } if *found == value(number)));
    }
    let stats = client.rpc.stats(soon()).await.unwrap().unwrap();
    assert_eq!((stats.namespaces[0].hits, stats.namespaces[0].misses), (151, 1));
    assert_eq!(stats.namespaces[0].adds, 151);
    assert_eq!(stats.reads.fallbacks, [(Fallback::Off, 152)]);
    daemon.stop().await;
}

/// While several are under way, their keys are looked up ahead of the writer.
#[tokio::test(flavor = "local")]
async fn large_batches_that_are_under_way_together_replace_what_is_there_and_one_another() {
    let (_place, daemon, client) = daemon_and_client().await;
    add(&client, numbered(1_000)).await;
    // Applies the log: what is replaced first is in the index alone.
    client.rpc.verify(soon(), false).await.unwrap().unwrap();
    let adding = (1..=6).map(|round| {
        let additions = (0..1_000_i64).map(|number| bytes(number, &vec![7; round * 10]));
        try_add(&client, client.call(), additions.collect())
    });
    for added in futures::future::join_all(adding).await {
        assert!(added.unwrap().iter().all(|added| added.replaced));
    }
    assert_eq!(client.len().await, 1_000);
    let verified = client.rpc.verify(soon(), false).await.unwrap().unwrap();
    assert_eq!((verified.entries, verified.findings), (1_000, Vec::new()));
    daemon.stop().await;
}

/// All calls of a connection run on one task, and each once had a piece of its own in each turn of that.
#[tokio::test(flavor = "local")]
async fn others_get_their_turn_while_a_client_looks_up_all_that_it_may_at_once() {
    let (_place, daemon, client) = daemon_and_client().await;
    add(&client, numbered(1)).await;
    let other = daemon.client().await;
    let keys: Vec<Key> = (0..BATCH_MAX as i64).map(Key::from).collect();
    let looks = (0..60).map(|_| get(&client, keys.clone()));
    let mut looks = std::pin::pin!(futures::future::join_all(looks));
    let mut answers = 0;
    while futures::poll!(&mut looks).is_pending() {
        other.len().await;
        answers += 1;
    }
    assert!(answers > 60, "{answers} answers meanwhile");
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_batch_that_is_given_up_is_there_whole_or_not_at_all_and_leaves_no_file() {
    let (place, daemon, client) = daemon_and_client().await;
    for number in 0..20_i64 {
        let body = stage(&place.staging(), &number.to_string(), &[u8::try_from(number).unwrap(); 50_000]);
        let additions = vec![bytes(number, b"x"), Addition { body, ..bytes(1_000 + number, b"") }];
        let lost = daemon.client().await;
        let mut given_up = std::pin::pin!(lost.rpc.add_many(soon(), lost.call(), additions.into()));
        assert!(futures::poll!(&mut given_up).is_pending());
        if number % 2 == 0 {
            // The daemon has the call once a later one on that connection is answered.
            lost.len().await;
        }
    }
    until(async || client.rpc.stats(soon()).await.unwrap().unwrap().daemon.connections == 1).await;
    let found = get(&client, (0..20_i64).chain(1_000..1_020).map(Key::from).collect()).await;
    let (small, large) = found.split_at(20);
    let there = |found: &&Lookup| **found != Lookup::Miss;
    for (small, large) in small.iter().zip(large) {
        assert_eq!(there(&small), there(&large));
    }
    until(async || blobs(&place) == large.iter().filter(there).count()).await;
    daemon.stop().await;
}

/// Each call is a command of its own, but all that came in one go share a frame, and the wake-ups on both sides.
#[tokio::test(flavor = "local")]
async fn calls_that_are_under_way_together_share_frames() {
    let (_place, daemon, client) = daemon_and_client().await;
    for round in 0..20_i64 {
        let adding = (0..64).map(|key| client.rpc.add(soon(), client.call(), bytes(round * 64 + key, b"v")));
        for added in futures::future::join_all(adding).await {
            added.unwrap().unwrap();
        }
    }
    assert_eq!(client.len().await, 1_280);
    let frames = frames(&client).await;
    assert!(frames < 1_280 / 2, "{frames} frames for 1280 calls");
    daemon.stop().await;
}
