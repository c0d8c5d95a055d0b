//! The shared words in a mapped file.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use thiserror::Error;

use super::layout::{HEADER_WORDS, MAGIC_AT, MARK_AT, SLOTS, TABLES, VIEW_AT, WORDS};
use super::{Fence, Header, HeaderError, Mark, Word, Words, WordsMut};

/// `recent` mapped for reading. Free to make: only the length is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Mapped<'a>(&'a [AtomicU64; WORDS]);

/// `recent` mapped for writing: the daemon's. A store through it into a map that is read-only is a fault.
#[derive(Clone, Copy, Debug)]
pub struct MappedMut<'a>(Mapped<'a>);

/// A map that is not as long as `recent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the index has {found} words instead of {WORDS}")]
pub struct LengthError {
    /// The length of the map in 64-bit words.
    pub found: usize,
}

impl<'a> Mapped<'a> {
    /// Looks at `words` as `recent`.
    ///
    /// # Errors
    /// If there are not exactly [`WORDS`] of them.
    #[inline]
    pub fn new(words: &'a [AtomicU64]) -> Result<Self, LengthError> {
        words.try_into().map(Self).map_err(|_| LengthError { found: words.len() })
    }

    /// Reads what `recent` says about itself; compare it by [`Header::check`].
    ///
    /// # Errors
    /// If this is no index, one of another layout, or a damaged one.
    pub fn header(self) -> Result<Header, HeaderError> {
        Header::from_words(&std::array::from_fn::<_, HEADER_WORDS, _>(|at| self.word(at)))
    }

    /// Returns whether the store was closed in order.
    pub fn mark(self) -> Mark {
        Mark::from_word(self.word(MARK_AT))
    }

    #[inline]
    fn word(self, at: usize) -> u64 {
        u64::from_le(self.0[at].load(Ordering::Relaxed))
    }
}

impl<'a> MappedMut<'a> {
    /// Looks at `words`, which can be stored to, as `recent`.
    ///
    /// # Errors
    /// If there are not exactly [`WORDS`] of them.
    #[inline]
    pub fn new(words: &'a [AtomicU64]) -> Result<Self, LengthError> {
        Mapped::new(words).map(Self)
    }

    /// Returns the same words, for reading.
    #[inline]
    pub fn as_mapped(self) -> Mapped<'a> {
        self.0
    }

    /// Writes what `recent` says about itself, the magic last. Once, before the file can be seen by others.
    pub fn write_header(self, header: &Header) {
        for (at, word) in header.to_words().into_iter().enumerate().rev() {
            let order = if at == MAGIC_AT { Ordering::Release } else { Ordering::Relaxed };
            self.set_word(at, word, order);
        }
    }

    /// Says whether the store is in use. The caller makes it durable.
    pub fn set_mark(self, mark: Mark) {
        self.set_word(MARK_AT, mark.to_word(), Ordering::Release);
    }

    #[inline]
    fn set_word(self, at: usize, value: u64, order: Ordering) {
        self.0.0[at].store(value.to_le(), order);
    }
}

/// The mask spares the check of a bound; the slots of the protocol are below [`SLOTS`] anyway.
#[inline]
const fn position(word: Word) -> usize {
    match word {
        Word::View => VIEW_AT,
        Word::Slot { table, index } => TABLES + table.index() * SLOTS + (index & (SLOTS - 1)),
    }
}

impl Words for Mapped<'_> {
    #[inline]
    fn slots(&self) -> usize {
        SLOTS
    }

    #[inline]
    fn load(&self, word: Word) -> u64 {
        self.word(position(word))
    }

    #[inline]
    fn fence(&self, which: Fence) {
        fence(which.order());
    }
}

impl Words for MappedMut<'_> {
    #[inline]
    fn slots(&self) -> usize {
        self.0.slots()
    }

    #[inline]
    fn load(&self, word: Word) -> u64 {
        self.0.load(word)
    }

    #[inline]
    fn fence(&self, which: Fence) {
        self.0.fence(which);
    }
}

impl WordsMut for MappedMut<'_> {
    #[inline]
    fn store(&self, word: Word, value: u64, order: Ordering) {
        self.set_word(position(word), value, order);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::*;

    fn fresh() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn a_map_of_another_length_is_refused() {
        let words = fresh();
        assert_eq!(Mapped::new(&words[1..]).unwrap_err(), LengthError { found: WORDS - 1 });
        assert!(Mapped::new(&words).is_ok());
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        let words = fresh();
        let recent = MappedMut::new(&words).unwrap();
        let header = Header { store: 3 << 100 | 1, boot: 4 << 90 | 2, device: 5, inode: 6, mount: 7 };
        recent.write_header(&header);
        assert_eq!(recent.as_mapped().header(), Ok(header));
    }

    #[test]
    fn a_file_that_nobody_wrote_is_no_index() {
        assert_eq!(Mapped::new(&fresh()).unwrap().header(), Err(HeaderError::Magic { found: 0 }));
    }

    #[test]
    fn every_word_has_a_place_of_its_own() {
        let words = fresh();
        let recent = MappedMut::new(&words).unwrap();
        recent.set_mark(Mark::Closed);
        let slots = [Table::Even, Table::Odd].map(|table| [0, SLOTS - 1].map(|index| Word::Slot { table, index }));
        let all = [Word::View].into_iter().chain(slots.into_iter().flatten());
        for (value, word) in (1..).zip(all.clone()) {
            recent.store(word, value, Ordering::Relaxed);
        }
        assert!(all.map(|word| recent.load(word)).eq(1..=5));
        assert_eq!(recent.as_mapped().mark(), Mark::Closed);
        assert_eq!(words.iter().filter(|word| word.load(Ordering::Relaxed) != 0).count(), 6);
    }
}
