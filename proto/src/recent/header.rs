//! What `recent` says about itself: whose it is, and where it was made.

use std::fmt;

use thiserror::Error;

use super::layout::{
    BOOT_AT, CHECKSUM_AT, DEVICE_AT, HEADER_WORDS, INODE_AT, LAYOUT_VERSION, MAGIC, MAGIC_AT, MOUNT_AT, STORE_AT,
    VERSION_AT,
};
use crate::header_words::{checksum, halves, whole};

/// The constant fields: a reader trusts shared memory only if each is what it expects.
///
/// A copied or restored store has another inode, one mounted into a container another mount id, one of before a reboot
/// another boot id: in all of these the daemon's stores may not reach the map in front of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Drawn at random when the store was made.
    pub store: u128,
    /// The kernel's boot id when this file was made.
    pub boot: u128,
    /// The device this file is on.
    pub device: u64,
    /// This file's inode.
    pub inode: u64,
    /// The mount through which the daemon opened it.
    pub mount: u64,
}

/// A constant field of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// [`Header::store`]
    Store,
    /// [`Header::boot`]
    Boot,
    /// [`Header::device`]
    Device,
    /// [`Header::inode`]
    Inode,
    /// [`Header::mount`]
    Mount,
}

/// Why an index is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The file is something else.
    #[error("no index: its first word is {found:#x}")]
    Magic {
        /// The first word.
        found: u64,
    },
    /// Another build made it, one that this build can't read.
    #[error("index of layout {found}, this build knows {LAYOUT_VERSION}")]
    Layout {
        /// Its layout version.
        found: u64,
    },
    /// The constant fields are damaged.
    #[error("index with checksum {found:#x}, its fields have {expected:#x}")]
    Checksum {
        /// The checksum of the fields that are there.
        expected: u64,
        /// The checksum that is there.
        found: u64,
    },
    /// It belongs elsewhere.
    #[error("index of another {field}: {found:#x} instead of {expected:#x}")]
    Foreign {
        /// The first field that does not fit.
        field: Field,
        /// What the reader knows.
        expected: u128,
        /// What the index says.
        found: u128,
    },
}

impl Header {
    /// Compares what the index says with what the reader knows.
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

    fn fields(&self) -> [(Field, u128); 5] {
        [
            (Field::Store, self.store),
            (Field::Boot, self.boot),
            (Field::Device, self.device.into()),
            (Field::Inode, self.inode.into()),
            (Field::Mount, self.mount.into()),
        ]
    }

    pub(super) fn to_words(self) -> [u64; HEADER_WORDS] {
        let mut words = [0; HEADER_WORDS];
        words[MAGIC_AT] = MAGIC;
        words[VERSION_AT] = LAYOUT_VERSION;
        [words[STORE_AT], words[STORE_AT + 1]] = halves(self.store);
        [words[BOOT_AT], words[BOOT_AT + 1]] = halves(self.boot);
        words[DEVICE_AT] = self.device;
        words[INODE_AT] = self.inode;
        words[MOUNT_AT] = self.mount;
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
        Ok(Self {
            store: whole(words[STORE_AT], words[STORE_AT + 1]),
            boot: whole(words[BOOT_AT], words[BOOT_AT + 1]),
            device: words[DEVICE_AT],
            inode: words[INODE_AT],
            mount: words[MOUNT_AT],
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store => "store",
            Self::Boot => "boot",
            Self::Device => "device",
            Self::Inode => "file",
            Self::Mount => "mount",
        })
    }
}

/// Whether LMDB alone has everything: what a reader of another boot goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The daemon runs, or died: the log may have operations that LMDB has not.
    InUse,
    /// The daemon applied everything before it ended.
    Closed,
}

impl Mark {
    /// Two words that no single damaged bit turns into one another, nor a fresh page into `Closed`.
    const CLOSED: u64 = u64::from_le_bytes(*b"closed..");
    const IN_USE: u64 = u64::from_le_bytes(*b"in use..");

    pub(super) const fn to_word(self) -> u64 {
        match self {
            Self::InUse => Self::IN_USE,
            Self::Closed => Self::CLOSED,
        }
    }

    /// Takes anything unknown for `InUse`, the answer that only costs time.
    pub(super) const fn from_word(word: u64) -> Self {
        if word == Self::CLOSED { Self::Closed } else { Self::InUse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { store: 1 << 64 | 2, boot: 3 << 64 | 4, device: 5, inode: 6, mount: 7 };

    #[test]
    fn words_are_where_the_layout_draws_them() {
        let words = HEADER.to_words();
        assert_eq!(&words[0].to_le_bytes(), b"dcrecent");
        assert_eq!(words[1..9], [LAYOUT_VERSION, 2, 1, 4, 3, 5, 6, 7]);
        assert_eq!(Header::from_words(&words), Ok(HEADER));
    }

    #[test]
    fn each_field_that_does_not_fit_is_named() {
        let others = [
            (Field::Store, Header { store: 9, ..HEADER }),
            (Field::Boot, Header { boot: 9, ..HEADER }),
            (Field::Device, Header { device: 9, ..HEADER }),
            (Field::Inode, Header { inode: 9, ..HEADER }),
            (Field::Mount, Header { mount: 9, ..HEADER }),
        ];
        for (expected_field, other) in others {
            let error = other.check(&HEADER).unwrap_err();
            assert!(
                matches!(error, HeaderError::Foreign { field, found: 9, .. } if field == expected_field),
                "{expected_field}: {error}"
            );
        }
        assert_eq!(HEADER.check(&HEADER), Ok(()));
    }

    #[test]
    fn an_index_of_another_layout_is_told_from_no_index() {
        let mut words = HEADER.to_words();
        words[VERSION_AT] = LAYOUT_VERSION + 1;
        assert_eq!(Header::from_words(&words), Err(HeaderError::Layout { found: LAYOUT_VERSION + 1 }));
        words[MAGIC_AT] += 1;
        assert_eq!(Header::from_words(&words), Err(HeaderError::Magic { found: MAGIC + 1 }));
    }

    #[test]
    fn any_flipped_bit_of_a_constant_field_is_found() {
        for bit in 0..HEADER_WORDS * 64 {
            let mut words = HEADER.to_words();
            words[bit / 64] ^= 1 << (bit % 64);
            assert!(Header::from_words(&words).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_unknown_mark_means_in_use() {
        assert_eq!(Mark::from_word(Mark::Closed.to_word()), Mark::Closed);
        assert_eq!(Mark::from_word(Mark::InUse.to_word()), Mark::InUse);
        assert_eq!(Mark::from_word(0), Mark::InUse);
        assert_eq!(Mark::from_word(Mark::CLOSED ^ 1), Mark::InUse);
    }

    #[test]
    fn errors_say_what_is_and_what_should_be() {
        let error = Header { boot: 0xab, ..HEADER }.check(&Header { boot: 0xcd, ..HEADER }).unwrap_err();
        assert_eq!(error.to_string(), "index of another boot: 0xab instead of 0xcd");
    }
}
