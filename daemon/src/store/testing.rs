//! A store for the tests of its own parts: nothing happens in it unasked, and its threads' events are taken in one by one.

use std::sync::Arc;
use std::time::Duration;

use datacache_proto::key::Key;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Codec, Digest};

use super::blob::BlobStore;
use super::command::{Batch, Command, NewValue, Put};
use super::examiner::Examiner;
use super::options::StoreOptions;
use super::store::{Next, Store};

/// How long anything may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// The moment at which all of it happens.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Opens a store that syncs nothing by itself, and waits until it can rotate.
pub(super) fn store(folder: &tempfile::TempDir) -> Store {
    let mut store = Store::open(options(folder), NOW).unwrap();
    wait(&mut store, |store| matches!(store.next, Next::Ready(_)));
    store
}

/// Returns how such a store is opened.
pub(super) fn options(folder: &tempfile::TempDir) -> StoreOptions {
    StoreOptions {
        path: folder.path().join("store"),
        sync_interval: Duration::from_secs(3_600),
        segment_bytes: StoreOptions::SEGMENT_BYTES,
        examiner: Examiner::here(),
        wake: Arc::new(|| ()),
    }
}

/// Takes in one event after the other until the store is as `done` wants it.
pub(super) fn wait(store: &mut Store, done: impl Fn(&Store) -> bool) {
    while !done(store) {
        let event = store.events.recv_timeout(DEADLINE).expect("the store's threads do something in time");
        store.take(event, NOW);
        store.progress(NOW);
    }
}

/// Puts a value under the one key that these tests need.
pub(super) fn put(store: &mut Store, value: NewValue) {
    let mut results = Vec::new();
    store.write(&mut [Batch::of(Command::Put(put_of(value)), None)].into(), NOW, &mut results);
    results.pop().expect("there is room").unwrap();
}

/// Makes the put of a value under that key.
pub(super) fn put_of(value: NewValue) -> Put {
    let (namespace, key) = ("n".into(), Key::from("k").into());
    Put { namespace, key, codec: Codec::Bytes, value, expires: None, tags: Vec::new(), pinned: false, holder: None }
}

/// Stages the value `value`, said to have this digest.
pub(super) fn stage(blobs: &BlobStore, digest: Digest) -> NewValue {
    std::fs::write(blobs.staging().join("staged"), b"value").unwrap();
    NewValue::Blob(blobs.receive("staged", 5, digest, false).unwrap())
}
