//! Real files, all of them: the archives that cargo has downloaded, by four writers and four readers at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use datacache_client::{HashType, Hasher};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Client, Home, eventually};
use serde_json::json;

use crate::support::{client, noise};

/// With fewer archives than this, some are made.
const ENOUGH: usize = 50;
const PROCESSES: usize = 4;

/// A file, with its length and SHA-256.
struct Archive {
    path: PathBuf,
    length: u64,
    hash: String,
}

impl Archive {
    fn of(path: PathBuf) -> Self {
        let content = fs::read(&path).unwrap();
        let mut hasher = Hasher::new(HashType::Sha256);
        hasher.update(&content);
        Self { path, length: content.len() as u64, hash: hasher.finish() }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// Returns the archives of the machine's registry cache, or as many made ones as it takes.
fn archives(home: &Home) -> Vec<Archive> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut files = Vec::new();
    if let Some(cargo) = cargo {
        collect(&cargo.join("registry/cache"), &mut files);
    }
    println!("{} real archives", files.len());
    for number in files.len()..ENOUGH {
        let length = 1_000 << (number % 12);
        files.push(home.file(&format!("made-{number}.crate"), noise(number as u64, length)));
    }
    files.into_iter().map(Archive::of).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// Four processes take all archives in turn, each by its own client.
fn by_clients(home: &Home, archives: &[Archive], each: impl Fn(&mut Client, &Archive) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(|| {
                let mut client = client(home);
                while let Some(archive) = archives.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(&mut client, archive);
                }
            });
        }
    });
}

/// The same by the command, a process for each archive and four at a time.
fn by_commands(archives: &[Archive], each: impl Fn(&Archive) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(|| {
                while let Some(archive) = archives.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(archive);
                }
            });
        }
    });
}

#[test]
fn real_archives_are_added_by_four_read_by_four_stored_once_and_evicted_together() {
    let home = Home::new();
    let archives = archives(&home);
    // Both faces at once, each with half of them.
    let (first, second) = archives.split_at(archives.len() / 2);
    let add = |client: &mut Client, archive: &Archive| {
        assert_eq!(client.ask(&["add-file", archive.path(), "archive"]), archive.hash);
    };
    let add_by_command = |archive: &Archive| {
        assert_eq!(home.run(["add", archive.path(), "--tag", "archive"]).text(), archive.hash);
    };
    thread::scope(|scope| {
        scope.spawn(|| by_clients(&home, first, add));
        scope.spawn(|| by_commands(second, add_by_command));
    });
    let read = |client: &mut Client, archive: &Archive| {
        assert_eq!(client.ask(&["hash", &archive.hash]), json!([archive.length, archive.hash]), "{}", archive.path());
    };
    let read_by_command = |archive: &Archive| {
        assert!(home.run(["get", &archive.hash]).bytes() == fs::read(&archive.path).unwrap(), "{}", archive.path());
    };
    thread::scope(|scope| {
        scope.spawn(|| by_clients(&home, second, read));
        scope.spawn(|| by_commands(first, read_by_command));
    });

    let cache = home.open();
    let stored = cache.stats().unwrap().store;
    let mut hashes: Vec<&str> = archives.iter().map(|archive| &*archive.hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(cache.len().unwrap(), hashes.len() as u64);
    assert!(stored.blobs > 0);
    // The other way round.
    thread::scope(|scope| {
        scope.spawn(|| by_clients(&home, second, add));
        scope.spawn(|| by_commands(first, add_by_command));
    });
    let again = cache.stats().unwrap().store;
    assert_eq!((again.blobs, again.blob_bytes), (stored.blobs, stored.blob_bytes), "nothing new is stored");
    assert_eq!(cache.len().unwrap(), hashes.len() as u64);
    assert_eq!(cache.verify(false).unwrap().findings, []);

    assert_eq!(home.run(["evict", "archive"]).number(), hashes.len() as u64);
    assert_eq!(cache.len().unwrap(), 0);
    eventually("the blobs' folder is empty", PATIENCE, || blobs(&home).is_empty());
}

fn blobs(home: &Home) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(&home.store().join("blobs"), &mut files);
    files
}
