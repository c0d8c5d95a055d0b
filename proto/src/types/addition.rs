//! A value that is added, on its way into the store, and what became of it.

use serde::{Deserialize, Serialize};

use super::{Codec, Digest};
use crate::key::{Key, Tag};
use crate::lists::{TAGS, at_most};
use crate::time::Timestamp;

/// A value to be added, with all that is kept about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addition {
    /// The namespace's name.
    pub namespace: String,
    /// The entry's key.
    pub key: Key,
    /// What the bytes stand for.
    pub codec: Codec,
    /// The value, or where it lies.
    pub body: Body,
    /// When the entry ends by itself; `None` for never.
    pub expires: Option<Timestamp>,
    /// The entry's tags, at most [`crate::key::MAX_TAGS`].
    #[serde(deserialize_with = "at_most::<TAGS, _, _>")]
    pub tags: Vec<Tag>,
    /// The scope that the entry is bound to: it lives while a scope lives that it is bound to.
    pub scope: Option<u64>,
    /// Whether it stays when there is no room for all; its time still ends.
    pub pinned: bool,
    /// Whether the answer waits until the entry survives a loss of power.
    pub durable: bool,
}

/// A value on its way into the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// The bytes themselves, at most `inline_max`.
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A file that the client wrote into the store's staging folder and holds locked.
    Staged {
        /// Its name there: one component.
        name: String,
        /// Its length in bytes.
        length: u64,
        /// Its SHA-256, as the client counted it.
        digest: Digest,
    },
    /// What this connection sent by `upload`.
    Uploaded {
        /// The number that `upload_begin` gave.
        upload: u64,
        /// The sum of the chunks in bytes.
        length: u64,
    },
}

/// What became of an [`Addition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// The version of the content, which leases and later checks refer to.
    pub version: u64,
    /// Whether a live entry was there before under this key.
    pub replaced: bool,
}
