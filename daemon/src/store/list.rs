//! Lists of entries, a page at a time, each page a snapshot of its own.

use std::ops::Bound;

use datacache_proto::key::{Key, Tag};
use datacache_proto::layout::index_prefixes;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{ListPage, Metadata};
use heed::RoTxn;

use super::error::StoreError;
use super::plan::Reader;
use super::rows::entry_of;
use super::table_keys::{namespace_prefix, tag_prefix};
use super::tables::Table;

/// How many rows are looked at for one page, whether they are listed or not: no snapshot is held for longer than that takes.
const ROWS_MAX: usize = 4_096;

impl Reader {
    /// Lists live entries: by key, or, where a tag is asked for, in the order of their versions. `after` is the `next`
    /// of the page before. A page may be short of `limit`, and even empty, with more to come: only `next` tells.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn list(
        &self,
        namespace: u32,
        prefix: Option<&str>,
        tag: Option<&Tag>,
        after: Option<&[u8]>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ListPage, StoreError> {
        let tables = &self.tables;
        let has_prefix =
            |key: &Key| prefix.is_none_or(|prefix| key.as_text().is_some_and(|text| text.starts_with(prefix)));
        let page = || {
            let txn = tables.env.read_txn()?;
            if let Some(tag) = tag {
                let begins = [tag_prefix(namespace, tag.as_str())];
                return page(&txn, tables.by_tag, &begins, after, limit, |_, index_key| {
                    let entry = tables.entry(&txn, index_key)?;
                    Ok(entry.and_then(|row| live(index_key, row, now)).filter(|entry| has_prefix(&entry.key)))
                });
            }
            let begins = match prefix {
                Some(prefix) => index_prefixes(namespace, Key::text(prefix).encoded()).to_vec(),
                None => vec![namespace_prefix(namespace).to_vec()],
            };
            page(&txn, tables.entries, &begins, after, limit, |index_key, row| {
                Ok(live(index_key, row, now).filter(|entry| has_prefix(&entry.key)))
            })
        };
        page().map_err(|source| StoreError::Read { source })
    }
}

/// Collects entries from the rows whose keys begin with one of `begins`, which ascend, from behind `after` on.
fn page(
    txn: &RoTxn<'_>,
    table: Table,
    begins: &[Vec<u8>],
    after: Option<&[u8]>,
    limit: usize,
    entry: impl Fn(&[u8], &[u8]) -> heed::Result<Option<Metadata>>,
) -> heed::Result<ListPage> {
    let mut page = ListPage { entries: Vec::new(), next: None };
    let mut looked_at = 0;
    for begin in begins {
        let from = match after {
            Some(after) if after >= &begin[..] => Bound::Excluded(after),
            _ => Bound::Included(&begin[..]),
        };
        for row in table.range(txn, &(from, Bound::Unbounded))? {
            let (key, row) = row?;
            if !key.starts_with(begin) {
                break;
            }
            if page.entries.len() == limit || looked_at == ROWS_MAX {
                return Ok(page);
            }
            looked_at += 1;
            page.next = Some(key.to_vec());
            page.entries.extend(entry(key, row)?);
        }
    }
    Ok(ListPage { next: None, ..page })
}

/// Returns what a row of `entries` is about, if it is live.
fn live(index_key: &[u8], row: &[u8], now: Timestamp) -> Option<Metadata> {
    let (_, key, record) = entry_of(index_key, row)?;
    (!record.is_expired(now)).then(|| record.metadata(key))
}

#[cfg(test)]
mod tests {
    use super::super::command::{Batch, Command, NewValue, Put};
    use super::super::testing::{NOW, put_of, store, wait};
    use super::*;

    /// A list of few among many held one snapshot until it had found them: the index could use nothing again meanwhile.
    #[test]
    fn a_page_looks_at_so_many_rows_and_no_more_and_tells_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let tag = Tag::new("t").unwrap();
        let put = |number: usize| {
            let key = if number == ROWS_MAX { "wanted".into() } else { format!("other {number}") };
            let (key, tags) = (Key::from(key).into(), vec![tag.clone()]);
            Command::Put(Put { key, tags, ..put_of(NewValue::Inline(vec![1].into())) })
        };
        for commands in (0..=ROWS_MAX).collect::<Vec<_>>().chunks(1_000) {
            let batch = Batch::all(commands.iter().copied().map(put).collect(), None);
            let mut results = Vec::new();
            store.write(&mut [batch].into(), NOW, &mut results);
            results.pop().unwrap().unwrap();
        }
        let target = store.request_checkpoint();
        wait(&mut store, |store| store.applied() >= target);
        let (reader, namespace) = (store.reader(), store.namespace("n").unwrap());
        let list = |after: Option<&[u8]>| reader.list(namespace, Some("w"), Some(&tag), after, 10, NOW).unwrap();
        let first = list(None);
        assert!(first.entries.is_empty() && first.next.is_some());
        let second = list(first.next.as_deref());
        assert_eq!(second.entries.iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>(), ["wanted"]);
        assert_eq!(second.next, None);
    }
}
