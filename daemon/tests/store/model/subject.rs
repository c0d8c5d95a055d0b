//! The store under test, with the loops around it that the daemon has.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use datacache_daemon::store::{
    Batch, BatchResult, Command, Cursor, Examiner, Holder, Incoming, NewValue, OpenError, Outcome, Plan, Store,
    StoreError, StoreOptions,
};
use datacache_proto::key::{Key, Tag};
use datacache_proto::layout::blob_path;
use datacache_proto::record::Value;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Digest, Finding};
use sha2::Digest as _;

use super::map::Entry;
use super::moment;

/// How long anything may take before the test gives up on it.
const DEADLINE: Duration = Duration::from_secs(60);
/// How many commands of a plan are written at a time.
const PAGE: usize = 7;

pub(crate) struct Subject {
    store: Option<Store>,
    wakes: Receiver<()>,
    setup: Setup,
    /// The newest staged file of each content.
    staged: HashMap<Digest, String>,
}

/// How the store is opened, each time.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) path: PathBuf,
    pub(crate) segment_bytes: u64,
    pub(crate) sync_interval: Duration,
}

impl Subject {
    pub(crate) fn new(setup: Setup, now: u64) -> Self {
        let (store, wakes) = open(&setup, now);
        Self { store: Some(store), wakes, setup, staged: HashMap::new() }
    }

    pub(crate) fn store(&mut self) -> &mut Store {
        self.store.as_mut().expect("it is open between steps")
    }

    fn reopen(&mut self, now: u64) {
        let (store, wakes) = open(&self.setup, now);
        (self.store, self.wakes) = (Some(store), wakes);
    }

    pub(crate) fn reopen_cleanly(&mut self, now: u64) {
        self.close(now);
        self.reopen(now);
    }

    pub(crate) fn close(&mut self, now: u64) {
        self.store.take().unwrap().close(moment(now)).unwrap();
    }

    /// The log stays as it is: what the death of the process leaves.
    pub(crate) fn reopen_after_death(&mut self, now: u64) {
        drop(self.store.take());
        self.reopen(now);
    }

    /// Waits until the store is as `done` wants it.
    pub(crate) fn wait(&mut self, now: u64, done: impl Fn(&Store) -> bool) {
        while !done(self.store()) {
            if !self.store().progress(moment(now)) && !done(self.store()) {
                self.wakes.recv_timeout(DEADLINE).expect("the store's threads do something in time");
            }
        }
    }

    pub(crate) fn checkpoint(&mut self, now: u64) {
        let target = self.store().request_checkpoint();
        self.wait(now, |store| store.applied() >= target);
    }

    pub(crate) fn write(&mut self, commands: Vec<Command>, now: u64) -> BatchResult {
        self.write_batch(Batch::all(commands, None), now)
    }

    /// As the daemon does: what was staged is looked at again when the blob it would become changed meanwhile, and adopted
    /// beforehand where it is one of several.
    pub(crate) fn write_batch(&mut self, mut batch: Batch, now: u64) -> BatchResult {
        loop {
            match self.attempt(batch.clone(), now) {
                Err(StoreError::BlobChanged) => self.receive_again(&mut batch),
                result => return result,
            }
        }
    }

    fn receive_again(&mut self, batch: &mut Batch) {
        let count = batch.commands.len();
        for command in &mut batch.commands {
            let Command::Put(put) = command else { continue };
            let NewValue::Blob(incoming) = &put.value else { continue };
            let (digest, length) = (incoming.digest(), incoming.length());
            let mut incoming = self.receive(digest, length, false);
            if count > 1 {
                self.store().adopter().adopt(&mut [&mut incoming]).unwrap();
            }
            put.value = NewValue::Blob(incoming);
        }
    }

    fn receive(&mut self, digest: Digest, length: u64, durable: bool) -> Incoming {
        let name = self.staged[&digest].clone();
        self.store().blobs().receive(&name, length, digest, durable).unwrap()
    }

    fn attempt(&mut self, batch: Batch, now: u64) -> BatchResult {
        let (mut batches, mut results) = (VecDeque::from([batch]), Vec::new());
        loop {
            self.store().write(&mut batches, moment(now), &mut results);
            if let Some(result) = results.pop() {
                return result;
            }
            if !self.store().progress(moment(now)) {
                self.wakes.recv_timeout(DEADLINE).expect("a segment is applied in time");
            }
        }
    }

    /// Puts a value where a client would stage it, and has it received.
    pub(crate) fn stage(&mut self, value: &[u8], durable: bool) -> NewValue {
        let digest = digest(value);
        let name = format!("staged-{}", fastrand::u64(..));
        fs::write(self.store().blobs().staging().join(&name), value).unwrap();
        self.staged.insert(digest, name);
        NewValue::Blob(self.receive(digest, value.len() as u64, durable))
    }

    /// Looks the whole store through, of which the index has everything then.
    pub(crate) fn verify(&mut self, now: u64) -> Vec<Finding> {
        self.checkpoint(now);
        let report = self.store().reader().verify(&self.store().blobs()).unwrap();
        self.store().conclude(report, false).0.findings
    }

    pub(crate) fn release(&mut self, holder: &Holder, now: u64) -> u64 {
        let mut went = 0;
        loop {
            let versions = self.store().leases_of(holder, 3);
            if versions.is_empty() {
                return went;
            }
            let commands = versions.into_iter().map(|version| Command::Release { holder: *holder, version }).collect();
            went += count(&self.write(commands, now));
        }
    }

    pub(crate) fn evict(&mut self, namespace: u32, tag: &Tag, now: u64) -> u64 {
        self.checkpoint(now);
        let reader = self.store().reader();
        self.bulk(now, |_, cursor| reader.plan_tagged(namespace, tag, cursor, PAGE))
    }

    pub(crate) fn clear(&mut self, namespace: u32, now: u64) -> u64 {
        let target = self.store().request_checkpoint();
        self.wait(now, |store| store.applied() >= target);
        let reader = self.store().reader();
        self.bulk(now, |_, cursor| reader.plan_all(namespace, target, cursor, PAGE))
    }

    pub(crate) fn expire(&mut self, namespace: Option<u32>, now: u64) -> u64 {
        self.bulk(now, |store, cursor| store.plan_expired(namespace, moment(now), cursor, PAGE))
    }

    fn bulk(&mut self, now: u64, plan: impl Fn(&mut Store, Option<&Cursor>) -> Result<Plan, StoreError>) -> u64 {
        let (mut went, mut cursor) = (0, None);
        loop {
            let page = plan(self.store(), cursor.as_ref()).unwrap();
            for command in page.commands {
                went += count(&self.write(vec![command], now));
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return went,
            }
        }
    }

    /// Looks a key up as a reader does: the record, and its value from wherever it is.
    pub(crate) fn get(&mut self, space: &str, key: &Key, now: u64) -> Option<Entry> {
        let folder = self.setup.path.clone();
        let namespace = self.store().namespace(space)?;
        let mut leased = None;
        let found = self.store().lookup(namespace, key, moment(now), |record| {
            leased = record.bound.then_some(record.version);
            Entry {
                codec: record.codec,
                value: match record.value {
                    Value::Inline(bytes) => bytes.to_vec(),
                    Value::Blob { digest, .. } => fs::read(blob_path(&folder, &digest)).unwrap(),
                },
                is_blob: record.value.digest().is_some(),
                expires: record.expires.map(|expires| expires.as_millis()),
                tags: record.tags.iter().map(str::to_owned).collect(),
                pinned: record.pinned,
                scopes: None,
                version: record.version,
                birth: record.birth.seq,
                written: 0,
            }
        });
        let mut entry = found.unwrap()?;
        if let Some(version) = leased {
            let holders = self.store().holders().into_iter();
            let scopes = holders.filter(|holder| self.store().leases_of(holder, usize::MAX).contains(&version));
            entry.scopes = Some(scopes.map(|holder| holder.scope).collect());
        }
        Some(entry)
    }

    /// Lists all pages, and checks that none of them repeats an entry.
    pub(crate) fn list(&mut self, space: &str, prefix: Option<&str>, tag: Option<&str>, now: u64) -> BTreeSet<Key> {
        let namespace = self.store().namespace(space).unwrap();
        let (reader, tag) = (self.store().reader(), tag.map(|tag| Tag::new(tag).unwrap()));
        let (mut keys, mut after) = (BTreeSet::new(), None::<Vec<u8>>);
        loop {
            let page = reader.list(namespace, prefix, tag.as_ref(), after.as_deref(), 5, moment(now)).unwrap();
            for entry in page.entries {
                assert!(keys.insert(entry.key.clone()), "{} is listed twice", entry.key);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return keys,
            }
        }
    }

    /// Waits until just the blobs are there that entries name: none is missing at any time, others go soon.
    pub(crate) fn compare_blobs(&mut self, values: &BTreeSet<Vec<u8>>, now: u64) {
        let expected: BTreeSet<String> = values.iter().map(|value| digest(value).to_string()).collect();
        let blobs = self.setup.path.join("blobs");
        let there = || -> BTreeSet<String> {
            let folders = fs::read_dir(&blobs).unwrap().map(|folder| folder.unwrap().path());
            let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert!(there().is_superset(&expected), "a blob that an entry names is missing");
        while there() != expected {
            if !self.store().progress(moment(now)) {
                let woken = self.wakes.recv_timeout(DEADLINE);
                assert!(woken.is_ok(), "blobs stay that nobody names: {:?}", there().difference(&expected));
            }
        }
    }
}

fn open(setup: &Setup, now: u64) -> (Store, Receiver<()>) {
    let (sender, wakes) = channel();
    let sender = Mutex::new(sender);
    let wake = Arc::new(move || {
        // The run may be over already.
        sender.lock().unwrap().send(()).ok();
    });
    let Setup { path, segment_bytes, sync_interval } = setup.clone();
    let options = StoreOptions { path, sync_interval, segment_bytes, examiner: Examiner::here(), wake };
    (open_free(&options, moment(now)), wakes)
}

/// Opens a store that nobody serves. A child that another test starts has our descriptors, and with them the lock, until it runs its
/// own program.
pub(crate) fn open_free(options: &StoreOptions, now: Timestamp) -> Store {
    let begun = Instant::now();
    loop {
        match Store::open(options.clone(), now) {
            Err(OpenError::InUse { .. }) if begun.elapsed() < DEADLINE => thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn count(outcomes: &BatchResult) -> u64 {
    let goes = |outcome: &&Outcome| matches!(outcome, Outcome::Deleted(true) | Outcome::Released(true));
    outcomes.as_ref().unwrap().iter().filter(goes).count() as u64
}

fn digest(value: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(value).into())
}
