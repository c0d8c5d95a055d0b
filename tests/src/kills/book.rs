//! What one worker knows about its keys: what was acknowledged, and what was under way when the daemon died.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datacache_client::blocking::DataCache;
use datacache_client::{Error, Expire};

use super::content::Content;

/// How many keys a worker has.
pub const KEYS: usize = 12;
/// How many of these, the first ones, are pinned where others may be evicted.
pub const PINNED: usize = 2;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its value.
    pub content: Content,
    /// When it ends, in milliseconds since 1970; `None` for never.
    pub ends: Option<u64>,
    /// Whether it has the worker's tag.
    pub is_tagged: bool,
}

impl Entry {
    /// Returns its end as it is said in a call.
    #[must_use]
    pub fn expire(self) -> Expire {
        self.ends.map_or(Expire::Never, |ends| Expire::At(UNIX_EPOCH + Duration::from_millis(ends)))
    }

    fn has_ended(&self) -> bool {
        self.ends.is_some_and(|ends| ends <= now())
    }
}

/// What one call does to the worker's keys.
#[derive(Clone, Debug)]
pub struct Change {
    /// The keys, each with what it holds afterwards.
    pub keys: Vec<(usize, Option<Entry>)>,
    /// Whether it is done whole or not at all.
    pub is_whole: bool,
}

/// The book.
#[derive(Debug)]
pub struct Book {
    worker: usize,
    evicts: bool,
    keys: [Option<Entry>; KEYS],
    under_way: Option<Change>,
}

impl Book {
    /// Begins the book of a worker that has written nothing. `evicts` says whether the store has a limit, and entries may go that are not
    /// pinned.
    #[must_use]
    pub fn new(worker: usize, evicts: bool) -> Self {
        Self { worker, evicts, keys: [None; KEYS], under_way: None }
    }

    /// Tells whether a key is pinned.
    #[must_use]
    pub fn is_pinned(&self, key: usize) -> bool {
        self.evicts && key < PINNED
    }

    /// Tells whether a key may be evicted at any moment. Once it is seen to be gone, it stays so.
    #[must_use]
    pub fn may_go(&self, key: usize) -> bool {
        self.evicts && key >= PINNED
    }

    /// Notes that a key holds nothing any more.
    ///
    /// # Panics
    /// Where it can't be.
    pub fn lose(&mut self, key: usize) {
        assert!(self.may_go(key), "{} is gone", self.name(key));
        self.keys[key] = None;
    }

    /// Returns the name of a key in the cache.
    #[must_use]
    pub fn name(&self, key: usize) -> String {
        format!("{}/{key}", self.worker)
    }

    /// Returns the worker's tag.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("of {}", self.worker)
    }

    /// Returns what a key holds now.
    #[must_use]
    pub fn entry(&self, key: usize) -> Option<Entry> {
        self.keys[key].filter(|entry| !entry.has_ended())
    }

    /// Returns the keys that hold something now, each with what it is.
    pub fn entries(&self) -> impl Iterator<Item = (usize, Entry)> + '_ {
        (0..KEYS).filter_map(|key| Some((key, self.entry(key)?)))
    }

    /// Returns when the last of those entries has ended that end soon.
    #[must_use]
    pub fn ends_soon(&self) -> Option<u64> {
        let under_way = self.under_way.iter().flat_map(|change| change.keys.iter().filter_map(|(_, entry)| *entry));
        let ends = self.keys.iter().flatten().copied().chain(under_way).filter_map(|entry| entry.ends);
        ends.filter(|ends| *ends < now() + 10_000).max()
    }

    /// Tells whether a call's outcome is not known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.under_way.is_some()
    }

    /// Notes that a call is made.
    pub fn begin(&mut self, change: Change) {
        assert!(self.under_way.is_none(), "one call at a time");
        self.under_way = Some(change);
    }

    /// Notes that it was acknowledged.
    pub fn acknowledge(&mut self) {
        let change = self.under_way.take().expect("a call was made");
        change.keys.into_iter().for_each(|(key, entry)| self.keys[key] = entry);
    }

    /// Notes that it was never sent.
    pub fn forget(&mut self) {
        self.under_way = None;
    }

    /// Looks whether a call whose outcome is not known was done, and takes that in.
    ///
    /// # Errors
    /// Where the keys can't be read.
    ///
    /// # Panics
    /// Where it was done in part, or what is there is neither from before nor from after it.
    pub fn settle(&mut self, cache: &DataCache) -> Result<(), Error> {
        let Some(change) = self.under_way.clone() else { return Ok(()) };
        let mut done = Vec::new();
        for (key, after) in change.keys {
            let found = self.read(cache, key)?;
            let (before, after) = (self.entry(key), after.filter(|entry| !entry.has_ended()));
            if found.is_none() && self.may_go(key) {
                // Whether the call was done is seen by the others.
                self.lose(key);
                continue;
            }
            assert!(
                found == before || found == after,
                "{} holds {found:?}; before the daemon died {before:?} was acknowledged, and {after:?} under way",
                self.name(key)
            );
            if before != after {
                done.push((key, found, found == after));
            }
        }
        let count = done.iter().filter(|(.., is_done)| *is_done).count();
        let is_torn = change.is_whole && count > 0 && count < done.len();
        assert!(!is_torn, "{count} of {} parts of a batch were done: {done:?}", done.len());
        done.into_iter().for_each(|(key, found, _)| self.keys[key] = found);
        self.under_way = None;
        Ok(())
    }

    /// Compares each key with what was acknowledged, byte by byte, and takes in what was evicted.
    ///
    /// # Errors
    /// Where a key can't be read.
    ///
    /// # Panics
    /// Where one holds anything else.
    pub fn compare(&mut self, cache: &DataCache) -> Result<(), Error> {
        for key in 0..KEYS {
            let found = self.read(cache, key)?;
            if found.is_none() && self.may_go(key) {
                self.lose(key);
            }
            assert_eq!(found, self.entry(key), "what {} holds, and what was acknowledged", self.name(key));
        }
        Ok(())
    }

    /// Reads what a key holds, as far as it is one of the values that it may have.
    fn read(&self, cache: &DataCache, key: usize) -> Result<Option<Entry>, Error> {
        let name = self.name(key);
        let Some(about) = cache.stat(&*name)? else { return Ok(None) };
        let Some(value) = cache.get(&*name)? else { return Ok(None) };
        let under_way = self.under_way.iter().flat_map(|change| &change.keys).filter(|(other, _)| *other == key);
        let known = under_way.filter_map(|(_, entry)| *entry).chain(self.keys[key]).map(|entry| entry.content);
        let content = known.into_iter().find(|content| *content.bytes() == *value);
        let content =
            content.unwrap_or_else(|| panic!("{name} holds {} bytes that are none of its values", value.len()));
        let is_tagged = about.tags.iter().any(|tag| tag.as_str() == self.tag());
        Ok(Some(Entry { content, ends: about.expires.map(|ends| ends.as_millis()), is_tagged }))
    }
}

/// Returns the time in milliseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    since.as_millis().try_into().expect("it is no later than that")
}
