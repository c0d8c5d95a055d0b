//! Looks into a table of LMDB, one after the other. Whoever adds many entries often adds them in the order of their keys; then the next
//! one is a step behind the one before, or in the same gap, and the tree need not be walked from its root for each.

use std::ops::Bound;

use heed::types::Bytes;
use heed::{RoRange, RoTxn};

use super::tables::Table;

/// How many keys may be elsewhere, more than were near, until all are looked for by themselves: to begin a range costs more than a look.
const PATIENCE: u32 = 4;

/// A key of the table, and its row.
type Row<'t> = (&'t [u8], &'t [u8]);

/// A place in a table, from which the keys behind it are near.
pub(super) struct Walk<'t> {
    table: Table,
    txn: &'t RoTxn<'t>,
    /// The key that was looked for when this place was reached.
    last: Vec<u8>,
    /// The first row of the table behind `last`, and what comes behind that. `None` before the first look.
    behind: Option<(Option<Row<'t>>, RoRange<'t, Bytes, Bytes>)>,
    patience: u32,
}

impl<'t> Walk<'t> {
    /// Begins nowhere.
    pub(super) fn new(table: Table, txn: &'t RoTxn<'t>) -> Self {
        Self { table, txn, last: Vec::new(), behind: None, patience: PATIENCE }
    }

    /// Returns the row of a key.
    pub(super) fn get(&mut self, key: &[u8]) -> heed::Result<Option<&'t [u8]>> {
        if self.is_near(key) {
            self.patience = PATIENCE.min(self.patience + 1);
        } else {
            let Some(patience) = self.patience.checked_sub(1) else { return self.table.get(self.txn, key) };
            self.patience = patience;
            let mut rows = self.table.range(self.txn, &(Bound::Included(key), Bound::Unbounded))?;
            self.behind = Some((rows.next().transpose()?, rows));
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        let Some((next, rows)) = &mut self.behind else { return Ok(None) };
        let Some((_, row)) = next.filter(|(found, _)| *found == key) else { return Ok(None) };
        *next = rows.next().transpose()?;
        Ok(Some(row))
    }

    /// Tells whether a key is the next one of the table, or in the gap before that.
    fn is_near(&self, key: &[u8]) -> bool {
        let is_before = |next: Option<Row<'_>>| next.is_none_or(|(next, _)| key <= next);
        *self.last < *key && self.behind.as_ref().is_some_and(|(next, _)| is_before(*next))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::store;
    use super::*;

    /// In their order and not, one by one and with others in between, such as are there and such as are not, and more than once.
    #[test]
    fn a_walk_finds_what_a_look_for_each_key_finds() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let tables = &store.lookup.tables;
        let mut txn = tables.env.write_txn().unwrap();
        for even in (2..200_u8).step_by(2) {
            tables.entries.put(&mut txn, &[even], &[even, even]).unwrap();
        }
        txn.commit().unwrap();
        let txn = tables.env.read_txn().unwrap();
        let ways: [Vec<u8>; 5] = [
            (0..=255).collect(),
            (0..=255).rev().collect(),
            (0..255).step_by(2).chain((0..255).step_by(3)).chain((0..255).step_by(7)).collect(),
            (0..255).map(|number| number / 3).collect(),
            (0..=255).map(|number: u8| number.wrapping_mul(167)).collect(),
        ];
        for way in ways {
            let mut walk = Walk::new(tables.entries, &txn);
            for key in way {
                assert_eq!(walk.get(&[key]).unwrap(), tables.entries.get(&txn, &[key]).unwrap(), "{key}");
            }
        }
    }
}
