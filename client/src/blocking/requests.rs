//! The requests that are put together step by step, as a blocking cache does them.

use std::iter::FusedIterator;

use datacache_proto::key::Key;
use datacache_proto::types::Metadata;

use super::DataCache;
use crate::add::Add;
use crate::add_many::AddMany;
use crate::download::Sink;
use crate::error::Error;
use crate::file::{FileGuard, GetFile};
use crate::list::List;

impl Add<DataCache> {
    /// Adds the entry; returns its key.
    ///
    /// # Errors
    /// [`Error::is_invalid_input`] for what can't be meant, else those of the daemon.
    pub fn run(self) -> Result<Key, Error> {
        let DataCache { cache, engine } = self.cache;
        engine.run(self.request.perform(cache))
    }
}

impl AddMany<DataCache> {
    /// Adds the entries; returns their keys, in the order of the items.
    ///
    /// # Errors
    /// [`Error::is_invalid_input`] for what can't be meant, else those of the daemon; then none is added.
    pub fn run(self) -> Result<Vec<Key>, Error> {
        let DataCache { cache, engine } = self.cache;
        engine.run(self.request.perform(cache))
    }
}

impl GetFile<DataCache> {
    /// Writes the file; `None` where there is no live entry.
    ///
    /// # Errors
    /// Where the value can't be got, is damaged, or the file can't be written.
    pub fn run(self) -> Result<Option<FileGuard>, Error> {
        let Self { cache, key, mut target } = self;
        cache.unless_damaged(&key, || cache.find(&key, Sink::File)?.map(|found| target.write(&found)).transpose())
    }
}

impl Iterator for List<DataCache> {
    type Item = Result<Metadata, Error>;

    /// Ends after an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.pages.entries.is_empty() {
            match self.cache.engine.run(self.pages.next(&self.cache.cache)) {
                Ok(page) => self.pages.hold(page.unwrap_or_default()),
                Err(error) => {
                    self.pages.end();
                    return Some(Err(error));
                }
            }
        }
        self.pages.entries.pop().map(Ok)
    }
}

impl List<DataCache> {
    /// Returns the next page, `None` after the last: what an iterator has taken a part of comes first.
    ///
    /// # Errors
    /// Where the daemon can't be reached, or the prefix, tag or page size is out of bounds.
    pub fn next_page(&mut self) -> Result<Option<Vec<Metadata>>, Error> {
        if let Some(rest) = self.pages.rest() {
            return Ok(Some(rest));
        }
        self.cache.engine.run(self.pages.next(&self.cache.cache))
    }
}

impl FusedIterator for List<DataCache> {}
