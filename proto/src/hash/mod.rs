//! The default key: the hash of the data in lower-case hexadecimal, as oteapi's `gethash` makes it.
//!
//! Bytes are hashed as they are, text as its UTF-8 and everything else as its [canonical JSON
//! text](crate::json). So `42`, `"42"` and `b"42"` share one hash: the key does not tell the type.
//!
//! ```
//! use datacache_proto::hash::{HashType, hash_bytes, hash_json, hash_text};
//!
//! let hash = "a1d0c6e83f027327d8461063f4ac58a6";
//! assert_eq!(hash_bytes(b"42", HashType::Md5), hash);
//! assert_eq!(hash_text("42", HashType::Md5), hash);
//! assert_eq!(hash_json(&42, HashType::Md5)?, hash);
//! # Ok::<(), datacache_proto::json::JsonError>(())
//! ```

mod hash_type;
mod hasher;

pub use hash_type::{HashType, HashTypeError};
pub use hasher::Hasher;

use crate::json::{JsonError, canonical_json};
use serde::Serialize;

/// Returns the hash of `data` as it is.
pub fn hash_bytes(data: &[u8], hash_type: HashType) -> String {
    let mut hasher = Hasher::new(hash_type);
    hasher.update(data);
    hasher.finish()
}

/// Returns the hash of the UTF-8 of `text`.
pub fn hash_text(text: &str, hash_type: HashType) -> String {
    hash_bytes(text.as_bytes(), hash_type)
}

/// Returns the hash of the canonical JSON text of `value`.
///
/// To store the value as well, make the text once with [`canonical_json`] and hash that.
///
/// # Errors
/// Those of [`canonical_json`].
pub fn hash_json<T: Serialize + ?Sized>(value: &T, hash_type: HashType) -> Result<String, JsonError> {
    Ok(hash_text(&canonical_json(value)?, hash_type))
}
