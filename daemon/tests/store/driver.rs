//! A store with the loops around it that the daemon has: writing, waiting, staging, reopening.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datacache_daemon::store::{Batch, BatchResult, Command, Examiner, NewValue, Put, Store, StoreOptions, Way};
use datacache_proto::key::{Key, Tag};
use datacache_proto::record::Value;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Codec, Digest};
use sha2::Digest as _;
use tempfile::TempDir;

use crate::model::subject::open_free;

/// The moment at which all of it happens.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Driver {
    store: Option<Store>,
    wakes: Receiver<()>,
    folder: TempDir,
    /// In how many slices way was made for calls: each looks at a bounded number of places.
    pub(crate) slices: usize,
}

impl Driver {
    /// Makes an empty store.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, wakes) = open(&folder.path().join("store"));
        Self { store: Some(store), wakes, folder, slices: 0 }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    /// Closes the store, lets `change` change its folder, and opens it again.
    pub(crate) fn reopened_after(mut self, change: impl FnOnce(&Path)) -> Self {
        self.store.take().unwrap().close(NOW).unwrap();
        self.reopen(change)
    }

    /// The same after the death of the process: the log is as it was.
    pub(crate) fn revived_after(mut self, change: impl FnOnce(&Path)) -> Self {
        drop(self.store.take());
        self.reopen(change)
    }

    fn reopen(mut self, change: impl FnOnce(&Path)) -> Self {
        change(&self.path());
        let (store, wakes) = open(&self.path());
        (self.store, self.wakes) = (Some(store), wakes);
        self
    }

    /// Waits until the store is as `done` wants it.
    pub(crate) fn wait(&mut self, done: impl Fn(&mut Store) -> bool) {
        while !done(self.store()) {
            if !self.store().progress(NOW) {
                self.wakes.recv_timeout(DEADLINE).expect("the store's threads do something in time");
            }
        }
    }

    pub(crate) fn checkpoint(&mut self) {
        let target = self.store().request_checkpoint();
        self.wait(|store| store.applied() >= target);
    }

    /// Evicts beside the calls until there is nothing more to evict, or to be packed; returns in how many slices.
    pub(crate) fn relieve(&mut self) -> usize {
        let mut slices = 0;
        loop {
            while self.store().evict_surplus(NOW).unwrap() {
                slices += 1;
            }
            if !self.store().is_packing() {
                return slices;
            }
            self.progress();
        }
    }

    pub(crate) fn write(&mut self, commands: Vec<Command>) -> BatchResult {
        let (mut batches, mut results) = (VecDeque::from([Batch::all(commands, None)]), Vec::new());
        loop {
            self.store().write(&mut batches, NOW, &mut results);
            match results.pop() {
                Some(result) => return result,
                None if self.store().blocked_by().is_some() => match self.make_way(&batches[0]) {
                    Way::Refused(error) => return Err(error),
                    Way::Clear | Way::Again | Way::Elsewhere(_) => {}
                    Way::Wait => self.progress(),
                },
                None if self.store().progress(NOW) => {}
                None => self.wakes.recv_timeout(DEADLINE).expect("a segment is applied in time"),
            }
        }
    }

    fn make_way(&mut self, batch: &Batch) -> Way {
        let owner = self.store().blocked_by().expect("it has no room");
        self.slices += 1;
        self.store().make_way(batch, owner, NOW)
    }

    /// Takes in what the store's threads do next.
    fn progress(&mut self) {
        if !self.store().progress(NOW) {
            self.wakes.recv_timeout(DEADLINE).expect("the store's threads do something in time");
        }
    }

    /// Puts an entry with the tag `t` and an expiry in an hour.
    pub(crate) fn put(&mut self, key: impl Into<Key>, value: NewValue) {
        self.write(vec![put(key, value)]).unwrap();
    }

    /// Stages a value and has it received. A name is used once: until the store has removed it, it is another name of the blob.
    pub(crate) fn stage(&mut self, value: &[u8]) -> NewValue {
        let blobs = self.store().blobs();
        let name = format!("staged-{}", fastrand::u64(..));
        fs::write(blobs.staging().join(&name), value).unwrap();
        NewValue::Blob(blobs.receive(&name, value.len() as u64, digest(value), false).unwrap())
    }

    /// Returns an inline value, or a blob's name; `None` where no live entry is there.
    pub(crate) fn get(&mut self, key: impl Into<Key>) -> Option<Vec<u8>> {
        let namespace = self.store().namespace("default")?;
        let value = |value: Value<'_>| match value {
            Value::Inline(bytes) => bytes.to_vec(),
            Value::Blob { digest, .. } => digest.to_string().into_bytes(),
        };
        self.store().lookup(namespace, &key.into(), NOW, |record| value(record.value)).unwrap()
    }

    /// Counts the live entries.
    pub(crate) fn len(&mut self) -> u64 {
        let namespace = self.store().namespace("default").unwrap();
        self.store().len(namespace, NOW).unwrap()
    }
}

pub(crate) fn put(key: impl Into<Key>, value: NewValue) -> Command {
    Command::Put(Put {
        namespace: "default".into(),
        key: key.into().into(),
        codec: Codec::Bytes,
        value,
        expires: Some(NOW.after(Duration::from_secs(3_600))),
        tags: vec![Tag::new("t").unwrap()],
        pinned: false,
        holder: None,
    })
}

pub(crate) fn inline(value: &[u8]) -> NewValue {
    NewValue::Inline(value.to_vec().into())
}

pub(crate) fn digest(value: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(value).into())
}

fn open(path: &Path) -> (Store, Receiver<()>) {
    let (sender, wakes) = channel();
    let sender = Mutex::new(sender);
    let wake = Arc::new(move || {
        sender.lock().unwrap().send(()).ok();
    });
    let segment_bytes = StoreOptions::SEGMENT_BYTES;
    let (path, sync_interval, examiner) = (path.to_owned(), Duration::from_secs(1), Examiner::here());
    let options = StoreOptions { path, sync_interval, segment_bytes, examiner, wake };
    (open_free(&options, NOW), wakes)
}
