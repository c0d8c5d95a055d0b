//! The cache for programs that wait: the asynchronous one with a runtime of its own, and nothing twice.
//!
//! Every call can be made from any thread. Within a tokio runtime, where waiting is not allowed, a call runs on a thread of its
//! own while the caller's thread is blocked all the same: it works, but [`crate::DataCache`] is better there.

mod finding;
mod requests;
mod scope;

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use datacache_proto::key::Key;
use datacache_proto::types::{Lookup, Metadata, Reloaded, Stats, TagStats, Verification};
use serde::de::DeserializeOwned;

use crate::add::Add;
use crate::add_many::AddMany;
use crate::daemon::DaemonInfo;
use crate::download::Sink;
use crate::engine::Engine;
use crate::error::Error;
use crate::expire::Expire;
use crate::file::GetFile;
use crate::found::{Found, here};
use crate::item::Item;
use crate::list::List;
use crate::mapped::Mapped;
use crate::new_value::NewValue;
use crate::options::Options;
use crate::reader::ValueReader;
use crate::value::{FromValue, Value};

pub use self::scope::Scope;

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
        Ok(Scope::new(self.cache.scope()?, Arc::clone(&self.engine)))
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

    /// Has the daemon look at a value that was found to be damaged; see [`crate::DataCache::suspect`].
    ///
    /// # Errors
    /// Those of [`crate::DataCache::suspect`].
    pub fn suspect(&self, key: impl Into<Key>) -> Result<bool, Error> {
        self.run(self.cache.suspect(key.into()))
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
