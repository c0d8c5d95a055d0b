//! A value on its way into the cache: its bytes and what they stand for.

use datacache_proto::hash::{HashType, hash_bytes};
use datacache_proto::json::{JsonError, canonical_json};
use datacache_proto::types::Codec;
use serde::Serialize;

use crate::error::Error;
use crate::value::Json;

/// A value to be added: bytes, text, or anything that serde writes, as JSON.
///
/// Usually made by `into()`, behind the scenes.
///
/// # Examples
/// ```
/// use datacache_client::{Codec, Json, NewValue};
///
/// assert_eq!(NewValue::from(b"raw").codec(), Codec::Bytes);
/// assert_eq!(NewValue::from("text").codec(), Codec::Text);
/// assert_eq!(NewValue::from(Json([1, 2])).codec(), Codec::Json);
/// ```
#[derive(Clone, Debug)]
pub struct NewValue {
    codec: Codec,
    /// A value without a JSON text says so when it is added, where errors can be returned.
    bytes: Result<Vec<u8>, JsonError>,
}

impl NewValue {
    /// Takes bytes as they are.
    #[must_use]
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self { codec: Codec::Bytes, bytes: Ok(bytes) }
    }

    /// Takes text.
    #[must_use]
    pub fn text(text: String) -> Self {
        Self { codec: Codec::Text, bytes: Ok(text.into_bytes()) }
    }

    /// Takes the canonical JSON text of `value`.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        Self { codec: Codec::Json, bytes: canonical_json(value).map(String::into_bytes) }
    }

    /// Takes the bytes as they are stored of a value of this kind.
    pub(crate) fn of(codec: Codec, bytes: Vec<u8>) -> Self {
        Self { codec, bytes: Ok(bytes) }
    }

    /// Takes JSON text that is canonical already.
    pub(crate) fn canonical(text: String) -> Self {
        Self { codec: Codec::Json, bytes: Ok(text.into_bytes()) }
    }

    /// Returns what the bytes stand for.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns how many bytes there are, 0 where there is no JSON text.
    pub(crate) fn length(&self) -> u64 {
        self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)
    }

    /// Returns the bytes as they are stored.
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, Error> {
        Ok(self.bytes?)
    }
}

/// Makes a value of anything that serde writes, as JSON: `cache.add(json(&config))`.
pub fn json<T: Serialize + ?Sized>(value: &T) -> NewValue {
    NewValue::json(value)
}

/// Returns the key that `value` gets where none is given: its hash in lower-case hexadecimal.
///
/// # Errors
/// [`Error::Json`] where the value has no JSON text.
///
/// # Examples
/// ```
/// use datacache_client::{HashType, hash_of};
///
/// assert_eq!(hash_of("42", HashType::Md5)?, "a1d0c6e83f027327d8461063f4ac58a6");
/// # Ok::<(), datacache_client::Error>(())
/// ```
pub fn hash_of(value: impl Into<NewValue>, hash_type: HashType) -> Result<String, Error> {
    Ok(hash_bytes(&value.into().into_bytes()?, hash_type))
}

impl From<Vec<u8>> for NewValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes)
    }
}

impl From<&Vec<u8>> for NewValue {
    fn from(bytes: &Vec<u8>) -> Self {
        Self::bytes(bytes.clone())
    }
}

impl From<&[u8]> for NewValue {
    fn from(bytes: &[u8]) -> Self {
        Self::bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for NewValue {
    fn from(bytes: &[u8; N]) -> Self {
        Self::bytes(bytes.to_vec())
    }
}

impl From<&str> for NewValue {
    fn from(text: &str) -> Self {
        Self::text(text.to_owned())
    }
}

impl From<&String> for NewValue {
    fn from(text: &String) -> Self {
        Self::text(text.clone())
    }
}

impl From<String> for NewValue {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl<T: Serialize> From<Json<T>> for NewValue {
    fn from(value: Json<T>) -> Self {
        Self::json(&value.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn one_content_has_one_hash_whatever_it_stands_for() {
        let hashes = [
            hash_of(Json(42), HashType::Sha256).unwrap(),
            hash_of("42", HashType::Sha256).unwrap(),
            hash_of(b"42", HashType::Sha256).unwrap(),
        ];
        assert!(hashes.iter().all(|hash| *hash == hashes[0]));
    }

    #[test]
    fn json_is_stored_as_its_canonical_text() {
        let value = json(&BTreeMap::from([("b", 1.0), ("a", f64::NAN)]));
        assert_eq!(value.into_bytes().unwrap(), br#"{"a": NaN, "b": 1.0}"#);
    }

    #[test]
    fn a_value_without_json_text_is_refused_when_it_is_added() {
        let value = json(&BTreeMap::from([([1_u8], 1)]));
        assert!(value.into_bytes().unwrap_err().is_invalid_input());
    }
}
