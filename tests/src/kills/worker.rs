//! One of those who load the daemon: it makes one call after the other, and writes down what it was told.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use datacache_client::blocking::DataCache;
use datacache_client::{Error, Expire, Item, Options, Transfer};

use super::book::{Book, Change, Entry, KEYS, now};
use super::content::Content;
use super::daemon::Watch;
use crate::wait::{PATIENCE, eventually};

/// How many entries make a transaction of the log, or nearly.
const VERY_MANY: usize = 990;

/// What a worker adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Small values for the most part.
    Writer,
    /// Files, by way of the staging folder.
    Stager,
    /// Files, in chunks.
    Sender,
}

/// A worker. Its cache stays open from one daemon to the next.
#[derive(Debug)]
pub struct Worker {
    kind: Kind,
    options: Options,
    cache: Option<DataCache>,
    /// The file that is added.
    file: PathBuf,
    random: fastrand::Rng,
    /// What it knows.
    pub book: Book,
}

impl Worker {
    /// Makes a worker with a book of its own; what it adds as a file it writes to `file`.
    #[must_use]
    pub fn new(kind: Kind, options: Options, file: PathBuf, random: fastrand::Rng, book: Book) -> Self {
        let transfer = if kind == Kind::Sender { Transfer::Chunks } else { Transfer::Staging };
        Self { kind, options: options.transfer(transfer), cache: None, file, random, book }
    }

    /// Works until the daemon is dead, or everyone is to stop. Counts what is done.
    ///
    /// # Panics
    /// Where a living daemon refuses something, or says what can't be.
    pub fn work(&mut self, daemon: &Watch, done: &AtomicU64) {
        while !daemon.is_over() {
            match self.step() {
                Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
                // It is not known whether it was done, and what is next would depend on it.
                Err(error) if error.is_unknown_outcome() => return,
                Err(error) if error.is_unavailable() => {}
                Err(error) => panic!("{}: {error:?}", self.book.tag()),
            }
        }
    }

    /// Learns what became of the call that was under way when the last daemon died.
    ///
    /// # Errors
    /// Where the store can't be read.
    ///
    /// # Panics
    /// Where it was done in part.
    pub fn settle(&mut self, cache: &DataCache) -> Result<(), Error> {
        let book = &self.book;
        eventually("what ends soon has ended", PATIENCE, || book.ends_soon().is_none_or(|ends| ends < now()));
        self.book.settle(cache)
    }

    fn step(&mut self) -> Result<(), Error> {
        let cache = self.cache()?;
        if self.book.is_open() {
            self.settle(&cache)?;
        }
        match self.random.u8(0..100) {
            0..45 => self.add(&cache),
            45..60 => self.add_many(&cache),
            60..72 => self.delete(&cache),
            72..80 => self.touch(&cache),
            80..85 => self.delete_many(&cache),
            85..88 => self.evict(&cache),
            // Has the log applied.
            88..94 => cache.list().page_size(1).next().transpose().map(drop),
            94..97 => cache.expire().map(drop),
            _ => self.add_very_many(&cache),
        }
    }

    fn cache(&mut self) -> Result<DataCache, Error> {
        let opened = self.cache.take().map_or_else(|| DataCache::open(self.options.clone()), Ok)?;
        Ok(self.cache.insert(opened).clone())
    }

    fn add(&mut self, cache: &DataCache) -> Result<(), Error> {
        let (key, entry) = (self.key(), self.entry());
        let is_file = self.kind == Kind::Stager && self.random.bool();
        let value = match is_file {
            true => {
                std::fs::write(&self.file, entry.content.bytes()).unwrap();
                cache.add_file(&self.file)
            }
            false => cache.add(entry.content.bytes()),
        };
        let value = value.key(self.book.name(key)).expire(entry.expire()).tags(self.tags(entry));
        let value = value.pin(self.book.is_pinned(key));
        let value = if self.random.u8(0..10) == 0 { value.durable() } else { value };
        self.change(vec![(key, Some(entry))], || value.run().map(drop))
    }

    fn add_many(&mut self, cache: &DataCache) -> Result<(), Error> {
        let keys: Vec<_> = self.some_keys().into_iter().map(|key| (key, Some(self.entry()))).collect();
        let items = keys.iter().filter_map(|(key, entry)| {
            let (name, entry) = (self.book.name(*key), (*entry)?);
            let item = Item::new(entry.content.bytes()).key(name).expire(entry.expire()).tags(self.tags(entry));
            Some(item.pin(self.book.is_pinned(*key)))
        });
        let items: Vec<Item> = items.collect();
        self.change(keys, || cache.add_many(items).run().map(drop))
    }

    /// So much that the log is applied in several transactions. Of each key the last counts.
    fn add_very_many(&mut self, cache: &DataCache) -> Result<(), Error> {
        let mut items = Vec::with_capacity(VERY_MANY);
        let mut last = [None; KEYS];
        for number in 0..VERY_MANY {
            let (key, content) = (number % KEYS, Content::draw_small(&mut self.random));
            last[key] = Some(Entry { content, ends: None, is_tagged: false });
            let item = Item::new(content.bytes()).key(self.book.name(key)).expire(Expire::Never);
            items.push(item.pin(self.book.is_pinned(key)));
        }
        self.change(last.into_iter().enumerate().collect(), || cache.add_many(items).run().map(drop))
    }

    fn delete(&mut self, cache: &DataCache) -> Result<(), Error> {
        let key = self.key();
        let (name, lives) = (self.book.name(key), self.lives(key));
        self.change(vec![(key, None)], || {
            let was_there = cache.delete(&*name)?;
            assert!(lives.is_none_or(|lives| lives == was_there), "whether {name} was there: {was_there}");
            Ok(())
        })
    }

    fn delete_many(&mut self, cache: &DataCache) -> Result<(), Error> {
        let keys = self.some_keys();
        let names: Vec<String> = keys.iter().map(|key| self.book.name(*key)).collect();
        let change = keys.into_iter().map(|key| (key, None)).collect();
        self.change(change, || cache.delete_many(names.iter().map(|name| &**name)).map(drop))
    }

    fn touch(&mut self, cache: &DataCache) -> Result<(), Error> {
        let key = self.key();
        let Some(entry) = self.book.entry(key).filter(|_| !self.is_about_to_end(key)) else { return Ok(()) };
        let (name, entry) = (self.book.name(key), Entry { ends: self.ends(), ..entry });
        let mut was_there = false;
        self.change(vec![(key, Some(entry))], || {
            was_there = cache.touch(&*name, entry.expire())?;
            Ok(())
        })?;
        if !was_there {
            self.book.lose(key);
        }
        Ok(())
    }

    /// Goes entry by entry.
    fn evict(&mut self, cache: &DataCache) -> Result<(), Error> {
        let tagged = self.book.entries().filter(|(_, entry)| entry.is_tagged);
        let change = Change { keys: tagged.map(|(key, _)| (key, None)).collect(), is_whole: false };
        let tag = self.book.tag();
        self.make(change, || cache.evict(tag).map(drop))
    }

    fn change(
        &mut self,
        keys: Vec<(usize, Option<Entry>)>,
        call: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.make(Change { keys, is_whole: true }, call)
    }

    fn make(&mut self, change: Change, call: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        self.book.begin(change);
        let made = call();
        match &made {
            Ok(()) => self.book.acknowledge(),
            // Nobody knows.
            Err(error) if error.is_unknown_outcome() => {}
            Err(_) => self.book.forget(),
        }
        made
    }

    /// Tells whether a key holds something; `None` where that can't be known.
    fn lives(&self, key: usize) -> Option<bool> {
        let entry = self.book.entry(key);
        let is_certain = !self.is_about_to_end(key) && (entry.is_none() || !self.book.may_go(key));
        is_certain.then_some(entry.is_some())
    }

    /// Tells whether what a key holds is just about to end, or has only just ended.
    fn is_about_to_end(&self, key: usize) -> bool {
        let soon = now() + 10_000;
        self.book.entry(key).is_some_and(|entry| entry.ends.is_some_and(|ends| ends <= soon))
    }

    fn key(&mut self) -> usize {
        self.random.usize(..KEYS)
    }

    fn some_keys(&mut self) -> Vec<usize> {
        let mut keys: Vec<usize> = (0..KEYS).collect();
        self.random.shuffle(&mut keys);
        keys.truncate(self.random.usize(2..=6));
        keys
    }

    fn entry(&mut self) -> Entry {
        let content = match self.kind {
            Kind::Writer => Content::draw(&mut self.random),
            Kind::Stager | Kind::Sender => Content::draw_large(&mut self.random),
        };
        Entry { content, ends: self.ends(), is_tagged: self.random.bool() }
    }

    /// Most stay, some end one day, some soon.
    fn ends(&mut self) -> Option<u64> {
        match self.random.u8(0..10) {
            0..6 => None,
            6..9 => Some(now() + self.random.u64(3_600_000..7_200_000)),
            _ => Some(now() + self.random.u64(5..100)),
        }
    }

    fn tags(&self, entry: Entry) -> Vec<String> {
        if entry.is_tagged { vec![self.book.tag()] } else { Vec::new() }
    }
}
