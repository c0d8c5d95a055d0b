//! The cache for programs that wait: the asynchronous one with a runtime of its own, and nothing twice.
//!
//! Every call can be made from any thread. Within a tokio runtime, where waiting is not allowed, a call runs on a thread of its
//! own while the caller's thread is blocked all the same: it works, but [`crate::DataCache`] is better there.

use std::fmt;
use std::io::Read;
use std::iter::FusedIterator;
use std::path::PathBuf;
use std::sync::Arc;

use datacache_proto::key::Key;
use datacache_proto::types::{Fallback, Lookup, Metadata, Reloaded, Stats, TagStats, Verification};
use serde::de::DeserializeOwned;

use crate::add::Add;
use crate::add_many::AddMany;
use crate::daemon::DaemonInfo;
use crate::download::Sink;
use crate::engine::Engine;
use crate::error::Error;
use crate::expire::Expire;
use crate::file::{FileGuard, GetFile};
use crate::found::{Found, here};
use crate::item::Item;
use crate::list::List;
use crate::mapped::Mapped;
use crate::new_value::NewValue;
use crate::options::Options;
use crate::reader::ValueReader;
use crate::suspicion::Verdict;
use crate::value::{FromValue, Value};

/// A user's cache, for programs without a runtime. Its calls do what those of [`crate::DataCache`] do, and wait.
///
/// Clones are cheap and share one connection; threads may share a clone. It starts no thread of its own, except for large
/// values and within a runtime.
///
/// # Examples
/// ```no_run
/// use datacache_client::{Expire, Options, blocking::DataCache};
/// use std::time::Duration;
///
/// let cache = DataCache::open(Options::new())?;
/// let key = cache.add("some text").expire(Expire::After(Duration::from_secs(60))).run()?;
/// assert_eq!(cache.get_as::<String>(key)?.as_deref(), Some("some text"));
/// # Ok::<(), datacache_client::Error>(())
/// ```
#[derive(Clone)]
pub struct DataCache {
    // Before `engine`: the connection is closed while its runtime still lives.
    cache: crate::DataCache,
    engine: Arc<Engine>,
}

impl DataCache {
    /// Opens a cache: its store where that can be read directly, else a connection to its daemon; see [`crate::DataCache::open`].
    ///
    /// # Errors
    /// Those of [`crate::DataCache::open`].
    pub fn open(options: Options) -> Result<Self, Error> {
        let (cache, engine) = (crate::DataCache::unconnected(options.waiting())?, Engine::new());
        if !cache.opens_directly() {
            engine.run(cache.connect())?;
        }
        Ok(Self { cache, engine: Arc::new(engine) })
    }

    /// Opens a cache only if its daemon runs already; `None` where none does.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::try_connect`].
    pub fn try_connect(options: Options) -> Result<Option<Self>, Error> {
        let engine = Engine::new();
        let cache = engine.run(crate::DataCache::try_connect(options.waiting()))?;
        Ok(cache.map(|cache| Self { cache, engine: Arc::new(engine) }))
    }

    /// Returns the same cache with another namespace selected; see [`crate::DataCache::namespace`].
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        Self { cache: self.cache.namespace(name), engine: Arc::clone(&self.engine) }
    }

    /// Begins to add a value; see [`Add`].
    pub fn add(&self, value: impl Into<NewValue>) -> Add<Self> {
        Add::value(self.clone(), value.into())
    }

    /// Begins to add many entries, all or none of them; see [`AddMany`].
    pub fn add_many<I: Into<Item>>(&self, items: impl IntoIterator<Item = I>) -> AddMany<Self> {
        AddMany::of(self.clone(), items)
    }

    /// Begins to add the content of a file, in constant memory; see [`Add`].
    pub fn add_file(&self, path: impl Into<PathBuf>) -> Add<Self> {
        Add::file(self.clone(), path.into())
    }

    /// Begins to add what a reader yields, in constant memory; see [`Add`].
    pub fn add_reader(&self, reader: impl Read + Send + 'static) -> Add<Self> {
        Add::reader(self.clone(), Box::new(reader))
    }

    /// Adds a value under a key, with the default expiry.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::set`].
    pub fn set(&self, key: impl Into<Key>, value: impl Into<NewValue>) -> Result<(), Error> {
        self.add(value).key(key).run().map(drop)
    }

    /// Returns the value under a key, `None` where there is no live entry.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::get`].
    pub fn get(&self, key: impl Into<Key>) -> Result<Option<Value>, Error> {
        self.get_value(&key.into())
    }

    /// Returns the values under keys, in their order; see [`crate::DataCache::get_many`].
    ///
    /// # Errors
    /// Those of [`crate::DataCache::get_many`].
    pub fn get_many<K: Into<Key>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Option<Value>>, Error> {
        let keys: Vec<Key> = keys.into_iter().map(Into::into).collect();
        match self.cache.look_many_directly(&keys)? {
            Err(fallback) => self.run(self.cache.get_many_by_call(&keys, fallback)),
            Ok(lookups) => keys.into_iter().zip(lookups).map(|(key, lookup)| self.take(key, lookup)).collect(),
        }
    }

    fn take(&self, key: Key, lookup: Lookup) -> Result<Option<Value>, Error> {
        match lookup {
            Lookup::Blob { .. } => self.get(key),
            small => here(small).map(|found| found.into_value(self.cache.settings().reading)).transpose(),
        }
    }

    /// Returns the value under a key as a type; see [`crate::DataCache::get_as`].
    ///
    /// # Errors
    /// Those of [`crate::DataCache::get_as`].
    pub fn get_as<T: FromValue>(&self, key: impl Into<Key>) -> Result<Option<T>, Error> {
        let key = key.into();
        let value = self.get_value(&key)?.map(T::from_value).transpose();
        value.map_err(|error| error.about(&key))
    }

    /// Returns the value under a key that was added as JSON.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::get_json`].
    pub fn get_json<T: DeserializeOwned>(&self, key: impl Into<Key>) -> Result<Option<T>, Error> {
        let key = key.into();
        let value = self.get_value(&key)?.map(|value| value.as_json()).transpose();
        value.map_err(|error| error.about(&key))
    }

    /// Returns a reader of the value under a key, for values of any size.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::get_reader`].
    pub fn get_reader(&self, key: impl Into<Key>) -> Result<Option<ValueReader>, Error> {
        let key = key.into();
        self.unless_damaged(&key, || Ok(self.find(&key, Sink::File)?.map(Found::into_reader)))
    }

    /// Begins to write the value under a key to a file of the caller's own; see [`GetFile`].
    pub fn get_file(&self, key: impl Into<Key>) -> GetFile<Self> {
        GetFile::of(self.clone(), key.into())
    }

    /// Borrows the stored file of the value under a key: no copy, to be read only.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::borrow_file`].
    pub fn borrow_file(&self, key: impl Into<Key>) -> Result<Option<Mapped>, Error> {
        let (key, check) = (key.into(), self.cache.settings().reading.check);
        self.unless_damaged(&key, || self.find(&key, Sink::File)?.map(|found| found.into_mapped(check)).transpose())
    }

    /// Tells whether a live entry has this key.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::contains`].
    pub fn contains(&self, key: impl Into<Key>) -> Result<bool, Error> {
        let key = key.into();
        let by_call = |_| self.run(self.cache.contains_by_call(key.clone()));
        self.cache.contains_directly(&key)?.or_else(by_call)
    }

    /// Counts the live entries of the namespace, exactly.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::len`].
    pub fn len(&self) -> Result<u64, Error> {
        self.run(self.cache.len())
    }

    /// Tells whether the namespace has no live entries.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::len`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Returns what is kept about an entry, `None` where there is no live one.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::stat`].
    pub fn stat(&self, key: impl Into<Key>) -> Result<Option<Metadata>, Error> {
        let key = key.into();
        let by_call = |_| self.run(self.cache.stat_by_call(key.clone()));
        self.cache.stat_directly(&key)?.or_else(by_call)
    }

    /// Gives an entry a new expiry; tells whether there is a live entry.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::touch`].
    pub fn touch(&self, key: impl Into<Key>, expire: impl Into<Expire>) -> Result<bool, Error> {
        self.run(self.cache.touch(key.into(), expire.into()))
    }

    /// Deletes an entry; tells whether there was a live one.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::delete`].
    pub fn delete(&self, key: impl Into<Key>) -> Result<bool, Error> {
        self.run(self.cache.delete(key.into()))
    }

    /// Deletes entries; returns how many there were. See [`crate::DataCache::delete_many`].
    ///
    /// # Errors
    /// Those of [`crate::DataCache::delete_many`].
    pub fn delete_many<K: Into<Key>>(&self, keys: impl IntoIterator<Item = K>) -> Result<u64, Error> {
        let keys: Vec<Key> = keys.into_iter().map(Into::into).collect();
        self.run(self.cache.delete_many(keys))
    }

    /// Deletes the entries that have a tag; returns how many.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::evict`].
    pub fn evict(&self, tag: impl Into<String>) -> Result<u64, Error> {
        self.run(self.cache.evict(tag.into()))
    }

    /// Deletes the entries that have one of these tags; returns how many.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::evict_many`].
    pub fn evict_many<T: Into<String>>(&self, tags: impl IntoIterator<Item = T>) -> Result<u64, Error> {
        let tags: Vec<String> = tags.into_iter().map(Into::into).collect();
        self.run(self.cache.evict_many(tags))
    }

    /// Removes the entries whose time is over; returns how many.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::expire`].
    pub fn expire(&self) -> Result<u64, Error> {
        self.run(self.cache.expire())
    }

    /// Deletes all entries of the namespace that are there when the call begins; returns how many.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::clear`].
    pub fn clear(&self) -> Result<u64, Error> {
        self.run(self.cache.clear())
    }

    /// Begins to list the namespace's entries: an iterator; see [`List`].
    pub fn list(&self) -> List<Self> {
        List::of(self.clone())
    }

    /// Opens a scope that entries can be bound to; see [`crate::Scope`].
    ///
    /// # Errors
    /// Those of [`crate::DataCache::scope`].
    pub fn scope(&self) -> Result<Scope, Error> {
        Ok(Scope { scope: Some(self.cache.scope()?), engine: Arc::clone(&self.engine) })
    }

    /// Tells which daemon serves this cache.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::daemon`].
    pub fn daemon(&self) -> Result<DaemonInfo, Error> {
        self.run(self.cache.daemon())
    }

    /// Returns counters and sizes of all namespaces, the store and the daemon.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::stats`].
    pub fn stats(&self) -> Result<Stats, Error> {
        self.run(self.cache.stats())
    }

    /// Returns what is known of tags; see [`crate::DataCache::tags`].
    ///
    /// # Errors
    /// Those of [`crate::DataCache::tags`].
    pub fn tags(&self, namespace: Option<&str>) -> Result<TagStats, Error> {
        self.run(self.cache.tags(namespace))
    }

    /// Checks the whole store, and mends what can be mended if `repair` is set.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::verify`].
    pub fn verify(&self, repair: bool) -> Result<Verification, Error> {
        self.run(self.cache.verify(repair))
    }

    /// Has the daemon read its settings again; see [`crate::DataCache::reload`].
    ///
    /// # Errors
    /// Those of [`crate::DataCache::reload`].
    pub fn reload(&self) -> Result<Reloaded, Error> {
        self.run(self.cache.reload())
    }

    /// Asks the daemon to end in good order, and returns once it has begun to.
    ///
    /// # Errors
    /// Those of [`crate::DataCache::stop_daemon`].
    pub fn stop_daemon(&self) -> Result<(), Error> {
        self.run(self.cache.stop_daemon())
    }

    #[inline]
    fn get_value(&self, key: &Key) -> Result<Option<Value>, Error> {
        match self.cache.find_directly(key)? {
            Ok(Some(Found::Here(value))) => Ok(Some(value)),
            Ok(None) => Ok(None),
            other => self.get_slowly(key, other),
        }
    }

    /// Apart, as whoever finds a small value has no need of it.
    #[cold]
    fn get_slowly(&self, key: &Key, found: Result<Option<Found>, Fallback>) -> Result<Option<Value>, Error> {
        let mut first = Some(found);
        self.unless_damaged(key, || {
            let found = match first.take() {
                Some(found) => found,
                None => self.cache.find_directly(key)?,
            };
            let found = found.or_else(|fallback| self.find_by_call(key.clone(), Sink::Memory, fallback))?;
            found.map(|found| found.into_value(self.cache.settings().reading)).transpose()
        })
    }

    /// Makes attempts to get a value until one meets with no damage, or the value is a miss because of it.
    fn unless_damaged<T>(
        &self,
        key: &Key,
        mut attempt: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let mut doubts = 0;
        loop {
            let error = match attempt() {
                Err(error) => error,
                found => return found,
            };
            if self.run(self.cache.judge(key, error, &mut doubts))? == Verdict::Miss {
                return Ok(None);
            }
        }
    }

    /// Has the daemon look at a value that was found to be damaged; see [`crate::DataCache::suspect`].
    ///
    /// # Errors
    /// Those of [`crate::DataCache::suspect`].
    pub fn suspect(&self, key: impl Into<Key>) -> Result<bool, Error> {
        self.run(self.cache.suspect(key.into()))
    }

    /// Finds a value: directly, which needs no runtime, else by call.
    #[inline(always)]
    fn find(&self, key: &Key, sink: Sink) -> Result<Option<Found>, Error> {
        match self.cache.find_directly(key)? {
            Ok(found) => Ok(found),
            Err(fallback) => self.find_by_call(key.clone(), sink, fallback),
        }
    }

    /// Apart, because it takes much of the stack.
    #[cold]
    fn find_by_call(&self, key: Key, sink: Sink, fallback: Fallback) -> Result<Option<Found>, Error> {
        self.run(self.cache.find_by_call(key, sink, fallback))
    }

    fn run<T: Send>(&self, future: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        self.engine.run(future)
    }
}

impl fmt::Debug for DataCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cache.fmt(f)
    }
}

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

/// A scope of a blocking cache; see [`crate::Scope`]. Dropping it tells the daemon at once, and waits for the answer.
#[derive(Debug)]
pub struct Scope {
    /// `None` once it has ended.
    scope: Option<crate::Scope>,
    engine: Arc<Engine>,
}

impl Scope {
    /// Ends the scope; returns how many entries went.
    ///
    /// # Errors
    /// Those of [`crate::Scope::end`].
    pub fn end(mut self) -> Result<u64, Error> {
        self.scope.take().map_or(Ok(0), |scope| self.engine.run(scope.end()))
    }
}

impl AsRef<crate::Scope> for Scope {
    fn as_ref(&self) -> &crate::Scope {
        self.scope.as_ref().expect("it is taken only by what consumes the scope")
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        match self.scope.take() {
            Some(scope) if scope.is_own() => {
                if let Err(error) = self.engine.run(scope.end()) {
                    tracing::warn!(%error, "a scope ended, and the daemon could not be told yet");
                }
            }
            // A forked child's: nothing is done.
            scope => drop(scope),
        }
    }
}
