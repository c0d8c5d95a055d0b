//! A store as a daemon leaves it that is killed: some of what was written is in the index, the rest in the log alone. It can be
//! had again and again.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use datacache_daemon::store::{Batch, Command, Examiner, NewValue, OpenError, Put, Store, StoreOptions};
use datacache_proto::key::{Key, Tag};
use datacache_proto::layout::{CURRENT, LOG};
use datacache_proto::log::{Frame, SEGMENT_HEADER, SegmentHeader};
use datacache_proto::record::Value;
use datacache_proto::time::Timestamp;
use datacache_proto::types::Codec;

use crate::daemon::DEADLINE;
use crate::place::Place;

/// The moment at which all of it happens.
pub const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// The entries that the index has; their keys are numbers from 0 on.
pub const APPLIED: i64 = 6;
/// All entries.
pub const ENTRIES: i64 = 20;

/// The files of the dead daemon's store, and what they say.
pub struct Death {
    place: Place,
    files: Vec<(PathBuf, Vec<u8>)>,
    /// The segment that was written last.
    segment: PathBuf,
    /// What that says of itself.
    pub header: SegmentHeader,
    /// What is in it.
    pub log: Vec<u8>,
    /// The number that the next operation would get.
    pub next_seq: u64,
}

impl Death {
    /// Lets a store live for a while.
    ///
    /// # Panics
    /// Where it can't.
    #[must_use]
    pub fn new() -> Self {
        let place = Place::new();
        let (mut store, wakes) = open(&place.store()).expect("a new store can be made");
        (0..APPLIED).for_each(|number| write(&mut store, &[number]));
        let target = store.request_checkpoint();
        while store.applied() < target {
            if !store.progress(NOW) {
                wakes.recv_timeout(DEADLINE).expect("the log is applied in time");
            }
        }
        (APPLIED..ENTRIES).step_by(2).for_each(|number| write(&mut store, &[number, number + 1]));
        drop(store);
        Self::of(place)
    }

    fn of(place: Place) -> Self {
        let generation = fs::canonicalize(place.store().join(CURRENT)).expect("a generation is live");
        let mut files = Vec::new();
        read_files(&generation, &mut files);
        let is_written = |(path, bytes): &&(PathBuf, Vec<u8>)| {
            path.starts_with(generation.join(LOG)) && bytes.len() > SEGMENT_HEADER && bytes[SEGMENT_HEADER..] != [0; 8]
        };
        let (segment, log) = files.iter().filter(is_written).max().expect("something was written").clone();
        let header = SegmentHeader::decode(&log).expect("the header is whole");
        let (end, next_seq) = end_of(&log, &header);
        Self { place, files, segment, header, log: log[..end].to_vec(), next_seq }
    }

    /// Puts all files back, but `log` where the log was; `reboots` as if the system had been started anew since.
    ///
    /// # Panics
    /// Where they can't be written.
    pub fn restore(&self, log: &[u8], reboots: bool) {
        for folder in self.files.iter().filter_map(|(path, _)| path.parent()) {
            for file in fs::read_dir(folder).expect("the folder is there").map(|file| file.expect("it can be read")) {
                if file.file_type().expect("it has a type").is_file() {
                    fs::remove_file(file.path()).expect("it can be removed");
                }
            }
        }
        for (path, bytes) in &self.files {
            let mut bytes = if *path == self.segment { log.to_vec() } else { bytes.clone() };
            if reboots && path.ends_with(datacache_proto::layout::RECENT) {
                // The boot that wrote it.
                bytes[32..48].fill(0x5a);
            }
            fs::write(path, bytes).expect("there is room");
        }
    }

    /// Opens the store as the next daemon.
    ///
    /// # Errors
    /// Where it can't be opened.
    pub fn open(&self) -> Result<Store, OpenError> {
        open(&self.place.store()).map(|(store, _)| store)
    }
}

impl Default for Death {
    fn default() -> Self {
        Self::new()
    }
}

/// Looks a number up.
///
/// # Panics
/// Where the index can't be read.
#[must_use]
pub fn get(store: &Store, number: i64) -> Option<Vec<u8>> {
    let namespace = store.namespace("default")?;
    let value = |value: Value<'_>| match value {
        Value::Inline(bytes) => bytes.to_vec(),
        Value::Blob { digest, .. } => digest.0.to_vec(),
    };
    store.lookup(namespace, &Key::from(number), NOW, |record| value(record.value)).expect("it can be read")
}

/// Returns the value that a number was given.
#[must_use]
pub fn value_of(number: i64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + usize::try_from(number.rem_euclid(5)).expect("it is small"))
}

/// Writes the entries of `numbers` together.
///
/// # Panics
/// Where they are refused.
pub fn write(store: &mut Store, numbers: &[i64]) {
    let put = |number: &i64| {
        Command::Put(Put {
            namespace: "default".into(),
            key: Key::from(*number).into(),
            codec: Codec::Bytes,
            value: NewValue::Inline(value_of(*number).into()),
            expires: None,
            tags: vec![Tag::new("t").expect("it is one")],
            pinned: false,
            holder: None,
        })
    };
    let (mut batches, mut results) =
        (VecDeque::from([Batch::all(numbers.iter().map(put).collect(), None)]), Vec::new());
    store.write(&mut batches, NOW, &mut results);
    results.pop().expect("there is room").expect("nothing is wrong with it");
}

fn open(path: &Path) -> Result<(Store, Receiver<()>), OpenError> {
    let (sender, wakes) = channel();
    let sender = std::sync::Mutex::new(sender);
    let wake = Arc::new(move || {
        // Nobody may be waiting any more.
        sender.lock().expect("nobody panics with it").send(()).ok();
    });
    let (sync_interval, segment_bytes) = (Duration::from_secs(3_600), StoreOptions::SEGMENT_BYTES);
    let (path, examiner) = (path.to_owned(), Examiner::here());
    let options = StoreOptions { path, sync_interval, segment_bytes, examiner, wake };
    Ok((Store::open(options, NOW)?, wakes))
}

fn read_files(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for file in fs::read_dir(folder).expect("the folder is there") {
        let path = file.expect("it can be read").path();
        match path.is_dir() {
            true => read_files(&path, files),
            false => files.push((path.clone(), fs::read(&path).expect("it can be read"))),
        }
    }
}

/// Returns where the frames end, and the number that the next operation would get.
fn end_of(log: &[u8], header: &SegmentHeader) -> (usize, u64) {
    let (mut at, mut next_seq) = (SEGMENT_HEADER, 0);
    while let Ok(frame) = Frame::decode(&log[at..], header, at as u64) {
        at += frame.length();
        next_seq = frame.first_seq + u64::from(frame.operations);
    }
    (at, next_seq)
}
