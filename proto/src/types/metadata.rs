//! What is known of an entry without its value.

use serde::{Deserialize, Serialize};

use super::{Codec, Digest};
use crate::key::{Key, Tag};
use crate::time::Timestamp;

/// All that is kept about an entry, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its key.
    pub key: Key,
    /// What its bytes stand for.
    pub codec: Codec,
    /// Its value's length in bytes.
    pub size: u64,
    /// Its tags, sorted.
    pub tags: Vec<Tag>,
    /// When its content was added.
    pub created: Timestamp,
    /// When it ends; `None` for never.
    pub expires: Option<Timestamp>,
    /// The version of its content; grows with every new content of the store.
    pub version: u64,
    /// Whether it is bound to a scope.
    pub bound: bool,
    /// Whether it stays when there is no room for all.
    pub pinned: bool,
    /// The name of its blob, where the value is a file of its own.
    pub digest: Option<Digest>,
}
