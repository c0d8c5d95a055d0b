//! A store that is opened after its daemon died, whose log was damaged since, or has frames of any content behind its end.
//!
//! Damage is noticed by checksums: what comes back is whole frames, each as it was written, after another boot those up to some
//! moment, and writing goes on. Frames with the right checksums are believed, but whatever they hold, the store is opened or
//! refused, twice the same.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use datacache_daemon::store::Store;
use datacache_fuzz::death::{APPLIED, Death, ENTRIES, NOW, get, value_of, write};
use datacache_proto::key::Key;
use datacache_proto::log::{FrameBuilder, Kind};
use datacache_proto::recent::KeyHash;
use datacache_proto::record::{Birth, Record, Tags, Value};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Codec, Digest};
use libfuzzer_sys::fuzz_target;

static DEATH: LazyLock<Death> = LazyLock::new(Death::new);

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    reboots: bool,
    log: Log<'a>,
}

#[derive(Arbitrary, Debug)]
enum Log<'a> {
    /// Bytes are changed, then the log is cut, then something stands behind it.
    Damaged(Vec<(u16, u8)>, Option<u16>, &'a [u8]),
    /// Frames follow.
    Continued(Vec<Vec<Operation<'a>>>),
}

#[derive(Arbitrary, Debug)]
struct Operation<'a> {
    kind: u8,
    namespace: u8,
    key: Name<'a>,
    body: Body<'a>,
}

#[derive(Arbitrary, Debug)]
enum Name<'a> {
    Number(i8),
    Text(&'a str),
    Raw(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
enum Body<'a> {
    Raw(&'a [u8]),
    Record { bound: bool, version: u16, expires: Option<u64>, value: &'a [u8], is_blob: bool },
}

fuzz_target!(|input: Input<'_>| match &input.log {
    Log::Damaged(changes, cut, behind) => damaged(changes, *cut, behind, input.reboots),
    Log::Continued(frames) => continued(frames, input.reboots),
});

fn damaged(changes: &[(u16, u8)], cut: Option<u16>, behind: &[u8], reboots: bool) {
    let mut log = DEATH.log.clone();
    for (at, change) in changes {
        let at = usize::from(*at) % log.len();
        log[at] ^= change;
    }
    if let Some(cut) = cut {
        log.truncate(usize::from(cut) % log.len());
    }
    log.extend(behind);
    DEATH.restore(&log, reboots);
    let mut store = DEATH.open().unwrap();
    let there = check_frames(&store, reboots);
    check_sound(&mut store);
    write(&mut store, &[1_000]);
    drop(store);
    let store = DEATH.open().unwrap();
    assert_eq!(check_frames(&store, reboots), there);
    assert_eq!(get(&store, 1_000), Some(value_of(1_000)));
}

/// Checks that what is there was written like that, all of a frame or none of it, and after another boot up to some moment;
/// returns which entries that are.
fn check_frames(store: &Store, reboots: bool) -> Vec<i64> {
    let there: Vec<i64> = (0..ENTRIES).filter(|number| get(store, *number).is_some()).collect();
    assert!(there.iter().all(|number| get(store, *number) == Some(value_of(*number))));
    assert!((0..APPLIED).all(|number| there.contains(&number)), "what the index had is gone: {there:?}");
    let is_whole = |first: i64| there.contains(&first) == there.contains(&(first + 1));
    assert!((APPLIED..ENTRIES).step_by(2).all(is_whole), "half of a frame is there: {there:?}");
    assert!(!reboots || there.iter().copied().eq(0..there.len() as i64), "there is a gap: {there:?}");
    there
}

fn check_sound(store: &mut Store) {
    let report = store.reader().verify(&store.blobs()).unwrap();
    let (verification, _) = store.conclude(report, false);
    assert!(verification.findings.is_empty(), "{verification:?}");
}

fn continued(frames: &[Vec<Operation<'_>>], reboots: bool) {
    let (mut log, mut next_seq) = (DEATH.log.clone(), DEATH.next_seq);
    let mut builder = FrameBuilder::default();
    for operations in frames.iter().filter(|operations| !operations.is_empty()) {
        builder.begin(next_seq);
        operations.iter().for_each(|operation| push(&mut builder, operation));
        next_seq = builder.next_seq();
        let offset = log.len() as u64;
        log.extend(builder.seal(&DEATH.header, offset));
    }
    DEATH.restore(&log, reboots);
    let Ok(store) = DEATH.open() else { return };
    let first = seen(&store);
    drop(store);
    let again = DEATH.open().expect("what was opened once can be opened again");
    assert_eq!(seen(&again), first);
}

fn push(builder: &mut FrameBuilder, operation: &Operation<'_>) {
    use Kind::{Delete, Keep, Lease, Put, Release, Reply, Touch, Verified};
    let kind = [Put, Put, Delete, Touch, Lease, Release, Verified, Reply, Keep][usize::from(operation.kind) % 9];
    let key = match operation.key {
        Name::Number(number) => Key::from(i64::from(number)).encoded().to_vec(),
        Name::Text(text) => Key::from(text).encoded().to_vec(),
        Name::Raw(bytes) => bytes.to_vec(),
    };
    let namespace = u32::from(operation.namespace % 3);
    let (seq, seed) = (builder.next_seq(), KeyHash::of(namespace, &key).to_bits());
    builder.push(kind, namespace, &key, |out| match &operation.body {
        Body::Raw(bytes) => out.extend_from_slice(bytes),
        Body::Record { bound, version, expires, value, is_blob } => {
            let record = Record {
                codec: Codec::Bytes,
                bound: *bound,
                pinned: !*bound,
                seq,
                version: u64::from(*version),
                birth: Birth::at(u64::from(*version)),
                created: NOW,
                expires: expires.map(Timestamp::from_millis),
                tags: Tags::default(),
                key: None,
                value: match is_blob {
                    true => Value::Blob { length: value.len() as u64, digest: Digest([value.len() as u8; 32]) },
                    false => Value::Inline(value),
                },
            };
            record.encode(seed, out);
        }
    });
}

/// Returns what a store shows of itself.
fn seen(store: &Store) -> Vec<String> {
    let numbers = (i64::from(i8::MIN)..=i64::from(i8::MAX)).filter_map(|number| get(store, number));
    let namespaces = store.namespaces().into_iter().map(|(name, number)| {
        let listed = store.reader().list(number, None, None, None, 1_000, NOW).map(|page| page.entries.len()).ok();
        format!("{name}: {number}, {:?}, {listed:?}", store.counts(number))
    });
    numbers.map(|value| format!("{value:?}")).chain(namespaces).collect()
}
