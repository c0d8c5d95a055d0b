//! The names in a store's folder and the shape of its index: what daemon and clients have to find without asking.
//!
//! ```text
//! STORE/current -> gen-N       the live generation; swapped by rename
//! STORE/gen-N/                 data.mdb, lock.mdb (LMDB), recent (the shared index), access (hints and counters),
//!                              checked (which blobs were hashed since the boot),
//!                              log/NNNNNNNN (segments)
//! STORE/blobs/ab/<sha256>      values above `inline_max`
//! STORE/staging/               uploads under way
//! STORE/lock                   the daemon's flock
//! STORE/sock -> SOCKET         where that daemon listens
//! STORE/CACHEDIR.TAG           tells backup programs to skip the folder
//! ```
//!
//! # The table of entries is LMDB's main one
//! LMDB looks a named table up in its main table, by its name, anew in each transaction: a tenth of what a `get` took. So the
//! entries lie in the main table, where LMDB keeps the names of the other tables as keys too. That is sound:
//! - A key of an entry begins with the number of its namespace, 4 bytes big-endian. Namespaces are numbered up to
//!   [`MAX_NAMESPACES`], so the first byte is 0; a name is ASCII, so its first byte is not. No entry has a table's name for its
//!   key, and no range of keys that begin with a namespace's number has a name in it.
//! - All entries are before all names: who looks at all of them ends at [`tables::END_OF_ENTRIES`]. Who counts the main table's
//!   rows counts the names; entries are counted in `counters`.
//! - LMDB keeps names in a main table of any flags but those for doubles and for keys that are integers, and it has none.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::types::Digest;

/// The version of everything in a store's folder; a store of another one is refused.
pub const LAYOUT: u32 = 4;

/// The link to the live generation.
pub const CURRENT: &str = "current";
/// What a generation's folder is called, before its number.
pub const GENERATION_PREFIX: &str = "gen-";
/// LMDB's file in a generation's folder: the index.
pub const DATA_FILE: &str = "data.mdb";
/// LMDB's table of readers in a generation's folder, which clients store to.
pub const LOCK_FILE: &str = "lock.mdb";
/// The shared index, in a generation's folder.
pub const RECENT: &str = "recent";
/// The shared hints and counters, in a generation's folder.
pub const ACCESS: &str = "access";
/// Which blobs were checked since the boot, in a generation's folder.
pub const CHECKED: &str = "checked";
/// The folder of segments, in a generation's folder.
pub const LOG: &str = "log";
/// The folder of blobs.
pub const BLOBS: &str = "blobs";
/// The folder of uploads under way.
pub const STAGING: &str = "staging";
/// The file that the daemon holds locked.
pub const LOCK: &str = "lock";
/// The link to the socket of the daemon that holds the lock.
pub const SOCKET_LINK: &str = "sock";
/// The file that tells backup programs to skip the folder.
pub const CACHEDIR_TAG: &str = "CACHEDIR.TAG";
/// The file that a started daemon writes its log to.
pub const DAEMON_LOG: &str = "daemon.log";

/// The slots of LMDB's reader table. Whoever opens a store first sizes it, so there is one number for all.
pub const READER_SLOTS: u32 = 1_024;
/// The sizes of LMDB's map that are tried in turn, in bytes: 1 TiB, and less where the system refuses that much.
pub const MAP_SIZES: [usize; 5] = [1 << 40, 1 << 38, 1 << 36, 1 << 34, 1 << 32];

/// Names of LMDB's tables.
pub mod tables {
    /// (namespace, key) to record: the main table, which has no name.
    pub const ENTRIES: Option<&str> = None;
    /// Above all keys of entries, and below the names of the other tables, which are keys of the main table too.
    pub const END_OF_ENTRIES: &[u8] = &[1];
    /// (namespace, expiry, version) to index key.
    pub const BY_EXPIRY: &str = "by_expiry";
    /// (namespace, tag, version) to index key.
    pub const BY_TAG: &str = "by_tag";
    /// SHA-256 to length, references and whether it is verified.
    pub const BLOBS: &str = "blobs";
    /// (version, scope) to holder and entry.
    pub const LEASES: &str = "leases";
    /// Client to its last replies.
    pub const REPLIES: &str = "replies";
    /// Counters of each namespace.
    pub const COUNTERS: &str = "counters";
    /// Name to number.
    pub const META: &str = "meta";
    /// (namespace, number) to the entry that has this place in the eviction's small queue.
    pub const SMALL: &str = "small";
    /// The same of the main queue.
    pub const MAIN: &str = "main";
    /// Birth to place, of entries that have another than they were born with.
    pub const MOVED: &str = "moved";
    /// How many of them have a name.
    pub const COUNT: u32 = 10;
}

/// Names of the rows of the table `meta` that readers look at; each is a u64, little-endian.
pub mod meta {
    /// The layout of everything in the folder: [`LAYOUT`](super::LAYOUT).
    pub const LAYOUT: &[u8] = b"layout";
    /// The lower half of the store's random identity.
    pub const STORE_ID_LOW: &[u8] = b"store_id_low";
    /// The upper half of it.
    pub const STORE_ID_HIGH: &[u8] = b"store_id_high";
}

/// The number of the namespace that holds the names of the others: text key to number (u32, little-endian).
pub const DIRECTORY_NAMESPACE: u32 = 0;

/// The highest number of a namespace. IMPORTANT: below 2^24, so that the first byte of every index key is 0.
pub const MAX_NAMESPACES: u32 = 65_536;

/// The longest index key that LMDB takes, in bytes.
pub const MAX_INDEX_KEY: usize = 511;
/// A longer key is cut to this much, its SHA-256 put behind; the record then has the whole key.
const KEPT_OF_LONG_KEY: usize = MAX_INDEX_KEY - NAMESPACE_LENGTH - 32;
const NAMESPACE_LENGTH: usize = 4;
/// Set in the kind's byte of a cut key, so that it never equals a whole one.
const CUT: u8 = 0x80;

/// A key of the table of entries: the namespace (big-endian, so that LMDB keeps a namespace together), then the encoded
/// key, cut where it is too long.
#[derive(Clone)]
pub struct IndexKey {
    /// A short one, which is where it takes no allocation, and little to clear.
    near: [u8; NEAR],
    length: usize,
    /// Any other one; else empty.
    far: Vec<u8>,
}

/// Long enough for a key that is a hash.
const NEAR: usize = 128;

impl IndexKey {
    fn of(pieces: &[&[u8]]) -> Self {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        let mut key = Self { near: [0; NEAR], length, far: Vec::new() };
        if length > NEAR {
            key.far = pieces.concat();
            return key;
        }
        let mut rest = &mut key.near[..];
        for piece in pieces {
            let (place, behind) = rest.split_at_mut(piece.len());
            place.copy_from_slice(piece);
            rest = behind;
        }
        key
    }
}

impl Deref for IndexKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.far.is_empty() { &self.near[..self.length] } else { &self.far }
    }
}

impl fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IndexKey").field(&&**self).finish()
    }
}

/// Returns the key of the table of entries for an encoded key.
#[must_use]
#[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
pub fn index_key(namespace: u32, key: &[u8]) -> IndexKey {
    use sha2::Digest as _;
    let namespace = namespace.to_be_bytes();
    if !is_cut(key) {
        return IndexKey::of(&[&namespace, key]);
    }
    let mut index_key = IndexKey::of(&[&namespace, &key[..KEPT_OF_LONG_KEY], &sha2::Sha256::digest(key)]);
    index_key.far[NAMESPACE_LENGTH] |= CUT;
    index_key
}

/// Returns what the index keys begin with of all keys that begin with the encoded `prefix`: of whole ones, and of cut ones.
/// A prefix longer than what is kept of a key lets more keys pass than it should; compare the keys themselves.
#[must_use]
#[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
pub fn index_prefixes(namespace: u32, prefix: &[u8]) -> [Vec<u8>; 2] {
    [(0, MAX_INDEX_KEY - NAMESPACE_LENGTH), (CUT, KEPT_OF_LONG_KEY)].map(|(mark, kept)| {
        let mut begin = namespace.to_be_bytes().to_vec();
        begin.extend_from_slice(&prefix[..prefix.len().min(kept)]);
        if let Some(kind) = begin.get_mut(NAMESPACE_LENGTH) {
            *kind |= mark;
        }
        begin
    })
}

/// Tells whether the record of this key has to hold the whole key.
#[must_use]
pub fn is_cut(key: &[u8]) -> bool {
    NAMESPACE_LENGTH + key.len() > MAX_INDEX_KEY
}

/// Returns the encoded key in an index key, `None` where it was cut and stands in the record instead.
#[must_use]
pub fn key_of_index_key(index_key: &[u8]) -> Option<&[u8]> {
    let key = index_key.get(NAMESPACE_LENGTH..)?;
    (key.first()? & CUT == 0).then_some(key)
}

/// Returns the name of a segment's file.
#[must_use]
pub fn segment_name(number: u64) -> String {
    format!("{number:08}")
}

/// Returns the path of a blob below the store's folder.
#[must_use]
pub fn blob_path(store: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.to_string();
    store.join(BLOBS).join(&hex[..2]).join(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_keys_stand_in_the_index_whole() {
        let key = vec![1; MAX_INDEX_KEY - 4];
        let index_key = index_key(7, &key);
        assert_eq!(index_key.len(), MAX_INDEX_KEY);
        assert_eq!(key_of_index_key(&index_key), Some(&key[..]));
        assert!(!is_cut(&key));
    }

    #[test]
    fn an_index_key_has_all_bytes_of_a_key_wherever_it_is_kept() {
        for length in [0, 1, NEAR - 5, NEAR - 4, NEAR - 3, 400, MAX_INDEX_KEY - 4] {
            let key: Vec<u8> = (0..length).map(|at| 1 + (at % 100) as u8).collect();
            assert_eq!(*index_key(0x0102_0304, &key), [&[1, 2, 3, 4], &key[..]].concat());
        }
    }

    #[test]
    fn all_keys_of_entries_are_before_the_names_of_tables() {
        let names =
            [tables::BY_EXPIRY, tables::BY_TAG, tables::BLOBS, tables::LEASES, tables::REPLIES, tables::COUNTERS];
        let names = [&names[..], &[tables::META, tables::SMALL, tables::MAIN, tables::MOVED]].concat();
        assert_eq!(names.len(), tables::COUNT as usize);
        assert!(names.iter().all(|name| name.as_bytes() > tables::END_OF_ENTRIES));
        for namespace in [DIRECTORY_NAMESPACE, 1, MAX_NAMESPACES] {
            for key in [&[0xff; 1][..], &[0xff; 60_000]] {
                assert!(*index_key(namespace, key) < *tables::END_OF_ENTRIES, "{namespace}");
            }
        }
    }

    #[test]
    fn long_keys_are_cut_and_stay_apart() {
        let mut key = vec![1; 60_000];
        let first = index_key(7, &key);
        *key.last_mut().unwrap() = 2;
        let second = index_key(7, &key);
        assert_eq!((first.len(), second.len()), (MAX_INDEX_KEY, MAX_INDEX_KEY));
        assert_ne!(*first, *second);
        assert_eq!(key_of_index_key(&first), None);
    }

    #[test]
    fn the_prefixes_of_index_keys_cover_whole_and_cut_keys() {
        for prefix in [&b"\x01ab"[..], &[1; 600]] {
            let prefixes = index_prefixes(7, prefix);
            for more in [0, 1, 500, 60_000] {
                let key = [prefix, &vec![9; more]].concat();
                let index_key = index_key(7, &key);
                assert!(prefixes.iter().any(|begin| index_key.starts_with(begin)), "{} + {more}", prefix.len());
            }
        }
    }

    #[test]
    fn a_whole_key_that_looks_like_a_cut_one_is_still_another() {
        let long = vec![1; 60_000];
        let cut = index_key(7, &long);
        let mut forged = cut[4..].to_vec();
        forged[0] &= !CUT;
        assert_ne!(*index_key(7, &forged), *cut);
    }

    #[test]
    fn blobs_are_spread_over_folders_by_their_first_byte() {
        let path = blob_path(Path::new("/s"), &Digest([0xab; 32]));
        assert_eq!(path, Path::new("/s/blobs/ab").join("ab".repeat(32)));
    }
}
