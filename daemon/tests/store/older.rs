//! Makes a store one of an older layout: with the tables, rows and records that builds of that time left.

use std::collections::BTreeMap;
use std::path::Path;

use datacache_proto::layout::{key_of_index_key, meta, tables};
use datacache_proto::recent::KeyHash;
use datacache_proto::record::Record;
use heed::types::Bytes;
use heed::{Database, Env, EnvOpenOptions, RwTxn};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) type Table = Database<Bytes, Bytes>;

/// What the table of entries was called.
pub(crate) const ENTRIES_OF_2: &str = "entries";
/// The table of entries by their sequence numbers.
pub(crate) const BY_SEQ_OF_1: &str = "by_seq";

/// Makes the live generation one of an older layout; its log is as it was. Up to layout 2 the entries have a table of their own.
pub(crate) fn age(store: &Path, layout: u32) {
    with_index(&store.join("current"), |env, txn| {
        let main: Table = env.open_database(txn, tables::ENTRIES).unwrap().unwrap();
        let is_entry = |row: &(Vec<u8>, Vec<u8>)| row.0[..] < *tables::END_OF_ENTRIES;
        let rows = main.iter(txn).unwrap().map(|row| row.map(|(key, row)| (key.to_vec(), row.to_vec())).unwrap());
        let rows: BTreeMap<_, _> = rows.take_while(is_entry).collect();
        let name = if layout == 3 { tables::ENTRIES } else { Some(ENTRIES_OF_2) };
        let entries: Table = env.create_database(txn, name).unwrap();
        for (key, row) in &rows {
            main.delete(txn, key).unwrap();
            entries.put(txn, key, &of_format_1(key, row)).unwrap();
        }
        forget_places(env, txn);
        cut_counters(env, txn);
        if layout == 1 {
            let by_seq: Table = env.create_database(txn, Some(BY_SEQ_OF_1)).unwrap();
            by_seq.put(txn, b"seq", b"key").unwrap();
        }
        let numbers: Table = env.open_database(txn, Some(tables::META)).unwrap().unwrap();
        numbers.put(txn, meta::LAYOUT, &u64::from(layout).to_le_bytes()).unwrap();
    });
}

#[expect(clippy::big_endian_bytes, reason = "index keys begin with it")]
fn namespace_of(index_key: &[u8]) -> u32 {
    u32::from_be_bytes(index_key[..4].try_into().unwrap())
}

/// Returns a record as it was before entries had a birth.
fn of_format_1(index_key: &[u8], row: &[u8]) -> Vec<u8> {
    let key = key_of_index_key(index_key).or_else(|| Record::unchecked_key(row)).unwrap();
    let seed = KeyHash::of(namespace_of(index_key), key).to_bits();
    Record::decode(row, seed).unwrap();
    let mut row = row.to_vec();
    row.drain(56..64);
    row[8] = 1;
    row[10] &= 7;
    row[15] = 0;
    let checksum = xxh3_64_with_seed(&row[8..], seed);
    row[..8].copy_from_slice(&checksum.to_le_bytes());
    row
}

/// Their names stay, which LMDB does not take back.
fn forget_places(env: &Env, txn: &mut RwTxn<'_>) {
    for name in [tables::SMALL, tables::MAIN, tables::MOVED] {
        let table: Table = env.open_database(txn, Some(name)).unwrap().unwrap();
        table.clear(txn).unwrap();
    }
}

/// Takes the charges out of the counters.
fn cut_counters(env: &Env, txn: &mut RwTxn<'_>) {
    let counters: Table = env.open_database(txn, Some(tables::COUNTERS)).unwrap().unwrap();
    let rows = counters.iter(txn).unwrap().map(|row| row.map(|(key, row)| (key.to_vec(), row.to_vec())).unwrap());
    for (key, row) in rows.collect::<Vec<_>>() {
        counters.put(txn, &key, &row[..16]).unwrap();
    }
}

/// Opens an index behind the daemon's back, and commits what `look` does to it.
#[expect(unsafe_code, reason = "LMDB maps its file")]
pub(crate) fn with_index<T>(folder: &Path, look: impl FnOnce(&Env, &mut RwTxn<'_>) -> T) -> T {
    let mut options = EnvOpenOptions::new();
    options.map_size(1 << 30).max_dbs(tables::COUNT + 2);
    // SAFETY: no daemon has the index open, and this process opens it once.
    let env = unsafe { options.open(folder) }.unwrap();
    let mut txn = env.write_txn().unwrap();
    let seen = look(&env, &mut txn);
    txn.commit().unwrap();
    env.prepare_for_closing().wait();
    seen
}
