//! Keys: what names an entry within its namespace, how long it may be, and how it sorts in the store.

mod namespace;
mod tag;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::namespace::{DEFAULT_NAMESPACE, MAX_NAMESPACE, NamespaceError, check_namespace};
pub use self::tag::{MAX_TAG, MAX_TAGS, Tag, TagError, check_tags};

/// The longest key in bytes (64 KiB), not counting the byte that tells its kind.
pub const MAX_KEY: usize = 64 * 1024;

const TEXT: u8 = 1;
const BYTES: u8 = 2;
const INTEGER: u8 = 3;

/// The name of an entry within its namespace: text, bytes or an integer.
///
/// The three kinds never collide: `"42"`, `b"42"` and `42` are three keys. Text and byte keys are 1 byte to
/// [`MAX_KEY`] long; [`Key::check`] says so for keys that are not. Keys sort by kind, then by value.
///
/// # Examples
/// ```
/// use datacache_proto::key::Key;
///
/// assert_ne!(Key::from("42"), Key::from(42_i64));
/// assert!(Key::from("").check().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(#[serde(with = "serde_bytes")] Vec<u8>);

impl Key {
    /// Makes a key of text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::of_kind(TEXT, text.as_bytes())
    }

    /// Makes a key of bytes.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::of_kind(BYTES, bytes)
    }

    /// Makes a key of an integer.
    #[must_use]
    #[expect(
        clippy::big_endian_bytes,
        reason = "LMDB sorts keys by their bytes; the flipped sign sorts negatives first"
    )]
    pub fn integer(integer: i64) -> Self {
        Self::of_kind(INTEGER, &(integer ^ i64::MIN).to_be_bytes())
    }

    fn of_kind(kind: u8, content: &[u8]) -> Self {
        let mut encoded = Vec::with_capacity(1 + content.len());
        encoded.push(kind);
        encoded.extend_from_slice(content);
        Self(encoded)
    }

    /// Takes a key as [`Key::encoded`] gave it.
    ///
    /// # Errors
    /// Where the bytes are no key, see [`Key::check`].
    pub fn from_encoded(encoded: &[u8]) -> Result<Self, KeyError> {
        let key = Self(encoded.to_vec());
        key.check().map(|()| key)
    }

    /// Returns the kind's byte followed by the content: what is hashed, stored and compared.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text of a text key.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self.0.split_first() {
            Some((&TEXT, text)) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// Returns the bytes of a byte key.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self.0.split_first() {
            Some((&BYTES, bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the number of an integer key.
    #[must_use]
    #[expect(clippy::big_endian_bytes, reason = "the inverse of `integer`")]
    pub fn as_integer(&self) -> Option<i64> {
        match self.0.split_first() {
            Some((&INTEGER, bytes)) => Some(i64::from_be_bytes(bytes.try_into().ok()?) ^ i64::MIN),
            _ => None,
        }
    }

    /// Checks that the key is well formed and that its length is within bounds.
    ///
    /// # Errors
    /// [`KeyError`] says which bound it breaks.
    pub fn check(&self) -> Result<(), KeyError> {
        Self::check_encoded(&self.0)
    }

    /// The same of a key as [`Key::encoded`] gives it.
    ///
    /// # Errors
    /// [`KeyError`] says which bound it breaks.
    pub fn check_encoded(encoded: &[u8]) -> Result<(), KeyError> {
        let Some((&kind, content)) = encoded.split_first() else {
            return Err(KeyError::Empty);
        };
        match kind {
            TEXT | BYTES if content.is_empty() => Err(KeyError::Empty),
            TEXT | BYTES if content.len() > MAX_KEY => Err(KeyError::TooLong { length: content.len() as u64 }),
            TEXT if std::str::from_utf8(content).is_err() => Err(KeyError::NotUtf8),
            INTEGER if content.len() != 8 => Err(KeyError::Malformed),
            TEXT | BYTES | INTEGER => Ok(()),
            _ => Err(KeyError::Malformed),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<&String> for Key {
    fn from(text: &String) -> Self {
        Self::text(text)
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::text(&text)
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self::bytes(bytes)
    }
}

impl<const N: usize> From<&[u8; N]> for Key {
    fn from(bytes: &[u8; N]) -> Self {
        Self::bytes(bytes)
    }
}

impl From<i64> for Key {
    fn from(integer: i64) -> Self {
        Self::integer(integer)
    }
}

impl From<Key> for Bytes {
    /// What [`Key::encoded`] gives, without copying it.
    fn from(key: Key) -> Self {
        key.0.into()
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

impl fmt::Display for Key {
    /// Text as it is, integers in decimal, bytes as `0x` and hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.as_text() {
            f.write_str(text)
        } else if let Some(integer) = self.as_integer() {
            write!(f, "{integer}")
        } else {
            f.write_str("0x")?;
            self.0.iter().skip(1).try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A key that can't name an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum KeyError {
    /// It has no content.
    #[error("the key is empty; give at least one byte, or no key at all to use the hash of the data")]
    Empty,
    /// It is longer than [`MAX_KEY`].
    #[error("the key is {length} bytes long, the limit is {MAX_KEY}; use a hash of it as the key")]
    TooLong {
        /// Its length in bytes.
        length: u64,
    },
    /// A text key is not UTF-8.
    #[error("the text key is not valid UTF-8")]
    NotUtf8,
    /// Its kind is not known to this build, or its content does not fit the kind.
    #[error("the key is of a kind that this build does not know")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_keys_are_kept_apart() {
        let keys = [Key::from("42"), Key::from(b"42"), Key::from(42)];
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert_eq!(keys[0].as_text(), Some("42"));
        assert_eq!(keys[1].as_bytes(), Some(&b"42"[..]));
        assert_eq!(keys[2].as_integer(), Some(42));
    }

    #[test]
    fn integer_keys_sort_as_numbers() {
        let mut keys: Vec<_> = [3, i64::MIN, -1, i64::MAX, 0].map(Key::from).into();
        keys.sort();
        let numbers: Vec<_> = keys.iter().filter_map(Key::as_integer).collect();
        assert_eq!(numbers, [i64::MIN, -1, 0, 3, i64::MAX]);
    }

    #[test]
    fn the_longest_key_is_taken_and_one_byte_more_is_refused() {
        assert_eq!(Key::bytes(&vec![7; MAX_KEY]).check(), Ok(()));
        assert_eq!(Key::bytes(&vec![7; MAX_KEY + 1]).check(), Err(KeyError::TooLong { length: 65_537 }));
        assert_eq!(Key::text("").check(), Err(KeyError::Empty));
    }

    #[test]
    fn encoded_bytes_that_are_no_key_are_refused() {
        assert_eq!(Key::from_encoded(&[]), Err(KeyError::Empty));
        assert_eq!(Key::from_encoded(&[TEXT, 0xff]), Err(KeyError::NotUtf8));
        assert_eq!(Key::from_encoded(&[INTEGER, 1]), Err(KeyError::Malformed));
        assert_eq!(Key::from_encoded(&[9, 1]), Err(KeyError::Malformed));
    }
}
