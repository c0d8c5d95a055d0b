//! Listing entries, a page at a time.

use std::sync::Arc;

use datacache_proto::key::{KeyError, MAX_KEY, Tag, TagError};
use datacache_proto::types::{ListPage, ListQuery, Metadata};

use crate::cache::DataCache;
use crate::connection::Connection;
use crate::error::Error;
use crate::fault::settle;
use crate::repeat::Call;

/// The entries on a page, unless told.
const PAGE: u32 = 1_000;

/// A list of a namespace's entries, by key, or by age where a tag is asked for.
///
/// Each page is a snapshot of its own: an entry that is there all the time is listed once, one that comes or goes meanwhile
/// may be listed or not. `next_page` takes a page at a time; [`collect`](List::collect) is for an asynchronous cache, for a blocking one
/// it is an iterator.
///
/// # Examples
/// ```no_run
/// use datacache_client::{Options, blocking::DataCache};
///
/// let cache = DataCache::open(Options::new())?;
/// for entry in cache.list().prefix("img/") {
///     println!("{}", entry?.key);
/// }
/// # Ok::<(), datacache_client::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is listed before a page is asked for"]
pub struct List<C = DataCache> {
    pub(crate) cache: C,
    pub(crate) pages: Pages,
}

/// How far a list has come.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    prefix: Option<String>,
    tag: Result<Option<Tag>, TagError>,
    limit: u32,
    after: Option<Vec<u8>>,
    is_over: bool,
    /// Entries of the last page, last first, for those who take them one by one.
    pub(crate) entries: Vec<Metadata>,
}

impl<C> List<C> {
    pub(crate) fn of(cache: C) -> Self {
        let pages =
            Pages { prefix: None, tag: Ok(None), limit: PAGE, after: None, is_over: false, entries: Vec::new() };
        Self { cache, pages }
    }

    /// Lists only text keys that begin with `prefix`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.pages.prefix = Some(prefix.into());
        self
    }

    /// Lists only entries with this tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.pages.tag = Tag::new(&tag.into()).map(Some);
        self
    }

    /// Sets how many entries are fetched at once, 1 to 4,096. Default: 1,000.
    pub fn page_size(mut self, entries: u32) -> Self {
        self.pages.limit = entries;
        self
    }
}

impl List<DataCache> {
    /// Returns the next page, `None` after the last.
    ///
    /// # Errors
    /// Where the daemon can't be reached, or the prefix, tag or page size is out of bounds.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Metadata>>, Error> {
        self.pages.next(&self.cache).await
    }

    /// Returns all entries that are left.
    ///
    /// # Errors
    /// Those of [`List::next_page`].
    pub async fn collect(mut self) -> Result<Vec<Metadata>, Error> {
        let mut entries = Vec::new();
        while let Some(page) = self.next_page().await? {
            entries.extend(page);
        }
        Ok(entries)
    }
}

impl Pages {
    /// Fetches pages until one has entries.
    pub(crate) async fn next(&mut self, cache: &DataCache) -> Result<Option<Vec<Metadata>>, Error> {
        while !self.is_over {
            let page = self.fetch(cache).await?;
            self.is_over = page.next.is_none();
            self.after = page.next;
            if !page.entries.is_empty() {
                return Ok(Some(page.entries));
            }
        }
        Ok(None)
    }

    /// Takes a page to be handed out one by one.
    pub(crate) fn hold(&mut self, mut page: Vec<Metadata>) {
        page.reverse();
        self.entries = page;
    }

    /// Returns what is left of the page that is handed out one by one, if anything is.
    pub(crate) fn rest(&mut self) -> Option<Vec<Metadata>> {
        let mut rest = std::mem::take(&mut self.entries);
        rest.reverse();
        (!rest.is_empty()).then_some(rest)
    }

    /// Lists nothing more.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    async fn fetch(&self, cache: &DataCache) -> Result<ListPage, Error> {
        let length = self.prefix.as_ref().map_or(0, String::len);
        if length > MAX_KEY {
            return Err(KeyError::TooLong { length: length as u64 }.into());
        }
        let query = ListQuery {
            namespace: cache.namespace_name()?,
            prefix: self.prefix.clone(),
            tag: self.tag.clone()?,
            after: self.after.clone(),
            limit: self.limit,
        };
        let attempt = |connection: Arc<Connection>, context| {
            let query = query.clone();
            async move { settle(connection.client.list(context, query).await) }
        };
        cache.session().call(Call::read("list").after_checkpoint(), attempt).await
    }
}
