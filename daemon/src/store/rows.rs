//! From rows of the index to entries.

use datacache_proto::key::Key;
use datacache_proto::layout::key_of_index_key;
use datacache_proto::recent::KeyHash;
use datacache_proto::record::Record;
use heed::RoTxn;

use super::table_keys::namespace_of;
use super::tables::Tables;

/// Returns what a row of `entries` is about; `None` where it is damaged.
pub(super) fn entry_of<'r>(index_key: &[u8], row: &'r [u8]) -> Option<(u32, Key, Record<'r>)> {
    let namespace = namespace_of(index_key)?;
    let key = key_of(index_key, row)?;
    let record = Record::decode(row, KeyHash::of(namespace, key.encoded()).to_bits()).ok()?;
    Some((namespace, key, record))
}

/// The same of a row whose checksum was looked at before.
pub(super) fn unchecked_entry_of<'r>(index_key: &[u8], row: &'r [u8]) -> Option<(u32, Key, Record<'r>)> {
    Some((namespace_of(index_key)?, key_of(index_key, row)?, Record::unchecked(row).ok()?))
}

/// Returns the key of a row of `entries`: from the index key, or from the record where it is cut there.
pub(super) fn key_of(index_key: &[u8], row: &[u8]) -> Option<Key> {
    let encoded = match key_of_index_key(index_key) {
        Some(encoded) => encoded,
        None => Record::unchecked_key(row)?,
    };
    Key::from_encoded(encoded).ok()
}

/// Returns the key that an index key stands for; `None` where it is cut and its entry is gone or damaged.
pub(super) fn key_in(tables: &Tables, txn: &RoTxn<'_>, index_key: &[u8]) -> heed::Result<Option<Key>> {
    if let Some(encoded) = key_of_index_key(index_key) {
        return Ok(Key::from_encoded(encoded).ok());
    }
    let row = tables.entry(txn, index_key)?;
    Ok(row.and_then(|row| key_of(index_key, row)))
}
