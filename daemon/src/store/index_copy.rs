//! A copy of the index, in this build's layout, whatever layout it has.

use std::collections::BTreeMap;
use std::path::Path;

use datacache_proto::layout::{self, LAYOUT};
use datacache_proto::record::Birth;
use heed::{Env, PutFlags, RoTxn};

use super::blob_row::BlobRow;
use super::charge::{blocks, charge, place_row};
use super::counts::{BLOBS_COUNTED, Change, Counts};
use super::environment::open_env;
use super::placing::{PLACE_KEY, Places, place_key};
use super::rows::entry_of;
use super::table_keys::{namespace_of, namespace_prefix};
use super::tables::{Meta, Table, Tables};

/// How much is copied in one transaction, in bytes: its pages are held in memory until the commit.
const COPIED_AT_ONCE: usize = 16 << 20;

/// A place that is to be made.
type NewPlace = ([u8; PLACE_KEY], Vec<u8>, Birth, u64);

impl Tables {
    /// Returns how many bytes a copy takes at most, about: places come on top, on pages that are two thirds full.
    pub(super) fn used_by_copy(&self) -> heed::Result<u64> {
        // Before there is another transaction: a thread has one at a time.
        let used = self.used()?;
        let (txn, mut places) = (self.env.read_txn()?, 0);
        for row in self.all_entries(&txn)? {
            places += place_row(row?.0.len());
        }
        Ok(used + places * 3 / 2)
    }

    /// Copies the index into an empty folder, in this build's layout, whose number is written last.
    ///
    /// Sorted as the rows are, they are appended, which fills pages and is several times as fast as putting them. Up to layout 3 there
    /// were no places, and no charges in the counters: both are made anew then. Between two transactions `goes_on` is asked, and where
    /// that is over, what is there by then is half a copy; tells whether it is whole.
    pub(super) fn copy_to(&self, folder: &Path, goes_on: impl Fn() -> bool) -> heed::Result<bool> {
        let (from, to) = (self.env.read_txn()?, open_env(folder)?);
        // IMPORTANT: the entries first, and they alone. Once the names of others are in the main table, nothing can be appended to it.
        if !copy_rows(self.all_entries(&from)?, &to, layout::tables::ENTRIES, &goes_on)? {
            return Ok(false);
        }
        for (name, table) in self.copied() {
            if !copy_rows(table.iter(&from)?, &to, Some(name), &goes_on)? {
                return Ok(false);
            }
        }
        if self.places.is_none() {
            place_all(self, &from, &to)?;
        }
        let mut txn = to.write_txn()?;
        let meta: Table = to.create_database(&mut txn, Some(layout::tables::META))?;
        meta.put(&mut txn, Meta::Layout.name(), &u64::from(LAYOUT).to_le_bytes())?;
        txn.commit()?;
        to.prepare_for_closing().wait();
        Ok(true)
    }

    /// Returns the tables with a name that are copied as they are.
    fn copied(&self) -> impl Iterator<Item = (&'static str, Table)> {
        let all = [
            (layout::tables::BY_EXPIRY, self.by_expiry),
            (layout::tables::BY_TAG, self.by_tag),
            (layout::tables::BLOBS, self.blobs),
            (layout::tables::LEASES, self.leases),
            (layout::tables::REPLIES, self.replies),
            (layout::tables::META, self.meta),
        ];
        let counters = (layout::tables::COUNTERS, self.counters);
        let with_places = self.places.map(|Places { small, main, moved }| {
            [(layout::tables::SMALL, small), (layout::tables::MAIN, main), (layout::tables::MOVED, moved), counters]
        });
        all.into_iter().chain(with_places.into_iter().flatten())
    }
}

/// Gives every entry the place that it was born with, and counts all of them.
fn place_all(tables: &Tables, from: &RoTxn<'_>, to: &Env) -> heed::Result<()> {
    let mut txn = to.write_txn()?;
    let places = Places::make(|name| to.create_database(&mut txn, name))?;
    let counters: Table = to.create_database(&mut txn, Some(layout::tables::COUNTERS))?;
    txn.commit()?;
    let mut counts: BTreeMap<u32, Counts> = BTreeMap::new();
    let (mut new, mut room) = (Vec::new(), COPIED_AT_ONCE);
    for row in tables.all_entries(from)? {
        let (index_key, row) = row?;
        let counted = counts.entry(namespace_of(index_key).unwrap_or_default()).or_default();
        let Some((namespace, key, record)) = entry_of(index_key, row) else {
            counted.change(Change::more(Counts::of_damaged()));
            continue;
        };
        let charge = charge(namespace, key.encoded(), &record);
        counted.change(Change::more(Counts::of_entry(&record, charge)));
        new.push((place_key(namespace, record.birth.seq), index_key.to_vec(), record.birth, charge));
        room = room.saturating_sub(size_of::<NewPlace>() + index_key.len());
        if room == 0 {
            enter(std::mem::take(&mut new), &places, to)?;
            room = COPIED_AT_ONCE;
        }
    }
    enter(new, &places, to)?;
    counts.insert(BLOBS_COUNTED, count_blobs(tables, from)?);
    let mut txn = to.write_txn()?;
    for (namespace, counts) in counts {
        counters.put(&mut txn, &namespace_prefix(namespace), &counts.encode())?;
    }
    txn.commit()
}

/// Makes places in the order in which they stand, so that those that come together are on few pages.
fn enter(mut new: Vec<NewPlace>, places: &Places, to: &Env) -> heed::Result<()> {
    new.sort_unstable_by_key(|(place, ..)| *place);
    let mut txn = to.write_txn()?;
    for (place, index_key, birth, charge) in new {
        places.enter(&mut txn, namespace_of(&place).unwrap_or_default(), &index_key, birth, charge)?;
    }
    txn.commit()
}

fn count_blobs(tables: &Tables, from: &RoTxn<'_>) -> heed::Result<Counts> {
    let mut counts = Counts::default();
    for row in tables.blobs.iter(from)? {
        let length = BlobRow::decode(row?.1).map_or(0, |row| row.length);
        counts.change(Change::more(Counts { entries: 1, bytes: length, charge: blocks(length), ..Counts::default() }));
    }
    Ok(counts)
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
