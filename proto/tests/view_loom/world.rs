//! Everything that processes share, made of loom's atomics and cells: the index, the segments, LMDB.

use std::sync::atomic::Ordering;

use datacache_proto::recent::{Candidate, Fence, Found, KeyHash, Location, Offset, View, Word, Words, WordsMut, find};
use loom::cell::Cell;
use loom::sync::atomic::{AtomicBool, AtomicU64, fence};

/// Keys are numbers below this.
const KEYS: usize = 2;
/// The hash of every key, so that a lookup of one meets the others.
pub(crate) const HASH: KeyHash = KeyHash::from_bits(1 << 32);

/// Segments are numbered from 1 and stay below this.
const SEGMENTS: usize = 6;
/// Operations of a segment are numbered from 1 and stay below this.
const OPERATIONS: usize = 4;

/// An operation: it puts a value, of which the hundreds say the key and the rest the version. 0 is nothing.
pub(crate) type Value = u64;

/// How strict the world is about the bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// To read a byte while it is written is a violation, and so is to find nothing where the index says something.
    Ordered,
    /// As checksums make it: a reader finds all of an operation or nothing, and then asks the daemon. So only wrong
    /// answers count.
    Checksummed,
}

/// A rule of the protocol that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    /// One fence is left out.
    Without(Fence),
    /// Slots are stored relaxed.
    RelaxedSlots,
    /// The view is stored relaxed.
    RelaxedView,
    /// The view says that a table is used only after the operation was acknowledged.
    LateUse,
}

enum Operation {
    Ordered(Cell<Value>),
    Checksummed(AtomicU64),
}

pub(crate) struct World {
    view: AtomicU64,
    tables: [Vec<AtomicU64>; 2],
    log: Vec<Vec<Operation>>,
    /// Which segments have been truncated. The kernel orders that, so these are no plain cells.
    truncated: Vec<AtomicBool>,
    /// The newest value of each key that LMDB has.
    lmdb: [AtomicU64; KEYS],
    /// The newest value of each key in the generation that comes after this one.
    next_generation: [AtomicU64; KEYS],
    /// The newest value of each key that somebody knows to be there.
    known: [AtomicU64; KEYS],
    broken: Broken,
    /// A view that is to be stored late. The daemon's alone.
    late: std::cell::Cell<Option<u64>>,
}

impl World {
    /// Returns an empty store with tables of `slots`.
    pub(crate) fn new(slots: usize, bytes: Bytes, broken: Broken) -> Self {
        let table = || (0..slots).map(|_| AtomicU64::new(0)).collect();
        let operation = |_| match bytes {
            Bytes::Ordered => Operation::Ordered(Cell::new(0)),
            Bytes::Checksummed => Operation::Checksummed(AtomicU64::new(0)),
        };
        let per_key = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            view: AtomicU64::new(0),
            tables: [table(), table()],
            log: (0..SEGMENTS).map(|_| (0..OPERATIONS).map(operation).collect()).collect(),
            truncated: (0..SEGMENTS).map(|_| AtomicBool::new(false)).collect(),
            lmdb: per_key(),
            next_generation: per_key(),
            known: per_key(),
            broken,
            late: std::cell::Cell::new(None),
        }
    }

    /// Returns the key of a value.
    pub(crate) fn key_of(value: Value) -> usize {
        value as usize / 100
    }

    /// Says that `value` was acknowledged, or seen by somebody who speaks about it.
    pub(crate) fn tell(&self, value: Value) {
        // Not an acquire: the daemon must not learn from readers what they have seen of it.
        self.known[Self::key_of(value)].fetch_max(value, Ordering::Release);
    }

    /// Stores the view that was held back.
    pub(crate) fn store_late(&self) {
        if let Some(view) = self.late.take() {
            self.view.store(view, Ordering::Release);
        }
    }

    /// Returns the oldest value of `key` that a lookup may see which begins now.
    pub(crate) fn known(&self, key: usize) -> Value {
        self.known[key].load(Ordering::Acquire)
    }

    /// Looks up `key` in the index and the log.
    pub(crate) fn find(&self, words: &impl Words, key: usize) -> Found<Value> {
        find(words, HASH, &mut |at| self.read(at, key))
    }

    /// Reads `key` in a transaction of LMDB that begins now.
    pub(crate) fn lmdb(&self, key: usize) -> Value {
        self.lmdb[key].load(Ordering::Acquire)
    }

    pub(crate) fn commit(&self, value: Value) {
        self.lmdb[Self::key_of(value)].store(value, Ordering::Release);
    }

    /// Opens `current` again and reads `key` there.
    pub(crate) fn next_generation(&self, key: usize) -> Value {
        self.next_generation[key].load(Ordering::Acquire)
    }

    pub(crate) fn put_in_next_generation(&self, value: Value) {
        self.next_generation[Self::key_of(value)].store(value, Ordering::Release);
    }

    pub(crate) fn write(&self, at: Location, value: Value) {
        match self.operation(at) {
            Operation::Ordered(cell) => cell.set(value),
            Operation::Checksummed(word) => word.store(value, Ordering::Relaxed),
        }
    }

    pub(crate) fn truncate(&self, segment: u64) {
        self.truncated[segment as usize].store(true, Ordering::Release);
    }

    /// Reads as `pread` does: nothing from a truncated segment, and from any other what was written.
    fn read(&self, at: Location, key: usize) -> Candidate<Value> {
        if self.truncated[at.segment as usize].load(Ordering::Acquire) {
            return Candidate::Unreadable;
        }
        let value = match self.operation(at) {
            Operation::Ordered(cell) => cell.get(),
            Operation::Checksummed(word) => word.load(Ordering::Relaxed),
        };
        match value {
            0 => Candidate::Unreadable,
            _ if Self::key_of(value) == key => Candidate::Mine(value),
            _ => Candidate::Other,
        }
    }

    fn operation(&self, at: Location) -> &Operation {
        &self.log[at.segment as usize][(at.offset.bytes() / Offset::UNIT) as usize]
    }

    fn word(&self, word: Word) -> &AtomicU64 {
        match word {
            Word::View => &self.view,
            Word::Slot { table, index } => &self.tables[table.index()][index],
        }
    }
}

impl Words for World {
    fn slots(&self) -> usize {
        self.tables[0].len()
    }

    fn load(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Relaxed)
    }

    fn fence(&self, which: Fence) {
        if self.broken != Broken::Without(which) {
            fence(which.order());
        }
    }
}

impl WordsMut for World {
    fn store(&self, word: Word, value: u64, order: Ordering) {
        if self.broken == Broken::LateUse && word == Word::View && !View::from_word(value).is_empty() {
            return self.late.set(Some(value));
        }
        let order = match (word, self.broken) {
            (Word::Slot { .. }, Broken::RelaxedSlots) | (Word::View, Broken::RelaxedView) => Ordering::Relaxed,
            _ => order,
        };
        self.word(word).store(value, order);
    }
}
