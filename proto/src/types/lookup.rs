//! What a reader is told of one key: the value itself, or what leads to it.

use serde::{Deserialize, Serialize};

use super::{Codec, Digest};

/// The answer to a look at one key: found here, found as a blob, or not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lookup {
    /// No live entry has this key.
    Miss,
    /// The value's bytes are here.
    Inline {
        /// What the bytes stand for.
        codec: Codec,
        /// The version of the content.
        version: u64,
        /// The value.
        #[serde(with = "serde_bytes")]
        value: Vec<u8>,
    },
    /// The value is a file of the store.
    Blob {
        /// What the bytes stand for.
        codec: Codec,
        /// The version of the content.
        version: u64,
        /// Its length in bytes.
        length: u64,
        /// Its name.
        digest: Digest,
    },
}

/// A value that the daemon holds open for a client that can't reach the store's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Names it in `read` and `close` on this connection.
    pub handle: u64,
    /// What the bytes stand for.
    pub codec: Codec,
    /// Its length in bytes.
    pub length: u64,
    /// The SHA-256 that the bytes must have.
    pub digest: Digest,
}
