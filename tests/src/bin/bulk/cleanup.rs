//! The ways to remove many entries at once, and what there is before.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use datacache_client::Expire;
use datacache_client::blocking::DataCache;
use datacache_tests::eventually;

use crate::disk;

/// How many entries are added by a call, and how many of them where they are files.
const BATCH: usize = 1_000;
const BATCH_OF_FILES: usize = 200;
/// The bytes of a value, and of one that is a file.
const VALUE: usize = 100;
const FILE: usize = 4_096;
/// The tag of all entries.
const TAG: &str = "bulk";
/// How many are added in a second, about.
const ADDED_IN_A_SECOND: u64 = 20_000;
/// How long the daemon may take to remove files.
const PATIENCE: Duration = Duration::from_secs(300);

/// A way to remove many entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cleanup {
    /// `clear`, of a namespace.
    Clear,
    /// `evict`, of a tag that all of them have.
    Evict,
    /// `expire`, once the time of all of them is over.
    Expire,
    /// `clear`, where each value is a file.
    Blobs,
}

/// What there is to remove.
#[derive(Debug)]
pub(crate) struct Filled {
    /// When its time is over.
    ends: Option<SystemTime>,
    /// How long that was after the first was added.
    span: Duration,
}

impl Cleanup {
    pub(crate) const ALL: [Self; 4] = [Self::Clear, Self::Evict, Self::Expire, Self::Blobs];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Evict => "evict",
            Self::Expire => "expire",
            Self::Blobs => "blobs",
        }
    }

    /// Returns how many entries go, where nobody says.
    pub(crate) fn entries(self) -> i64 {
        if self == Self::Blobs { 60_000 } else { 1_000_000 }
    }

    /// Returns what the daemon is to be told.
    pub(crate) fn configuration(self) -> &'static str {
        if self == Self::Blobs { "inline_max = \"1 KiB\"" } else { "" }
    }

    /// Adds the entries; those that are to end do so this long after the first was added.
    pub(crate) fn fill(self, cache: &DataCache, entries: i64, span: Duration) -> Filled {
        let ends = (self == Self::Expire).then(|| SystemTime::now() + span);
        let (batch, length) = if self == Self::Blobs { (BATCH_OF_FILES, FILE) } else { (BATCH, VALUE) };
        for keys in (0..entries).collect::<Vec<_>>().chunks(batch) {
            let items = keys.iter().map(|key| (*key, value(*key, length)));
            let mut add = cache.add_many(items).expire(ends.map_or(Expire::Never, Expire::At));
            if self == Self::Evict {
                add = add.tag(TAG);
            }
            add.run().unwrap();
        }
        Filled { ends, span }
    }

    /// Removes them, and waits until their files are gone, which the daemon removes when nothing names them any more.
    pub(crate) fn run(self, cache: &DataCache, store: &Path) {
        match self {
            Self::Clear | Self::Blobs => cache.clear(),
            Self::Evict => cache.evict(TAG),
            // The daemon does it by itself as well: these are two at once.
            Self::Expire => cache.expire(),
        }
        .unwrap();
        if self == Self::Blobs {
            // What is not applied yet still has them.
            disk::settle(cache);
            let is_empty = |folder: PathBuf| fs::read_dir(folder).unwrap().next().is_none();
            let are_gone = || fs::read_dir(store.join("blobs")).unwrap().all(|folder| is_empty(folder.unwrap().path()));
            eventually("the files go", PATIENCE, are_gone);
        }
    }
}

impl Filled {
    /// Tells whether its time is over: some of it went by itself then.
    pub(crate) fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| ends <= SystemTime::now())
    }

    /// Waits until it can be removed.
    pub(crate) fn wait(&self) {
        eventually("the entries end", 2 * self.span, || self.ends.is_none() || self.is_over());
    }
}

/// Returns for how long entries that are to end stay, about as long as it takes to add them and to have those turns before.
pub(crate) fn expected_span(entries: i64, turns: u64) -> Duration {
    let added = Duration::from_secs(entries.unsigned_abs() / ADDED_IN_A_SECOND);
    added + Duration::from_millis(4 * turns) + Duration::from_secs(2)
}

/// Returns a value that no other key has.
fn value(key: i64, length: usize) -> Vec<u8> {
    key.to_le_bytes().into_iter().cycle().take(length).collect()
}
