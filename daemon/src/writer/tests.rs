//! A writer with a store of its own: what is done when, who is answered, and how it ends.

use super::*;
use crate::Config;
use crate::eviction::Policy;
use crate::store::failing::FailingSyncs;
use crate::store::{Command, Condition, NewValue, Put, Rule, Rules};
use datacache_proto::error::{StoreStep, WireError};
use datacache_proto::key::Key;
use datacache_proto::paths::Paths;
use datacache_proto::types::Codec;
use futures::poll;
use std::io::Write as _;
use std::pin::pin;
use std::time::Duration;

fn writer() -> (tempfile::TempDir, Writer) {
    writer_with(Rules::none())
}

fn writer_with(rules: Rules) -> (tempfile::TempDir, Writer) {
    let folder = tempfile::tempdir().unwrap();
    let [store, socket, store_link, config] = ["c", "sock", "store", "f"].map(|name| folder.path().join(name));
    let mut config = Config::defaults(Paths { store, socket, store_link, config, is_default: false });
    config.rules = rules;
    let writer = Writer::new(OpenStore::open(&config).unwrap(), Deadlines::default());
    (folder, writer)
}

/// A writer that works beside the test, until it is dropped.
fn at_work(writer: &Writer) -> tokio::task::JoinHandle<()> {
    let writer = writer.clone();
    tokio::task::spawn_local(async move { writer.work().await })
}

fn put(key: i64) -> Batch {
    put_all("n", key..key + 1)
}

fn put_all(namespace: &str, keys: std::ops::Range<i64>) -> Batch {
    let put = |key: i64| {
        let (codec, value) = (Codec::Bytes, NewValue::Inline(vec![7].into()));
        let (namespace, key) = (namespace.into(), Key::from(key).into());
        Command::Put(Put { namespace, key, codec, value, expires: None, tags: Vec::new(), pinned: false, holder: None })
    };
    Batch::all(keys.map(put).collect(), None)
}

fn entries(limit: u64) -> Rule {
    Rule { limit_entries: Some(limit), ..Rule::default() }
}

fn len(writer: &Writer) -> u64 {
    let len = |store: &Store| store.namespace("n").map_or(Ok(0), |number| store.len(number, Timestamp::now()));
    writer.read(len).unwrap().unwrap()
}

#[tokio::test(flavor = "local")]
async fn batches_that_wait_together_share_a_frame() {
    let (_folder, writer) = writer();
    let writes = futures::future::join_all((0..100).map(|key| writer.write(put(key), false)));
    let mut writes = pin!(writes);
    assert!(poll!(&mut writes).is_pending());
    at_work(&writer);
    assert!(writes.await.into_iter().all(|outcomes| outcomes.is_ok()));
    assert_eq!(writer.read(|store| store.counters().frames).unwrap(), 1);
}

#[tokio::test(flavor = "local")]
async fn what_is_given_up_before_it_is_in_a_frame_is_not_done() {
    let (_folder, writer) = writer();
    let mut kept = pin!(writer.write(put(1), false));
    assert!(poll!(&mut kept).is_pending());
    {
        let mut given_up = pin!(writer.write(put(2), false));
        assert!(poll!(&mut given_up).is_pending());
    }
    at_work(&writer);
    kept.await.unwrap();
    assert_eq!(len(&writer), 1);
}

#[tokio::test(flavor = "local")]
async fn a_barrier_waits_for_what_came_before_and_not_for_what_comes_later() {
    let (_folder, writer) = writer();
    let mut before = pin!(writer.write(put(1), false));
    assert!(poll!(&mut before).is_pending());
    let mut barrier = pin!(writer.barrier());
    assert!(poll!(&mut barrier).is_pending());
    at_work(&writer);
    barrier.await.unwrap();
    assert_eq!(len(&writer), 1);
    assert!(poll!(&mut before).is_ready());
    writer.barrier().await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn what_is_hurried_is_done_when_that_returns() {
    let (_folder, writer) = writer();
    let mut writes = pin!(futures::future::join(writer.write(put(1), false), writer.write(put(2), false)));
    assert!(poll!(&mut writes).is_pending());
    writer.hurry();
    assert!(poll!(&mut writes).is_ready());
    assert_eq!(writer.read(|store| store.counters().frames).unwrap(), 1);
}

#[tokio::test(flavor = "local")]
async fn a_turn_that_dies_ends_the_writer_wherever_it_was_taken() {
    let (_folder, writer) = writer();
    let mut write = pin!(writer.write(put(1), false));
    assert!(poll!(&mut write).is_pending());
    let store = writer.0.store.borrow();
    let turn = std::panic::AssertUnwindSafe(|| writer.hurry());
    std::panic::catch_unwind(turn).expect_err("the store is taken");
    drop(store);
    writer.work().await;
    writer.hurry();
    assert!(poll!(&mut write).is_pending(), "nothing is done with that store any more");
    assert!(matches!(writer.close(), Err(StoreError::ApplyFailed { .. })), "the next daemon sees to the log");
    assert!(matches!(write.await, Err(WriteError::Closed)));
}

/// A call or a task that died there left the store as it was, and whoever came later wrote into that.
#[tokio::test(flavor = "local")]
async fn a_panic_of_somebody_else_in_the_middle_of_the_store_ends_the_writer_too() {
    let (_folder, writer) = writer();
    let working = at_work(&writer);
    writer.write(put(1), false).await.unwrap();
    let act = std::panic::AssertUnwindSafe(|| writer.with(|_| panic!("a fault")));
    std::panic::catch_unwind(act).expect_err("it panics");
    tokio::time::timeout(std::time::Duration::from_secs(60), working).await.expect("it ends").unwrap();
    assert!(matches!(writer.with(|_| ()), Err(WriteError::Closed)));
    assert!(matches!(writer.close(), Err(StoreError::ApplyFailed { .. })), "the next daemon sees to the log");
}

#[tokio::test(flavor = "local")]
async fn a_durable_batch_is_answered_when_it_is_on_the_disk() {
    let (_folder, writer) = writer();
    at_work(&writer);
    writer.write(put(1), true).await.unwrap();
    let is_synced = writer.read(|store| store.synced() >= store.end()).unwrap();
    assert!(is_synced);
}

/// Nothing of a segment whose sync failed is ever said to be durable, also where a later sync of it succeeds: the system may
/// have dropped what it could not write.
#[tokio::test(flavor = "local")]
async fn who_wants_durability_is_told_where_the_log_can_not_be_synced_and_has_it_again_in_the_next_segment() {
    let (folder, writer) = writer();
    at_work(&writer);
    let failing = FailingSyncs::below(folder.path());
    let refused = writer.write(put(1), true).await.unwrap_err();
    assert!(matches!(refused, WriteError::NotDurable), "{refused:?}");
    assert_eq!(WireError::from(refused), WireError::Store { step: StoreStep::Sync, errno: None });
    assert_eq!(len(&writer), 1, "it is done all the same");
    writer.write(put(2), false).await.unwrap();
    drop(failing);

    let seq = writer.checkpoint().await.unwrap();
    let (synced, end) = writer.read(|store| (store.synced(), store.end())).unwrap();
    assert!(seq >= 2 && synced >= end, "what is in the index is durable");
    writer.write(put(3), true).await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn a_checkpoint_brings_everything_into_the_index() {
    let (_folder, writer) = writer();
    at_work(&writer);
    writer.write(put(1), false).await.unwrap();
    let seq = writer.checkpoint().await.unwrap();
    assert!(writer.read(|store| store.applied() >= seq).unwrap());
    assert_eq!(writer.read(|store| store.stats().unwrap().unapplied_operations).unwrap(), 0);
}

/// Else a copy of the index is given up for it.
#[test]
fn an_eviction_that_has_nothing_to_do_is_no_append() {
    let (_folder, writer) = writer();
    let seen = writer.appends().count();
    assert!(!writer.evict_surplus().unwrap());
    assert_eq!(writer.appends().count(), seen);
}

/// Else a client that tries again and again keeps space that is free in the index from being given back.
#[tokio::test(flavor = "local")]
async fn what_is_refused_or_changes_nothing_is_no_append() {
    let all = Rule { policy: Some(Policy::None), ..entries(1) };
    let (_folder, writer) = writer_with(Rules { all, ..Rules::none() });
    at_work(&writer);
    let before = writer.appends().count();
    writer.write(put(1), false).await.unwrap();
    let seen = writer.appends().count();
    assert!(seen > before);
    writer.write(put(2), false).await.unwrap_err();
    let delete = Command::Delete { namespace: 1, key: Key::from(3), when: Condition::Live };
    writer.write(Batch::of(delete, None), false).await.unwrap();
    assert_eq!(writer.appends().count(), seen);
}

/// It waited until thousands of entries that were not its own had gone.
#[tokio::test(flavor = "local")]
async fn a_batch_that_needs_little_room_does_not_wait_for_one_of_another_namespace_that_needs_much() {
    let namespaces = [("wide", 2_000), ("narrow", 10)].map(|(name, limit)| (name.to_owned(), entries(limit)));
    let (_folder, writer) = writer_with(Rules { namespaces: namespaces.into(), ..Rules::none() });
    let working = at_work(&writer);
    writer.write(put_all("wide", 0..2_000), false).await.unwrap();
    writer.write(put_all("narrow", 0..10), false).await.unwrap();
    working.abort();
    assert!(working.await.unwrap_err().is_cancelled());

    let mut wide = pin!(writer.write(put_all("wide", 2_000..4_000), false));
    let mut narrow = pin!(writer.write(put_all("narrow", 10..11), false));
    assert!(poll!(&mut wide).is_pending() && poll!(&mut narrow).is_pending());
    for _ in 0..2 {
        writer.hurry();
    }
    assert!(poll!(&mut wide).is_pending(), "it takes twenty slices and more");
    assert!(poll!(&mut narrow).is_ready(), "it takes one");
    at_work(&writer);
    wide.await.unwrap();
}

/// It came after thirty: the writer and the bulk operation woke each other, and nobody looked at the sockets.
#[tokio::test(flavor = "local")]
async fn a_neighbour_whose_call_arrives_comes_after_two_slices_of_a_bulk_operation_at_most() {
    let (_folder, writer) = writer();
    at_work(&writer);
    let (mut caller, neighbour) = std::os::unix::net::UnixStream::pair().unwrap();
    neighbour.set_nonblocking(true).unwrap();
    let neighbour = tokio::net::UnixStream::from_std(neighbour).unwrap();
    let slices = Rc::new(Cell::new(0));
    let (bulk, done) = (writer.clone(), Rc::clone(&slices));
    let bulk = tokio::task::spawn_local(async move {
        for key in 0..200 {
            bulk.room_for_bulk().await;
            bulk.write(put(key), false).await.unwrap();
            done.set(key + 1);
        }
    });
    for _ in 0..10 {
        while slices.get() == 0 {
            tokio::task::yield_now().await;
        }
        caller.write_all(b"call").unwrap();
        let before = slices.get();
        neighbour.readable().await.unwrap();
        assert!(slices.get() <= before + 2, "{} slices came before it", slices.get() - before);
        neighbour.try_read(&mut [0; 8]).unwrap();
    }
    assert!(!bulk.is_finished());
    bulk.await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn nothing_is_taken_by_a_closed_writer_and_nobody_waits_for_it() {
    let (_folder, writer) = writer();
    let mut waiting = pin!(writer.write(put(1), false));
    assert!(poll!(&mut waiting).is_pending());
    writer.close().unwrap();
    assert!(matches!(waiting.await, Err(WriteError::Closed)));
    assert!(matches!(writer.write(put(1), false).await, Err(WriteError::Closed)));
    assert!(matches!(writer.checkpoint().await, Err(WriteError::Closed)));
    assert!(matches!(writer.barrier().await, Err(WriteError::Closed)));
    assert!(matches!(writer.turn().await, Err(WriteError::Closed)));
    writer.close().unwrap();
}

#[tokio::test(flavor = "local")]
async fn a_writer_that_works_gives_a_sign_of_life_and_another_does_not() {
    let (_folder, writer) = writer();
    let mut turn = pin!(writer.turn());
    assert!(poll!(&mut turn).is_pending());
    let working = at_work(&writer);
    turn.await.unwrap();
    working.abort();
    assert!(working.await.unwrap_err().is_cancelled());
    let mut turn = pin!(writer.turn());
    tokio::task::yield_now().await;
    assert!(poll!(&mut turn).is_pending());
}

/// Space that it freed was not given back before somebody wrote.
#[tokio::test(flavor = "local")]
async fn packing_is_a_change_although_nothing_is_written() {
    let (_folder, writer) = writer();
    at_work(&writer);
    let put = |number: u64| {
        let key = Key::from(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[..]).into();
        let (namespace, codec, value) = ("n".into(), Codec::Bytes, NewValue::Inline(vec![7; 300].into()));
        Command::Put(Put { namespace, key, codec, value, expires: None, tags: Vec::new(), pinned: false, holder: None })
    };
    for first in (0..4_000).step_by(100) {
        writer.write(Batch::all((first..first + 100).map(put).collect(), None), false).await.unwrap();
    }
    writer.checkpoint().await.unwrap();
    let (changes, appends) = (writer.changes().count(), writer.appends().count());
    assert_eq!(changes, appends);
    let limit = writer.read(|store| store.usage().total() * 9 / 10).unwrap();
    let all = Rule { limit: Some(limit), ..Rule::default() };
    writer.with(|store| store.set_rules(Rules { all, ..Rules::none() })).unwrap();
    writer.turn().await.unwrap();
    let changed = tokio::time::timeout(Duration::from_secs(60), writer.changes().beyond(changes)).await;
    assert!(changed.is_ok(), "nobody hears of it");
    assert_eq!(writer.appends().count(), appends);
    assert!(writer.read(|store| store.counters().packings > 0).unwrap());
}
