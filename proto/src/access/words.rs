//! The shared words, and what they say about themselves.

use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::layout::{HEADER_WORDS, MAGIC_AT, SPREAD_AT, WORDS};
use super::{Header, HeaderError};

/// `access`, mapped for writing. Free to make: only the length is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a>(pub(super) &'a [AtomicU64; WORDS]);

/// A map that is not as long as `access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the counters have {found} words instead of {WORDS}")]
pub struct LengthError {
    /// The length of the map in 64-bit words.
    pub found: usize,
}

impl<'a> Access<'a> {
    /// Looks at `words`, which can be stored to, as `access`.
    ///
    /// # Errors
    /// If there are not exactly [`WORDS`] of them.
    #[inline]
    pub fn new(words: &'a [AtomicU64]) -> Result<Self, LengthError> {
        words.try_into().map(Self).map_err(|_| LengthError { found: words.len() })
    }

    /// Reads what `access` says about itself; compare it by [`Header::check`].
    ///
    /// # Errors
    /// If this is another file, one of another layout, or a damaged one.
    pub fn header(self) -> Result<Header, HeaderError> {
        Header::from_words(&std::array::from_fn::<_, HEADER_WORDS, _>(|at| self.0[at].load(Ordering::Relaxed)))
    }

    /// Writes what `access` says about itself, the magic last. Once, before the file can be seen by others.
    pub fn write_header(self, header: &Header) {
        for (at, word) in header.to_words().into_iter().enumerate().rev() {
            let order = if at == MAGIC_AT { Ordering::Release } else { Ordering::Relaxed };
            self.0[at].store(word, order);
        }
    }

    /// Takes over the counters and marks of an earlier file of the same store. Before the file can be seen.
    pub fn copy_from(self, earlier: Access<'_>) {
        for (word, earlier) in self.0.iter().zip(earlier.0).skip(SPREAD_AT) {
            word.store(earlier.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reads;
    use super::super::testing::fresh;
    use super::*;
    use crate::recent::KeyHash;

    const HEADER: Header = Header { store: 3 << 100 | 1, pid_namespace: 2 };

    #[test]
    fn a_map_of_another_length_is_refused() {
        let words = fresh();
        assert_eq!(Access::new(&words[1..]).unwrap_err(), LengthError { found: WORDS - 1 });
        assert!(Access::new(&words).is_ok());
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        let words = fresh();
        let access = Access::new(&words).unwrap();
        assert_eq!(access.header(), Err(HeaderError::Magic { found: 0 }));
        access.write_header(&HEADER);
        assert_eq!(access.header(), Ok(HEADER));
    }

    #[test]
    fn counts_and_marks_are_taken_over_and_callers_are_not() {
        let (words, earlier) = (fresh(), fresh());
        let [access, earlier] = [&words, &earlier].map(|words| Access::new(words).unwrap());
        let hash = KeyHash::of(1, b"key");
        access.write_header(&HEADER);
        earlier.mark(hash);
        earlier.count(3, 1, true);
        earlier.count(7, u32::MAX, false);
        earlier.set_callers(9);

        access.copy_from(earlier);
        assert_eq!(access.header(), Ok(HEADER));
        assert_eq!(access.frequency(hash), 1);
        assert_eq!(access.all_reads(), Reads { hits: 1, misses: 1 });
        assert_eq!(access.callers(), 0);
    }
}
