//! Bulk operations as plans: lists of conditional deletes, made from the index a page at a time. A plan says where to look; whether
//! an entry goes is decided when the writer comes to it.

use std::ops::Bound;
use std::sync::Arc;

use datacache_proto::key::{Key, Tag};
use datacache_proto::time::Timestamp;

use super::command::{Command, Condition};
use super::error::StoreError;
use super::rows::key_in;
use super::table_keys::{expiry_key, namespace_prefix, tag_prefix};
use super::tables::{Table, Tables};

/// A page of a bulk operation.
#[derive(Debug, Default)]
pub struct Plan {
    /// What to do.
    pub commands: Vec<Command>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub(super) Vec<u8>);

/// Looks at the index from any thread, in snapshots. Blocks; what is not applied yet is not seen, so have a checkpoint done first.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) tables: Arc<Tables>,
}

impl Reader {
    /// Plans to delete the entries with a tag.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn plan_tagged(
        &self,
        namespace: u32,
        tag: &Tag,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Plan, StoreError> {
        let prefix = tag_prefix(namespace, tag.as_str());
        self.plan(self.tables.by_tag, |_, row| row, &prefix, cursor, limit, || Condition::Tagged(tag.clone()))
    }

    /// Plans to delete the entries of a namespace that were last written by an operation up to `not_after`.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn plan_all(
        &self,
        namespace: u32,
        not_after: u64,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Plan, StoreError> {
        let prefix = namespace_prefix(namespace);
        self.plan(self.tables.entries, |key, _| key, &prefix, cursor, limit, || Condition::NotAfter(not_after))
    }

    /// Makes a page from the rows of a table whose keys begin with `prefix`; `index_key_of` finds the entry's index key in
    /// a row's key and content.
    fn plan(
        &self,
        table: Table,
        index_key_of: for<'r> fn(&'r [u8], &'r [u8]) -> &'r [u8],
        prefix: &[u8],
        cursor: Option<&Cursor>,
        limit: usize,
        when: impl Fn() -> Condition,
    ) -> Result<Plan, StoreError> {
        let page = || {
            let txn = self.tables.env.read_txn()?;
            let from = cursor.map_or(Bound::Included(prefix), |cursor| Bound::Excluded(&cursor.0[..]));
            let mut plan = Plan::default();
            for row in table.range(&txn, &(from, Bound::Unbounded))? {
                let (key, row) = row?;
                if !key.starts_with(prefix) {
                    break;
                }
                if plan.commands.len() == limit {
                    return Ok(plan);
                }
                plan.next = Some(Cursor(key.to_vec()));
                let index_key = index_key_of(key, row);
                if let Some(key) = key_in(&self.tables, &txn, index_key)? {
                    let namespace = super::table_keys::namespace_of(index_key).unwrap_or_default();
                    plan.commands.push(Command::Delete { namespace, when: when(), key });
                }
            }
            plan.next = None;
            Ok(plan)
        };
        page().map_err(|source| StoreError::Read { source })
    }

    /// Returns, from the index, the entries of a namespace that end after `after` and until `until`: index key and
    /// cursor, `limit` at most.
    pub(super) fn due(
        &self,
        namespace: u32,
        after: &[u8],
        until: Timestamp,
        limit: usize,
    ) -> heed::Result<Vec<(Vec<u8>, Option<Key>)>> {
        let txn = self.tables.env.read_txn()?;
        let last = expiry_key(namespace, until, u64::MAX);
        if after >= &last[..] {
            return Ok(Vec::new());
        }
        let range = (Bound::Excluded(after), Bound::Included(&last[..]));
        let mut due = Vec::new();
        for row in self.tables.by_expiry.range(&txn, &range)?.take(limit) {
            let (key, index_key) = row?;
            due.push((key.to_vec(), key_in(&self.tables, &txn, index_key)?));
        }
        Ok(due)
    }

    /// Frees the slots of readers that died; returns how many. May block on a stopped client's mutex.
    ///
    /// # Errors
    /// Where LMDB refuses.
    pub fn clear_dead_readers(&self) -> Result<usize, StoreError> {
        self.tables.env.clear_stale_readers().map_err(|source| StoreError::Read { source })
    }
}
