//! What `access` says about itself: whose it is, and whose processes count in it.

use std::fmt;

use thiserror::Error;

use super::layout::{CHECKSUM_AT, HEADER_WORDS, LAYOUT_VERSION, MAGIC, MAGIC_AT, PROCESSES_AT, STORE_AT, VERSION_AT};
use crate::header_words::{checksum, halves, whole};

/// The constant fields: a process maps the file for writing only if each is what it expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Drawn at random when the store was made.
    pub store: u128,
    /// The daemon's namespace of processes, from [`pid_namespace`](crate::process::pid_namespace). Process numbers mean
    /// something in one alone: LMDB keeps those of its readers.
    ///
    /// 0 where the system does not tell the daemon: no client shares such a store's memory.
    pub pid_namespace: u64,
}

/// A constant field of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// [`Header::store`]
    Store,
    /// [`Header::pid_namespace`]
    PidNamespace,
}

/// Why the file is not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The file is something else.
    #[error("no file of counters: its first word is {found:#x}")]
    Magic {
        /// The first word.
        found: u64,
    },
    /// Another build made it, one that this build can't read.
    #[error("counters of layout {found}, this build knows {LAYOUT_VERSION}")]
    Layout {
        /// Its layout version.
        found: u64,
    },
    /// The constant fields are damaged.
    #[error("counters with checksum {found:#x}, their fields have {expected:#x}")]
    Checksum {
        /// The checksum of the fields that are there.
        expected: u64,
        /// The checksum that is there.
        found: u64,
    },
    /// It belongs elsewhere.
    #[error("counters of another {field}: {found:#x} instead of {expected:#x}")]
    Foreign {
        /// The first field that does not fit.
        field: Field,
        /// What the process knows.
        expected: u128,
        /// What the file says.
        found: u128,
    },
}

impl Header {
    /// Compares what the file says with what the process knows.
    ///
    /// # Errors
    /// Names the first field that does not fit.
    pub fn check(&self, expected: &Self) -> Result<(), HeaderError> {
        for ((field, found), (_, expected)) in self.fields().into_iter().zip(expected.fields()) {
            if found != expected {
                return Err(HeaderError::Foreign { field, expected, found });
            }
        }
        Ok(())
    }

    fn fields(&self) -> [(Field, u128); 2] {
        [(Field::Store, self.store), (Field::PidNamespace, self.pid_namespace.into())]
    }

    pub(super) fn to_words(self) -> [u64; HEADER_WORDS] {
        let mut words = [0; HEADER_WORDS];
        words[MAGIC_AT] = MAGIC;
        words[VERSION_AT] = LAYOUT_VERSION;
        [words[STORE_AT], words[STORE_AT + 1]] = halves(self.store);
        words[PROCESSES_AT] = self.pid_namespace;
        words[CHECKSUM_AT] = checksum(&words[..CHECKSUM_AT]);
        words
    }

    pub(super) fn from_words(words: &[u64; HEADER_WORDS]) -> Result<Self, HeaderError> {
        // Magic and version come first: what another version checks, and how, is its own business.
        if words[MAGIC_AT] != MAGIC {
            return Err(HeaderError::Magic { found: words[MAGIC_AT] });
        }
        if words[VERSION_AT] != LAYOUT_VERSION {
            return Err(HeaderError::Layout { found: words[VERSION_AT] });
        }
        let (expected, found) = (checksum(&words[..CHECKSUM_AT]), words[CHECKSUM_AT]);
        if found != expected {
            return Err(HeaderError::Checksum { expected, found });
        }
        Ok(Self { store: whole(words[STORE_AT], words[STORE_AT + 1]), pid_namespace: words[PROCESSES_AT] })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store => "store",
            Self::PidNamespace => "namespace of processes",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { store: 1 << 64 | 2, pid_namespace: 3 };

    #[test]
    fn words_are_where_the_layout_draws_them() {
        let words = HEADER.to_words();
        assert_eq!(&words[0].to_le_bytes(), b"dcaccess");
        assert_eq!(words[1..5], [LAYOUT_VERSION, 2, 1, 3]);
        assert_eq!(Header::from_words(&words), Ok(HEADER));
    }

    #[test]
    fn each_field_that_does_not_fit_is_named() {
        let error = Header { store: 9, ..HEADER }.check(&HEADER).unwrap_err();
        assert_eq!(error.to_string(), "counters of another store: 0x9 instead of 0x10000000000000002");
        let error = Header { pid_namespace: 9, ..HEADER }.check(&HEADER).unwrap_err();
        assert_eq!(error.to_string(), "counters of another namespace of processes: 0x9 instead of 0x3");
        assert_eq!(HEADER.check(&HEADER), Ok(()));
    }

    #[test]
    fn a_file_of_another_layout_is_told_from_any_other_file() {
        let mut words = HEADER.to_words();
        words[VERSION_AT] = LAYOUT_VERSION + 1;
        assert_eq!(Header::from_words(&words), Err(HeaderError::Layout { found: LAYOUT_VERSION + 1 }));
        words[MAGIC_AT] = 0;
        assert_eq!(Header::from_words(&words), Err(HeaderError::Magic { found: 0 }));
    }

    #[test]
    fn any_flipped_bit_of_a_constant_field_is_found() {
        for bit in 0..HEADER_WORDS * 64 {
            let mut words = HEADER.to_words();
            words[bit / 64] ^= 1 << (bit % 64);
            assert!(Header::from_words(&words).is_err(), "bit {bit}");
        }
    }
}
