//! A copy of the index, in this build's layout, whatever layout it has.

use std::path::Path;

use datacache_proto::layout::{self, LAYOUT};
use heed::{Env, PutFlags};

use super::tables::{Meta, Table, Tables, open_env};

/// How much is copied in one transaction, in bytes: its pages are held in memory until the commit.
const COPIED_AT_ONCE: usize = 16 << 20;

impl Tables {
    /// Copies the index into an empty folder, in this build's layout, whose number is written last.
    ///
    /// Sorted as the rows are, they are appended, which fills pages and is several times as fast as putting them. Between two
    /// transactions `goes_on` is asked, and where that is over, what is there by then is half a copy; tells whether it is whole.
    pub(super) fn copy_to(&self, folder: &Path, goes_on: impl Fn() -> bool) -> heed::Result<bool> {
        let (from, to) = (self.env.read_txn()?, open_env(folder)?);
        // IMPORTANT: the entries first, and they alone. Once the names of others are in the main table, nothing can be appended to it.
        if !copy_rows(self.all_entries(&from)?, &to, layout::tables::ENTRIES, &goes_on)? {
            return Ok(false);
        }
        let tables = [
            (Some(layout::tables::BY_EXPIRY), self.by_expiry),
            (Some(layout::tables::BY_TAG), self.by_tag),
            (Some(layout::tables::BLOBS), self.blobs),
            (Some(layout::tables::LEASES), self.leases),
            (Some(layout::tables::REPLIES), self.replies),
            (Some(layout::tables::COUNTERS), self.counters),
            (Some(layout::tables::META), self.meta),
        ];
        for (name, table) in tables {
            if !copy_rows(table.iter(&from)?, &to, name, &goes_on)? {
                return Ok(false);
            }
        }
        let mut txn = to.write_txn()?;
        let meta: Table = to.create_database(&mut txn, Some(layout::tables::META))?;
        meta.put(&mut txn, Meta::Layout.name(), &u64::from(LAYOUT).to_le_bytes())?;
        txn.commit()?;
        to.prepare_for_closing().wait();
        Ok(true)
    }
}

/// Appends rows to a table in another environment, as long as that goes on; tells whether all are there.
fn copy_rows<'t>(
    mut rows: impl Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>>,
    to: &Env,
    name: Option<&str>,
    goes_on: impl Fn() -> bool,
) -> heed::Result<bool> {
    while goes_on() {
        let mut txn = to.write_txn()?;
        let copy: Table = to.create_database(&mut txn, name)?;
        let mut room = COPIED_AT_ONCE;
        while room > 0 {
            let Some(row) = rows.next() else { return txn.commit().map(|()| true) };
            let (key, row) = row?;
            copy.put_with_flags(&mut txn, PutFlags::APPEND, key, row)?;
            room = room.saturating_sub(key.len() + row.len());
        }
        txn.commit()?;
    }
    Ok(false)
}
