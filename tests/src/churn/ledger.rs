//! What writers have begun and finished, in memory that all processes of a test share.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// How many keys there are.
const KEYS: u64 = 128;
/// How many processes can tell how far they are.
const WORKERS: u64 = 8;
/// The words: two for each key, one for each worker, one for the end.
const WORDS: u64 = 2 * KEYS + WORKERS + 1;

/// A mapped file of counters.
#[derive(Debug)]
pub struct Ledger(MmapRaw);

impl Ledger {
    /// The keys, from 0 up to this one.
    pub const KEYS: u64 = KEYS;

    /// Makes a ledger in which nothing has happened.
    ///
    /// # Panics
    /// Where the system can't, or there is one.
    #[must_use]
    pub fn create(path: &Path) -> Self {
        OpenOptions::new().write(true).create_new(true).open(path).unwrap().set_len(WORDS * 8).unwrap();
        Self::open(path)
    }

    /// Opens one that another process made.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), WORDS * 8);
        Self(MmapOptions::new().map_raw(&file).unwrap())
    }

    /// Notes that a version of a key is about to be written.
    pub fn begin(&self, key: u64, number: u64) {
        self.word(2 * key).store(number, Ordering::SeqCst);
    }

    /// Notes that a version of a key was written: from now on nobody may see an older one.
    pub fn finish(&self, key: u64, number: u64) {
        self.word(2 * key + 1).store(number, Ordering::SeqCst);
    }

    /// Returns the newest version of a key that was begun.
    #[must_use]
    pub fn begun(&self, key: u64) -> u64 {
        self.word(2 * key).load(Ordering::SeqCst)
    }

    /// Returns the newest version of a key that was finished.
    #[must_use]
    pub fn finished(&self, key: u64) -> u64 {
        self.word(2 * key + 1).load(Ordering::SeqCst)
    }

    /// Returns how many versions of all keys were finished.
    #[must_use]
    pub fn written(&self) -> u64 {
        (0..KEYS).map(|key| self.finished(key)).sum()
    }

    /// Notes that a worker got something done.
    pub fn tick(&self, worker: u64) {
        self.word(2 * KEYS + worker).fetch_add(1, Ordering::SeqCst);
    }

    /// Returns how often a worker got something done.
    #[must_use]
    pub fn ticks(&self, worker: u64) -> u64 {
        self.word(2 * KEYS + worker).load(Ordering::SeqCst)
    }

    /// Opens a worker and has it step until it is over; returns the worker for what it has counted.
    ///
    /// # Errors
    /// What it could not open or do; then it is over for all.
    pub fn work<W, E>(
        &self,
        number: u64,
        open: impl FnOnce() -> Result<W, E>,
        mut step: impl FnMut(&mut W) -> Result<(), E>,
    ) -> Result<W, E> {
        let done = open().and_then(|mut worker| {
            while !self.is_over() {
                step(&mut worker)?;
                self.tick(number);
            }
            Ok(worker)
        });
        self.stop();
        done
    }

    /// Has all workers end: it is time, or one of them saw what must not be.
    pub fn stop(&self) {
        self.word(WORDS - 1).store(1, Ordering::SeqCst);
    }

    /// Tells whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.word(WORDS - 1).load(Ordering::SeqCst) != 0
    }

    #[expect(unsafe_code, reason = "only a map is shared by processes")]
    fn word(&self, at: u64) -> &AtomicU64 {
        assert!(at < WORDS);
        // SAFETY: (1) the word lies within the map, which is WORDS words long and lives as long as `self`; (2) a map begins
        // at a page, so the word is aligned; (3) every process touches it by atomics of this size only.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().cast::<u64>().add(usize::try_from(at).unwrap())) }
    }
}
