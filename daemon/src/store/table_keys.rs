//! How the keys of LMDB's tables are laid out, but for those of entries, which clients look for too: those are in
//! [`datacache_proto::layout`].

use datacache_proto::time::Timestamp;

/// How long a key of `by_expiry` is.
pub(super) const EXPIRY_KEY: usize = 20;

/// Returns the first bytes of every key of a namespace.
#[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
pub(super) fn namespace_prefix(namespace: u32) -> [u8; 4] {
    namespace.to_be_bytes()
}

/// Returns the namespace that a key of any of its tables begins with.
#[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
pub(super) fn namespace_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(..4)?.try_into().ok()?))
}

/// Returns a key of `by_expiry`; version 0 sorts before every entry of that moment.
#[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
pub(super) fn expiry_key(namespace: u32, expires: Timestamp, version: u64) -> [u8; EXPIRY_KEY] {
    let mut key = [0; EXPIRY_KEY];
    key[..4].copy_from_slice(&namespace.to_be_bytes());
    key[4..12].copy_from_slice(&expires.as_millis().to_be_bytes());
    key[12..].copy_from_slice(&version.to_be_bytes());
    key
}

/// Returns the moment in a key of `by_expiry`.
#[expect(clippy::big_endian_bytes, reason = "the inverse of `expiry_key`")]
pub(super) fn expiry_of(key: &[u8]) -> Option<Timestamp> {
    Some(Timestamp::from_millis(u64::from_be_bytes(key.get(4..12)?.try_into().ok()?)))
}

/// Returns what all keys of `by_tag` for a tag begin with.
pub(super) fn tag_prefix(namespace: u32, tag: &str) -> Vec<u8> {
    let mut key = namespace_prefix(namespace).to_vec();
    key.extend_from_slice(tag.as_bytes());
    key.push(0);
    key
}

/// Returns how long a key of `by_tag` is.
pub(super) fn tag_key_length(tag: &str) -> usize {
    4 + tag.len() + 1 + 8
}

/// Returns a key of `by_tag`.
#[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
pub(super) fn tag_key(namespace: u32, tag: &str, version: u64) -> Vec<u8> {
    let mut key = tag_prefix(namespace, tag);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_expiry_index_sort_by_time_within_a_namespace() {
        let key = |namespace, millis| expiry_key(namespace, Timestamp::from_millis(millis), 9);
        assert!(key(1, 255) < key(1, 256) && key(1, u64::MAX) < key(2, 0));
        assert_eq!(expiry_of(&key(1, 77)), Some(Timestamp::from_millis(77)));
    }

    #[test]
    fn a_tag_that_begins_another_does_not_share_its_rows() {
        assert!(!tag_key(1, "ab", 1).starts_with(&tag_prefix(1, "a")));
        assert!(tag_key(1, "a", 1).starts_with(&tag_prefix(1, "a")));
        assert_eq!(tag_key(1, "ab", 1).len(), tag_key_length("ab"));
    }

    #[test]
    fn the_longest_tag_fits_a_key() {
        assert!(
            tag_key(1, &"x".repeat(datacache_proto::key::MAX_TAG), u64::MAX).len()
                <= datacache_proto::layout::MAX_INDEX_KEY
        );
    }
}
