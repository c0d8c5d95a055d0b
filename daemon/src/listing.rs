//! Lists of entries, a page at a time: of what was acknowledged before the page was asked for.

use datacache_proto::error::WireError;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{ListPage, ListQuery, Metadata};

use crate::daemon::{Daemon, blocking};
use crate::store::{Reader, StoreError};

/// The most entries on a page.
const ENTRIES_MAX: u32 = 4_096;
/// A page with this many bytes is not added to (1 MiB), so that it fits a message, whatever the keys and tags.
const ENOUGH: usize = 1 << 20;
/// How many entries are read at a time: with the longest keys and tags there are, 2.6 MiB.
const PORTION: usize = 32;

/// Returns a page.
///
/// # Errors
/// Where the query is out of bounds, or the index can't be read.
pub(crate) async fn list(daemon: &Daemon, namespace: Option<u32>, query: ListQuery) -> Result<ListPage, WireError> {
    if !(1..=ENTRIES_MAX).contains(&query.limit) {
        let (value, max) = (u64::from(query.limit), u64::from(ENTRIES_MAX));
        return Err(WireError::OutOfRange { field: "limit".into(), value, min: 1, max });
    }
    let Some(namespace) = namespace else { return Ok(ListPage { entries: Vec::new(), next: None }) };
    daemon.writer.checkpoint().await?;
    let reader = daemon.reader()?;
    Ok(daemon.writer.settle(blocking(move || page(&reader, namespace, &query)).await?)?)
}

/// Puts a page together from portions, until it has enough entries or bytes.
fn page(reader: &Reader, namespace: u32, query: &ListQuery) -> Result<ListPage, StoreError> {
    let now = Timestamp::now();
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let mut page = ListPage { entries: Vec::new(), next: query.after.clone() };
    let mut bytes = 0;
    while page.entries.len() < limit && bytes < ENOUGH {
        let count = PORTION.min(limit - page.entries.len());
        let (prefix, after) = (query.prefix.as_deref(), page.next.as_deref());
        let portion = reader.list(namespace, prefix, query.tag.as_ref(), after, count, now)?;
        bytes += portion.entries.iter().map(size).sum::<usize>();
        page.entries.extend(portion.entries);
        page.next = portion.next;
        if page.next.is_none() {
            break;
        }
    }
    Ok(page)
}

/// Returns about how many bytes an entry takes in a message.
fn size(entry: &Metadata) -> usize {
    let tags: usize = entry.tags.iter().map(|tag| tag.as_str().len() + 2).sum();
    entry.key.encoded().len() + tags + 80
}
