//! Packing: rows of the index that stand on sparse pages are put again on fewer.
//!
//! LMDB joins a page with its neighbour only when both are less than a quarter full. Keys lie as hashes do, so what is evicted leaves a
//! little of every page: half of all entries may go before pages do. No way to join pages is open to us, but one to fill them: rows that
//! are put in ascending order behind the last row of a page fill it, all but for one row, and then the next. So a run of rows is deleted
//! and put again, in one transaction. Nothing changes but where the rows stand: readers, recovery and counters don't notice.
//!
//! # What is in the way
//! A page that falls below a quarter takes rows of its left neighbour, or of the right one if it is the first below its branch. There the
//! run's rows would come to stand before others, and pages that get rows in their midst are split in half. So a run is deleted from its
//! end: pages give their rows away to the left, where they are deleted next. Some rows before a run stay where they are, a quarter of a
//! page and more ([`KEPT_SHARE`]); and runs are long ([`RUN`]), for only at their ends, and where a branch ends, is anything lost.
//!
//! # When it is worth its while
//! Rows lie in LMDB's map, so the address of a key says which page it is on. A run is looked at first: how many pages it has, and how many
//! it would have. What brings too little is left as it is, and that is found without a write. Large values have pages of their own,
//! which are full: those that are larger than [`LARGE`] end a run.

use std::ops::Bound;

use datacache_proto::layout;
use heed::{RoTxn, RwTxn};

use super::failpoint::failpoint;
use super::filling::{Filled, beside, fill, pages_for};
use super::placing::Places;
use super::tables::{Table, Tables};

/// How many bytes of rows a run has, about: a transaction takes some ten milliseconds then.
const RUN: usize = 1 << 20;
/// How many bytes of rows are looked at in one go, where nothing is worth it.
const LOOKED_AT: usize = 16 << 20;
/// A row with a larger value stays where it is.
const LARGE: usize = 16 << 10;
/// What stays on the page before a run, of a page: more than the quarter from which on LMDB takes rows of other pages.
const KEPT_SHARE: (usize, usize) = (3, 10);
/// Packing is worth it where it frees a part of the bytes that it moves which is as large as this.
const WORTH: usize = 6;
/// As many pages are lost at the ends of a run.
const LOST: usize = 2;

/// How far packing has come: the number of a table, and the key from which on rows are to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PackedTo {
    table: usize,
    key: Vec<u8>,
}

/// What came of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Packed {
    /// Where to go on.
    pub(super) to: PackedTo,
    /// Whether the last table is done with: it begins with the first again.
    pub(super) is_round: bool,
    /// Bytes of pages that are free now.
    pub(super) freed: u64,
    /// Pages that were filled.
    pub(super) filled: Filled,
}

/// Rows that follow one another, as they stand.
#[derive(Debug, Default)]
struct Run {
    /// The key of the first of them; `None` where there are none.
    first: Option<Vec<u8>>,
    /// What each of them takes on its page.
    sizes: Vec<usize>,
    /// Bytes of their keys and values.
    bytes: usize,
    /// How many pages they are on.
    pages: usize,
    /// How much was looked at, about, in bytes.
    looked_at: usize,
    /// The last key that was looked at; `None` behind the last row of the table.
    next: Option<Vec<u8>>,
}

impl Tables {
    /// Packs the first run that is worth it, if there is one soon.
    pub(super) fn pack(&self, from: PackedTo) -> heed::Result<Packed> {
        // IMPORTANT: no snapshot. What this transaction has not written to is in the map, and nobody else writes.
        let mut txn = self.env.write_txn()?;
        let tables = self.packed();
        let (mut to, mut looked_at) = (from, 0);
        while looked_at < LOOKED_AT {
            let Some(&(table, end)) = tables.get(to.table) else {
                return Ok(Packed { is_round: true, ..Packed::default() });
            };
            let run = Run::look(table, &txn, (to.begin(), end))?;
            looked_at += run.looked_at;
            let is_worth_it = run.is_worth_it(page_size(table, &txn)?);
            to = to.behind(run.next.clone());
            if is_worth_it {
                // What was written is not in the map: nothing more can be looked at.
                let Some((freed, filled)) = run.pack(table, &mut txn)? else { break };
                failpoint!(RunPacked);
                txn.commit()?;
                failpoint!(PagesFreed);
                return Ok(Packed { to, is_round: false, freed, filled });
            }
        }
        Ok(Packed { to, ..Packed::default() })
    }

    /// Returns the tables that have rows in any number, and where these end.
    fn packed(&self) -> Vec<(Table, Bound<&'static [u8]>)> {
        let places = self.places.iter().flat_map(Places::tables);
        let others = [self.by_tag, self.by_expiry, self.blobs].into_iter().chain(places);
        let entries = (self.entries, Bound::Excluded(layout::tables::END_OF_ENTRIES));
        std::iter::once(entries).chain(others.map(|table| (table, Bound::Unbounded))).collect()
    }
}

impl PackedTo {
    /// Returns where rows are to be looked at from on. LMDB knows no empty key.
    fn begin(&self) -> Bound<&[u8]> {
        if self.key.is_empty() { Bound::Unbounded } else { Bound::Included(&self.key) }
    }

    /// Returns where to go on behind rows of this table. Keys that don't ascend are damage, which is left to `verify`.
    fn behind(self, next: Option<Vec<u8>>) -> Self {
        match next {
            Some(key) if key > self.key => Self { key, ..self },
            _ => Self { table: self.table + 1, key: Vec::new() },
        }
    }
}

impl Run {
    /// Looks at the rows of a table in a range.
    fn look(table: Table, txn: &RoTxn<'_>, range: (Bound<&[u8]>, Bound<&[u8]>)) -> heed::Result<Self> {
        let page_size = page_size(table, txn)?;
        let (mut run, mut page) = (Self::default(), None);
        for row in table.range(txn, &range)? {
            let (key, value) = row?;
            let is_large = value.len() > LARGE;
            if run.bytes >= RUN || run.looked_at >= LOOKED_AT || is_large && run.first.is_some() {
                return Ok(run);
            }
            run.next = Some(key.to_vec());
            let beside = beside(page_size, key.len(), value.len());
            if run.first.is_none() && (is_large || run.looked_at < page_size * KEPT_SHARE.0 / KEPT_SHARE.1) {
                run.looked_at += beside;
                continue;
            }
            run.first.get_or_insert_with(|| key.to_vec());
            run.sizes.push(beside);
            run.bytes += key.len() + value.len();
            run.looked_at += beside;
            let stands_on = Some(key.as_ptr().addr() / page_size);
            run.pages += usize::from(std::mem::replace(&mut page, stands_on) != stands_on);
        }
        Ok(Self { next: None, ..run })
    }

    fn is_worth_it(&self, page_size: usize) -> bool {
        let freed = self.pages.saturating_sub(pages_for(&self.sizes, page_size) + LOST);
        freed > 0 && freed * page_size * WORTH >= self.bytes
    }

    /// Deletes the rows, the last one first, and puts them again; returns how many bytes of pages the table has less, and which were
    /// filled. `None` is not to be committed: a row does not stand where its key says, so that to put it again would be to
    /// have it twice, or nothing is gained.
    fn pack(&self, table: Table, txn: &mut RwTxn<'_>) -> heed::Result<Option<(u64, Filled)>> {
        let before = used(table, txn)?;
        let rows = self.read(table, txn)?;
        for (key, _) in rows.iter().rev() {
            if key.is_empty() || !table.delete(txn, key)? {
                return Ok(None);
            }
        }
        let mut leaves = table.stat(txn)?.leaf_pages;
        let filled = fill(&self.sizes, page_size(table, txn)?, |row| {
            let (key, value) = &rows[row];
            table.put(txn, key, value)?;
            let before = std::mem::replace(&mut leaves, table.stat(txn)?.leaf_pages);
            heed::Result::Ok(leaves > before)
        })?;
        let freed = before.checked_sub(used(table, txn)?).filter(|freed| *freed > 0);
        Ok(freed.map(|freed| (freed, filled)))
    }

    fn read(&self, table: Table, txn: &RoTxn<'_>) -> heed::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some(first) = &self.first else { return Ok(Vec::new()) };
        let rows = table.range(txn, &(Bound::Included(&first[..]), Bound::Unbounded))?;
        rows.take(self.sizes.len()).map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
    }
}

fn page_size(table: Table, txn: &RoTxn<'_>) -> heed::Result<usize> {
    Ok(table.stat(txn)?.page_size as usize)
}

fn used(table: Table, txn: &RoTxn<'_>) -> heed::Result<u64> {
    let stat = table.stat(txn)?;
    Ok((stat.branch_pages + stat.leaf_pages + stat.overflow_pages) as u64 * u64::from(stat.page_size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::layout::index_key;
    use fastrand::Rng;
    use std::collections::BTreeMap;

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    fn tables() -> (tempfile::TempDir, Tables) {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        (folder, tables)
    }

    /// Puts rows into a table, and leaves one of `of`.
    fn scatter(tables: &Tables, table: Table, rows: &Rows, of: usize) {
        let mut txn = tables.env.write_txn().unwrap();
        let mut shuffled: Vec<_> = rows.iter().collect();
        Rng::with_seed(1).shuffle(&mut shuffled);
        shuffled.iter().for_each(|(key, value)| table.put(&mut txn, key, value).unwrap());
        txn.commit().unwrap();
        let mut txn = tables.env.write_txn().unwrap();
        let gone = shuffled.iter().enumerate().filter(|(at, _)| at % of > 0);
        gone.for_each(|(_, (key, _))| assert!(table.delete(&mut txn, key).unwrap()));
        txn.commit().unwrap();
    }

    /// Packs for a round; returns how much is free then, and in how many transactions.
    fn pack_all(tables: &Tables) -> (u64, u64) {
        let (mut packed, mut freed, before) = (Packed::default(), 0, tables.env.info().last_txn_id);
        while !packed.is_round {
            packed = tables.pack(packed.to).unwrap();
            freed += packed.freed;
        }
        (freed, (tables.env.info().last_txn_id - before) as u64)
    }

    /// Returns the rows of all tables that are packed.
    fn rows(tables: &Tables, txn: &RoTxn<'_>) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
        let all = tables.packed().into_iter().map(|(table, end)| {
            let rows = table.range(txn, &(Bound::Unbounded, end)).unwrap();
            rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
        });
        all.collect()
    }

    /// Rows of `length` bytes under keys that lie as hashes do.
    fn uniform(count: usize, length: usize) -> Rows {
        let mut random = Rng::with_seed(2);
        let key = |random: &mut Rng| index_key(1, &random.u64(..).to_le_bytes()).to_vec();
        (0..count).map(|_| (key(&mut random), vec![7; length])).collect()
    }

    /// Rows of several namespaces and of their directory, under keys of any length, also such as are cut, with values of any length.
    fn manifold(count: usize) -> Rows {
        let mut random = Rng::with_seed(3);
        let row = |_| {
            let key: Vec<_> = (0..random.usize(1..600)).map(|_| random.u8(..)).collect();
            let most = [100, 1_000, 5_000, 40_000][random.usize(0..4)];
            (index_key(random.u32(0..3), &key).to_vec(), vec![random.u8(..); random.usize(0..most)])
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn sparse_pages_are_filled_up_in_transactions_of_bounded_size() {
        for length in [50, 300, 1_000] {
            let (_folder, tables) = tables();
            scatter(&tables, tables.entries, &uniform(12_000, length), 2);
            let before = tables.used().unwrap();
            let (freed, transactions) = pack_all(&tables);
            let after = tables.used().unwrap();
            assert_eq!(before - after, freed);
            assert!(after * 10 <= before * 7, "{length} bytes: {after} of {before}");
            assert!(transactions >= (6_000 * length / (2 * RUN)) as u64, "{length} bytes: {transactions}");
        }
    }

    #[test]
    fn all_rows_of_all_tables_are_what_they_were_and_for_those_who_read_meanwhile_too() {
        let (folder, tables) = tables();
        for (table, _) in tables.packed() {
            scatter(&tables, table, &manifold(4_000), 3);
        }
        let reading = tables.env.read_txn().unwrap();
        let before = rows(&tables, &reading);
        for _ in 0..3 {
            pack_all(&tables);
            // A thread has one snapshot at a time.
            assert!(rows(&tables, &tables.env.write_txn().unwrap()) == before);
        }
        assert!(rows(&tables, &reading) == before);
        drop(reading);
        // The main table has the names of the others too.
        tables.close();
        let tables = Tables::open(folder.path()).unwrap();
        assert!(rows(&tables, &tables.env.read_txn().unwrap()) == before);
    }

    #[test]
    fn where_nothing_is_gained_nothing_is_written() {
        let (_folder, tables) = tables();
        let full: Rows = uniform(8_000, 300);
        let mut txn = tables.env.write_txn().unwrap();
        full.iter().for_each(|(key, value)| tables.entries.put(&mut txn, key, value).unwrap());
        // Each has a page of its own.
        uniform(300, 3_000).iter().for_each(|(key, value)| tables.blobs.put(&mut txn, key, value).unwrap());
        txn.commit().unwrap();
        scatter(&tables, tables.by_tag, &uniform(500, 30_000), 2);
        assert_eq!(pack_all(&tables), (0, 0));
    }

    #[test]
    fn an_empty_index_and_one_of_few_rows_have_nothing_to_pack() {
        let (_folder, tables) = tables();
        assert_eq!(pack_all(&tables), (0, 0));
        for count in [1, 2, 5, 20] {
            scatter(&tables, tables.entries, &uniform(count, 300), 1);
            pack_all(&tables);
            assert_eq!(rows(&tables, &tables.env.read_txn().unwrap())[0].len(), count);
        }
    }

    #[test]
    fn a_step_goes_on_where_the_one_before_ended_and_a_key_that_is_gone_does_not_matter() {
        let (_folder, tables) = tables();
        scatter(&tables, tables.entries, &uniform(12_000, 300), 2);
        let first = tables.pack(PackedTo::default()).unwrap();
        assert!(first.to.table == 0 && !first.to.key.is_empty() && first.freed > 0 && !first.is_round);
        let mut txn = tables.env.write_txn().unwrap();
        assert!(tables.entries.delete(&mut txn, &first.to.key).unwrap());
        txn.commit().unwrap();
        let second = tables.pack(first.to.clone()).unwrap();
        assert!(second.freed > 0 && (second.to.table > 0 || second.to.key > first.to.key));
    }
}
