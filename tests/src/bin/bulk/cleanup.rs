//! The ways to remove many entries at once, and what there is before.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use datacache_client::Expire;
use datacache_client::blocking::DataCache;
use datacache_tests::eventually;

/// How many entries are added by a call, and how many of them where they are files.
const BATCH: usize = 1_000;
const BATCH_OF_FILES: usize = 200;
/// The bytes of a value, and of one that is a file.
const VALUE: usize = 100;
const FILE: usize = 4_096;
/// The tag of all entries.
const TAG: &str = "bulk";
/// How long the daemon may take to remove files.
const PATIENCE: Duration = Duration::from_secs(300);
/// For how long the neighbour is measured before.
const BEFORE: Duration = Duration::from_secs(3);
/// The least that are added in a second: entries that are to end at one moment have to be there by then.
const SLOWEST: i64 = 20_000;

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

    /// Adds the entries.
    pub(crate) fn fill(self, cache: &DataCache, entries: i64) -> Filled {
        let last = Duration::from_secs((entries / SLOWEST).unsigned_abs()) + 2 * BEFORE;
        let ends = (self == Self::Expire).then(|| SystemTime::now() + last);
        let (batch, length) = if self == Self::Blobs { (BATCH_OF_FILES, FILE) } else { (BATCH, VALUE) };
        for keys in (0..entries).collect::<Vec<_>>().chunks(batch) {
            let items = keys.iter().map(|key| (*key, value(*key, length)));
            let mut add = cache.add_many(items).expire(ends.map_or(Expire::Never, Expire::At));
            if self == Self::Evict {
                add = add.tag(TAG);
            }
            add.run().unwrap();
        }
        Filled { ends }
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
            let is_empty = |folder: PathBuf| fs::read_dir(folder).unwrap().next().is_none();
            let are_gone = || fs::read_dir(store.join("blobs")).unwrap().all(|folder| is_empty(folder.unwrap().path()));
            eventually("the files go", PATIENCE, are_gone);
        }
    }
}

impl Filled {
    /// Waits until it can be removed, for some seconds at least.
    pub(crate) fn wait(self) {
        let left = self.ends.map(|ends| ends.duration_since(SystemTime::now()).expect("it was filled in time"));
        thread::sleep(left.unwrap_or(BEFORE));
    }
}

/// Returns a value that no other key has.
fn value(key: i64, length: usize) -> Vec<u8> {
    key.to_le_bytes().into_iter().cycle().take(length).collect()
}
