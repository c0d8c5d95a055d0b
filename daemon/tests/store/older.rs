//! Makes a store one of an older layout.

use std::collections::BTreeMap;
use std::path::Path;

use datacache_proto::layout::{meta, tables};
use heed::types::Bytes;
use heed::{Database, Env, EnvOpenOptions, RwTxn};

pub(crate) type Table = Database<Bytes, Bytes>;

/// What the table of entries was called.
pub(crate) const ENTRIES_OF_2: &str = "entries";
/// The table of entries by their sequence numbers.
pub(crate) const BY_SEQ_OF_1: &str = "by_seq";

/// Makes the live generation one of an older layout: the entries have a table of their own, their log is as it was.
pub(crate) fn age(store: &Path, layout: u32) {
    with_index(&store.join("current"), |env, txn| {
        let main: Table = env.open_database(txn, tables::ENTRIES).unwrap().unwrap();
        let is_entry = |row: &(Vec<u8>, Vec<u8>)| row.0[..] < *tables::END_OF_ENTRIES;
        let rows = main.iter(txn).unwrap().map(|row| row.map(|(key, row)| (key.to_vec(), row.to_vec())).unwrap());
        let rows: BTreeMap<_, _> = rows.take_while(is_entry).collect();
        let entries: Table = env.create_database(txn, Some(ENTRIES_OF_2)).unwrap();
        for (key, row) in &rows {
            main.delete(txn, key).unwrap();
            entries.put(txn, key, row).unwrap();
        }
        if layout == 1 {
            let by_seq: Table = env.create_database(txn, Some(BY_SEQ_OF_1)).unwrap();
            by_seq.put(txn, b"seq", b"key").unwrap();
        }
        let numbers: Table = env.open_database(txn, Some(tables::META)).unwrap().unwrap();
        numbers.put(txn, meta::LAYOUT, &u64::from(layout).to_le_bytes()).unwrap();
    });
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
