//! The oldest entries of each namespace, found by a walk over the whole index. It has no table in that order: such a one cost half of
//! all that is written.

use std::collections::{BinaryHeap, HashMap};
use std::ops::Bound;

use datacache_proto::key::Key;
use datacache_proto::layout::tables::END_OF_ENTRIES;
use datacache_proto::record::Record;
use datacache_proto::time::Timestamp;

use super::error::StoreError;
use super::plan::{Cursor, Reader};
use super::rows::key_in;
use super::store::Store;
use super::table_keys::namespace_of;

/// An entry, as old as it was when the index was looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Elder {
    /// When it was added. First, for elders are in the order of their age.
    pub created: Timestamp,
    version: u64,
    index_key: Vec<u8>,
}

/// The oldest entries of one namespace.
#[derive(Debug, Default)]
pub struct Elders {
    /// The youngest of them on top.
    oldest: BinaryHeap<Elder>,
    /// Whether there were more entries.
    is_cut: bool,
}

/// A walk over all entries, as far as it has come.
#[derive(Debug)]
pub struct ElderWalk {
    /// How many are kept for each namespace.
    limit: usize,
    found: HashMap<u32, Elders>,
    /// Where it goes on.
    cursor: Option<Cursor>,
}

impl Elders {
    fn take(&mut self, elder: Elder, limit: usize) {
        self.oldest.push(elder);
        if self.oldest.len() > limit {
            self.oldest.pop();
            self.is_cut = true;
        }
    }

    /// Returns them, the oldest last, and whether the namespace has more entries than these.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Elder>, bool) {
        let mut youngest_first = self.oldest.into_sorted_vec();
        youngest_first.reverse();
        (youngest_first, self.is_cut)
    }
}

impl ElderWalk {
    /// Begins one that keeps up to `limit` entries of each namespace, at least one.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), found: HashMap::new(), cursor: None }
    }

    /// Returns what was found, by the namespaces' numbers.
    #[must_use]
    pub fn finish(self) -> HashMap<u32, Elders> {
        self.found
    }

    fn look(&mut self, index_key: &[u8], row: &[u8], now: Timestamp) {
        // Not checked: who is told of an elder has looked it up before, and that checks it.
        let Some((namespace, age)) = namespace_of(index_key).zip(Record::unchecked_age(row)) else { return };
        let elders = self.found.entry(namespace).or_default();
        let is_young =
            elders.oldest.len() >= self.limit && elders.oldest.peek().is_some_and(|last| last.created <= age.created);
        if is_young {
            elders.is_cut = true;
        } else if age.expires.is_none_or(|expires| expires > now) {
            let elder = Elder { created: age.created, version: age.version, index_key: index_key.to_vec() };
            elders.take(elder, self.limit);
        }
    }
}

impl Reader {
    /// Goes on with a walk over up to `rows` rows; tells whether that was all. Blocks.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn walk_elders(&self, walk: &mut ElderWalk, rows: usize, now: Timestamp) -> Result<bool, StoreError> {
        let mut page = || {
            let txn = self.tables.env.read_txn()?;
            let from = walk.cursor.take();
            let from = from.as_ref().map_or(Bound::Unbounded, |cursor| Bound::Excluded(&cursor.0[..]));
            let mut last = None;
            let mut left = rows;
            for row in self.tables.entries.range(&txn, &(from, Bound::Excluded(END_OF_ENTRIES)))? {
                let (index_key, row) = row?;
                walk.look(index_key, row, now);
                left -= 1;
                if left == 0 {
                    last = Some(Cursor(index_key.to_vec()));
                    break;
                }
            }
            walk.cursor = last;
            Ok(walk.cursor.is_none())
        };
        page().map_err(|source| StoreError::Read { source })
    }
}

impl Store {
    /// Tells whether an elder is still there: a live entry with the same content.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn has_elder(&self, namespace: u32, elder: &Elder, now: Timestamp) -> Result<bool, StoreError> {
        let key = || -> heed::Result<Option<Key>> {
            let tables = &self.lookup.tables;
            key_in(tables, &*tables.env.read_txn()?, &elder.index_key)
        };
        let Some(key) = key().map_err(|source| StoreError::Read { source })? else { return Ok(false) };
        let found = self.lookup(namespace, &key, now, |record| {
            (record.created, record.version) == (elder.created, elder.version)
        })?;
        Ok(found.unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Batch, Command, Condition, NewValue, Put};
    use super::super::testing::{NOW, put_of, store, wait};
    use super::*;
    use std::time::Duration;

    /// Adds an entry so many seconds after [`NOW`].
    fn add(store: &mut Store, namespace: &str, key: Key, second: u64, lives: Option<u64>) {
        let now = NOW.after(Duration::from_secs(second));
        let expires = lives.map(|lives| now.after(Duration::from_secs(lives)));
        let value = NewValue::Inline(second.to_le_bytes().to_vec().into());
        let put = Put { namespace: namespace.into(), key: key.into(), expires, ..put_of(value) };
        let mut results = Vec::new();
        store.write(&mut [Batch::of(Command::Put(put), None)].into(), now, &mut results);
        results.pop().unwrap().unwrap();
    }

    fn apply(store: &mut Store) {
        let target = store.request_checkpoint();
        wait(store, |store| store.applied() >= target);
    }

    /// Returns the elders of a namespace by their age in seconds, and whether there were more.
    fn elders(store: &Store, namespace: &str, limit: usize, rows: usize, now: Timestamp) -> (Vec<Elder>, bool) {
        let mut walk = ElderWalk::new(limit);
        while !store.reader().walk_elders(&mut walk, rows, now).unwrap() {}
        walk.finish().remove(&store.namespace(namespace).unwrap()).unwrap_or_default().into_parts()
    }

    fn seconds(elders: &[Elder]) -> Vec<u64> {
        elders.iter().map(|elder| elder.created.since(NOW).as_secs()).collect()
    }

    #[test]
    fn the_oldest_of_each_namespace_are_found_whatever_their_keys_and_however_many_pages_the_walk_takes() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        for (second, key) in [5, 3, 9, 1, 7, 2].into_iter().enumerate() {
            add(&mut store, "n", Key::from(key), second as u64, None);
            add(&mut store, "other", Key::from(key), 100, None);
        }
        apply(&mut store);
        for rows in [1, 2, 5, 100] {
            let (found, is_cut) = elders(&store, "n", 3, rows, NOW);
            assert_eq!((seconds(&found), is_cut), (vec![2, 1, 0], true), "{rows} rows a page");
        }
        let (found, is_cut) = elders(&store, "n", 6, 100, NOW);
        assert_eq!((seconds(&found), is_cut), (vec![5, 4, 3, 2, 1, 0], false));
    }

    #[test]
    fn what_has_ended_is_no_elder() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        add(&mut store, "n", Key::from(1), 0, Some(10));
        add(&mut store, "n", Key::from(2), 1, Some(20));
        apply(&mut store);
        let at = |second| NOW.after(Duration::from_secs(second));
        let (found, _) = elders(&store, "n", 9, 9, at(15));
        assert_eq!(seconds(&found), [1]);
        let namespace = store.namespace("n").unwrap();
        assert!(store.has_elder(namespace, &found[0], at(15)).unwrap());
        assert!(!store.has_elder(namespace, &found[0], at(30)).unwrap());
    }

    #[test]
    fn one_that_was_touched_is_still_there_and_one_that_was_replaced_or_deleted_is_not_also_where_the_key_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let long = |name: &str| Key::from(format!("{name}{}", "x".repeat(2_000)).as_str());
        let keys = ["kept", "touched", "replaced", "deleted"].map(long);
        for (second, key) in keys.iter().enumerate() {
            add(&mut store, "n", key.clone(), second as u64, None);
        }
        apply(&mut store);
        let (mut found, _) = elders(&store, "n", 9, 9, NOW);
        found.reverse();
        let (namespace, later) = (store.namespace("n").unwrap(), NOW.after(Duration::from_secs(60)));
        let [_, touched, replaced, deleted] = keys;
        add(&mut store, "n", replaced, 50, None);
        let expires = Some(later.after(Duration::from_secs(60)));
        for command in [
            Command::Touch { namespace, key: touched, expires },
            Command::Delete { namespace, key: deleted, when: Condition::Live },
        ] {
            let mut results = Vec::new();
            store.write(&mut [Batch::of(command, None)].into(), later, &mut results);
            results.pop().unwrap().unwrap();
        }
        let there = |store: &Store| -> Vec<bool> {
            found.iter().map(|elder| store.has_elder(namespace, elder, later).unwrap()).collect()
        };
        assert_eq!(there(&store), [true, true, false, false], "in the log");
        apply(&mut store);
        assert_eq!(there(&store), [true, true, false, false], "in the index");
    }
}
