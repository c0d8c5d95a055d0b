//! An index in ordinary memory, of any size, that counts what a lookup costs. For unit tests.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::{Candidate, Fence, Found, KeyHash, Location, Offset, Table, Word, Words, WordsMut, begin, find};

pub(super) struct Plain {
    view: Cell<u64>,
    tables: [Vec<Cell<u64>>; 2],
    pub(super) slots_loaded: Cell<usize>,
}

impl Plain {
    /// Returns an index with tables of `slots`, in which `segment` is active.
    pub(super) fn beginning_with(segment: u64, slots: usize) -> Self {
        let table = || vec![Cell::new(0); slots];
        let words = Self { view: Cell::new(0), tables: [table(), table()], slots_loaded: Cell::new(0) };
        begin(&words, segment);
        words
    }

    pub(super) fn used(&self, table: Table) -> usize {
        self.tables[table.index()].iter().filter(|slot| slot.get() != 0).count()
    }

    /// Looks up a key whose operations are at `mine`; everything else is of other keys.
    pub(super) fn find_among(&self, hash: KeyHash, mine: &[Location]) -> Found<Location> {
        find(self, hash, &mut |at| if mine.contains(&at) { Candidate::Mine(at) } else { Candidate::Other })
    }

    fn cell(&self, word: Word) -> &Cell<u64> {
        match word {
            Word::View => &self.view,
            Word::Slot { table, index } => &self.tables[table.index()][index],
        }
    }
}

impl Words for Plain {
    fn slots(&self) -> usize {
        self.tables[0].len()
    }

    fn load(&self, word: Word) -> u64 {
        let slot = matches!(word, Word::Slot { .. });
        self.slots_loaded.set(self.slots_loaded.get() + usize::from(slot));
        self.cell(word).get()
    }

    fn fence(&self, _: Fence) {}
}

impl WordsMut for Plain {
    fn store(&self, word: Word, value: u64, _: Ordering) {
        self.cell(word).set(value);
    }
}

/// Returns the hash of a key that begins its probe at `place`.
pub(super) fn hash_at(place: usize, tag: u32) -> KeyHash {
    KeyHash::from_bits(u64::from(tag) << 32 | place as u64)
}

/// Returns the location of the operation `number` of a segment.
pub(super) fn location(segment: u64, number: u64) -> Location {
    let offset = Offset::from_bytes(number * 64).expect("a small multiple of 8");
    Location { segment, offset }
}
