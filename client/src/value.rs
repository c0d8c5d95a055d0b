//! A value that was found, and what it can be read as.

use std::fmt;
use std::ops::Deref;

use datacache_proto::json::from_canonical;
use datacache_proto::types::Codec;
use memmap2::Mmap;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// A value as it was when it was looked up; later changes of the entry don't reach it.
///
/// It is a byte slice to look at. A large one is a map of the store's file: it takes no memory of its own, its bytes are read
/// when they are looked at, and it stays valid when the entry is deleted. If the disk fails under it, the system ends the
/// process (SIGBUS); see [`Options::mapped`](crate::Options::mapped).
pub struct Value {
    codec: Codec,
    version: u64,
    bytes: Bytes,
}

/// Where the bytes of a value are.
pub(crate) enum Bytes {
    /// In memory of our own.
    Owned(Vec<u8>),
    /// In a file of the store.
    Mapped(Mmap),
}

impl Value {
    pub(crate) fn new(codec: Codec, version: u64, bytes: Bytes) -> Self {
        Self { codec, version, bytes }
    }

    /// Returns what the bytes stand for.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns the version of the content, which grows with everything that is added to the store.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the text of a value that was added as text.
    ///
    /// # Errors
    /// [`Error::WrongType`] for any other value.
    pub fn as_text(&self) -> Result<&str, Error> {
        self.expect(Codec::Text)?;
        self.utf8()
    }

    /// Reads a value that was added as JSON.
    ///
    /// # Errors
    /// [`Error::WrongType`] for any other value, [`Error::Json`] where it does not fit `T`.
    pub fn as_json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.expect(Codec::Json)?;
        Ok(from_canonical(self.utf8()?)?)
    }

    /// Returns the bytes in memory of their own, whatever they stand for.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        match self.bytes {
            Bytes::Owned(bytes) => bytes,
            Bytes::Mapped(map) => map.to_vec(),
        }
    }

    fn expect(&self, expected: Codec) -> Result<(), Error> {
        if self.codec == expected { Ok(()) } else { Err(Error::WrongType { key: None, expected, found: self.codec }) }
    }

    fn utf8(&self) -> Result<&str, Error> {
        std::str::from_utf8(self).map_err(|error| Error::NotText { valid_up_to: error.valid_up_to() as u64 })
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Owned(bytes) => bytes,
            Bytes::Mapped(map) => map,
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value {
    /// Tells all but the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("codec", &self.codec)
            .field("version", &self.version)
            .field("len", &self.len())
            .finish()
    }
}

/// A type that values can be read as; each reads one [`Codec`] and refuses the others.
pub trait FromValue: Sized {
    /// Takes the value.
    ///
    /// # Errors
    /// [`Error::WrongType`] where the value has another codec.
    fn from_value(value: Value) -> Result<Self, Error>;
}

impl FromValue for Value {
    /// Takes a value of any codec.
    fn from_value(value: Value) -> Result<Self, Error> {
        Ok(value)
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self, Error> {
        value.expect(Codec::Bytes)?;
        Ok(value.into_vec())
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, Error> {
        value.expect(Codec::Text)?;
        Self::from_utf8(value.into_vec())
            .map_err(|error| Error::NotText { valid_up_to: error.utf8_error().valid_up_to() as u64 })
    }
}

/// Any serde type, added as JSON and read back from it.
///
/// # Examples
/// ```
/// use datacache_client::{HashType, Json, hash_of};
/// use std::collections::BTreeMap;
///
/// let value = BTreeMap::from([("b", 1), ("a", 2)]);
/// assert_eq!(hash_of(Json(&value), HashType::Md5)?, hash_of(r#"{"a": 2, "b": 1}"#, HashType::Md5)?);
/// # Ok::<(), datacache_client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromValue for Json<T> {
    fn from_value(value: Value) -> Result<Self, Error> {
        value.as_json().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(codec: Codec, bytes: &[u8]) -> Value {
        Value::new(codec, 1, Bytes::Owned(bytes.to_vec()))
    }

    #[test]
    fn each_codec_is_read_as_its_own_type() {
        assert_eq!(Vec::from_value(value(Codec::Bytes, b"42")).unwrap(), b"42");
        assert_eq!(String::from_value(value(Codec::Text, b"42")).unwrap(), "42");
        assert_eq!(Json::<u8>::from_value(value(Codec::Json, b"42")).unwrap(), Json(42));
        assert_eq!(value(Codec::Text, b"42").as_text().unwrap(), "42");
    }

    #[test]
    fn no_reader_is_handed_another_type_silently() {
        assert!(Vec::from_value(value(Codec::Text, b"42")).unwrap_err().is_wrong_type());
        assert!(Vec::from_value(value(Codec::Json, b"42")).unwrap_err().is_wrong_type());
        assert!(String::from_value(value(Codec::Bytes, b"42")).unwrap_err().is_wrong_type());
        assert!(Json::<u8>::from_value(value(Codec::Text, b"42")).unwrap_err().is_wrong_type());
        assert!(value(Codec::Json, b"42").as_text().unwrap_err().is_wrong_type());
    }

    #[test]
    fn json_that_does_not_fit_says_so() {
        let error = value(Codec::Json, b"[1]").as_json::<u8>().unwrap_err();
        assert!(matches!(error, Error::Json(_)), "{error}");
    }

    #[test]
    fn text_that_is_damaged_is_an_error_and_not_a_panic() {
        assert!(matches!(value(Codec::Text, b"a\xff").as_text(), Err(Error::NotText { valid_up_to: 1 })));
    }
}
