//! What the daemon keeps of an entry.

use std::fs;
use std::path::Path;

use datacache_proto::layout::{BLOBS, blob_path};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Addition, Digest, Metadata};
use sha2::Digest as _;

use super::limits::INLINE_MAX;

/// An entry, its value in memory even if it is a blob as well.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) addition: Addition,
    pub(crate) value: Vec<u8>,
    pub(crate) version: u64,
}

impl Entry {
    pub(super) fn digest(&self) -> Digest {
        Digest(sha2::Sha256::digest(&self.value).into())
    }

    pub(super) fn metadata(&self) -> Metadata {
        Metadata {
            key: self.addition.key.clone(),
            codec: self.addition.codec,
            size: self.value.len() as u64,
            tags: self.addition.tags.clone(),
            created: Timestamp::from_millis(1),
            expires: self.addition.expires,
            version: self.version,
            bound: self.addition.scope.is_some(),
            pinned: false,
            digest: None,
        }
    }

    /// Writes the value as a file of the store, where it is too large for a call and the store has a folder for such.
    pub(super) fn write_blob(&self, store: &Path) {
        if self.value.len() as u64 > INLINE_MAX && store.join(BLOBS).exists() {
            let path = blob_path(store, &self.digest());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &self.value).unwrap();
        }
    }
}
