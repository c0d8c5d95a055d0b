//! What clients say of files in the staging folder: nothing but a regular file of that folder is ever taken in, and only one
//! that is as long as was said.

#![no_main]

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arbitrary::Arbitrary;
use datacache_daemon::store::{BlobStore, Examiner, Store, StoreOptions};
use datacache_fuzz::place::Place;
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;
use libfuzzer_sys::fuzz_target;
use sha2::Digest as _;

/// Names that are there, and lead to something that must not be taken.
const TRAPS: [&str; 6] = ["link", "loop", "pipe", "folder", "../secret", "folder/inside"];
const SECRET: &[u8] = b"nobody's business";

#[derive(Arbitrary, Debug)]
struct Claim<'a> {
    name: Name<'a>,
    content: &'a [u8],
    /// Added to the length that is said.
    off: u8,
    is_right: bool,
    durable: bool,
}

#[derive(Arbitrary, Debug)]
enum Name<'a> {
    Any(&'a str),
    Trap(u8),
}

struct Setup {
    place: Place,
    _store: std::sync::Mutex<Store>,
    blobs: BlobStore,
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let place = Place::new();
    let (sync_interval, segment_bytes) = (Duration::from_secs(3_600), StoreOptions::SEGMENT_BYTES);
    let (path, examiner) = (place.store(), Examiner::here());
    let options = StoreOptions { path, sync_interval, segment_bytes, examiner, wake: Arc::new(|| ()) };
    let store = Store::open(options, Timestamp::now()).unwrap();
    let blobs = store.blobs();
    set_traps(&blobs.staging());
    fs::write(place.store().join("secret"), SECRET).unwrap();
    Setup { place, _store: std::sync::Mutex::new(store), blobs }
});

fn set_traps(staging: &Path) {
    fs::create_dir(staging.join("folder")).unwrap();
    fs::write(staging.join("folder/inside"), SECRET).unwrap();
    std::os::unix::fs::symlink("../secret", staging.join("link")).unwrap();
    std::os::unix::fs::symlink("loop", staging.join("loop")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(staging.join("pipe")).status().unwrap();
    assert!(made.success());
}

fuzz_target!(|claim: Claim<'_>| {
    let Setup { place, blobs, .. } = &*SETUP;
    let (name, content) = match claim.name {
        Name::Any(name) => (name, claim.content),
        Name::Trap(number) => (TRAPS[usize::from(number) % TRAPS.len()], SECRET),
    };
    let digest = Digest(sha2::Sha256::digest(if claim.is_right { content } else { b"a lie" }).into());
    let length = content.len() as u64 + u64::from(claim.off);
    let is_free = is_plain(name) && place.store().join("staging").join(name).symlink_metadata().is_err();
    if is_free {
        fs::write(blobs.staging().join(name), content).unwrap();
    }
    let received = blobs.receive(name, length, digest, claim.durable);
    assert_eq!(received.is_ok(), is_free && claim.off == 0, "{name:?}: {received:?}");
    if is_free {
        fs::remove_file(blobs.staging().join(name)).unwrap();
    }
});

/// Tells whether the name is one component that a file can have, and not hidden.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let is_one =
        matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(part)), None) if part == name);
    is_one && name.len() <= 255 && !name.starts_with('.') && !name.contains('\0')
}
