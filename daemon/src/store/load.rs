//! What a store learns from its index when it is opened.

use datacache_proto::key::Key;
use datacache_proto::layout::DIRECTORY_NAMESPACE;
use datacache_proto::record::Value;

use super::body::decode_lease_key;
use super::memory::Memory;
use super::replies::ClientReplies;
use super::rows::entry_of;
use super::table_keys::namespace_prefix;
use super::tables::{Meta, Tables};

/// Learns by heart what the index knows.
pub(super) fn load(tables: &Tables) -> heed::Result<Memory> {
    let mut memory = Memory::default();
    let txn = tables.env.read_txn()?;
    let mut names = Vec::new();
    for row in tables.entries.prefix_iter(&txn, &namespace_prefix(DIRECTORY_NAMESPACE))? {
        let (index_key, row) = row?;
        let Some((_, key, record)) = entry_of(index_key, row) else { continue };
        if let (Some(name), Value::Inline(number)) = (key.as_text(), record.value) {
            names.extend(number.try_into().ok().map(|number| (name.to_owned(), u32::from_le_bytes(number))));
        }
    }
    memory.load(names, tables.all_counts(&txn)?);
    for row in tables.leases.iter(&txn)? {
        let (lease, entry) = row?;
        let Some(((version, holder), (namespace, key))) = decode_lease_key(lease).zip(entry.split_at_checked(4)) else {
            continue;
        };
        let namespace = u32::from_le_bytes(namespace.try_into().unwrap_or_default());
        if let Ok(key) = Key::from_encoded(key) {
            memory.load_lease(version, namespace, key.encoded(), holder);
        }
    }
    for row in tables.replies.iter(&txn)? {
        let (client, replies) = row?;
        if let Ok(client) = client.try_into() {
            memory.replies_mut().load(u64::from_le_bytes(client), ClientReplies::decode(replies));
        }
    }
    Ok(memory)
}

/// Returns the last sequence number whose operation is in the index.
pub(super) fn applied(tables: &Tables) -> heed::Result<u64> {
    let txn = tables.env.read_txn()?;
    Ok(tables.meta(&txn, Meta::Applied)?.unwrap_or(0))
}
