//! The cache as callers hold it.

use std::fmt;
use std::future::Future;
use std::io::Read;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use datacache_proto::key::Key;
use datacache_proto::types::Fallback;
use serde::de::DeserializeOwned;

use crate::add::Add;
use crate::add_many::AddMany;
use crate::download::Sink;
use crate::error::Error;
use crate::file::GetFile;
use crate::fork::PerProcess;
use crate::found::Found;
use crate::item::Item;
use crate::lease::Scope;
use crate::list::List;
use crate::mapped::Mapped;
use crate::namespace::Namespace;
use crate::new_value::NewValue;
use crate::options::{Options, Reading, Settings};
use crate::reader::ValueReader;
use crate::session::Session;
use crate::start::Effort;
use crate::suspicion::Verdict;
use crate::value::{FromValue, Json, Value};

/// A user's cache, for asynchronous programs; [`blocking::DataCache`](crate::blocking::DataCache) is for all others.
///
/// Clones are cheap and share one connection, which the runtime tends to that it was made in: calls from another runtime
/// need that one to run. When it is gone, and in a forked child, a clone connects anew by itself.
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), datacache_client::Error> {
/// use datacache_client::{DataCache, Options};
///
/// let cache = DataCache::open(Options::new()).await?;
/// let key = cache.add("some text").await?;
/// assert_eq!(cache.get_as::<String>(key).await?.as_deref(), Some("some text"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DataCache {
    shared: Arc<Shared>,
    namespace: Arc<Namespace>,
}

struct Shared {
    settings: Arc<Settings>,
    sessions: PerProcess<Arc<Session>>,
}

impl DataCache {
    /// Opens a cache: its store where that can be read directly, else a connection to its daemon, which is started where none
    /// runs. A store that is read directly needs a daemon only for what changes something; it is connected to, or started, then.
    ///
    /// # Errors
    /// [`Error::is_invalid_input`] where the options can't be meant, else why there is no daemon for us.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let cache = Self::unconnected(options)?;
        if !cache.opens_directly() {
            cache.connect().await?;
        }
        Ok(cache)
    }

    /// Opens a cache only if its daemon runs already; `None` where none does.
    ///
    /// # Errors
    /// Those of [`DataCache::open`], except that there is no daemon.
    pub async fn try_connect(options: Options) -> Result<Option<Self>, Error> {
        let cache = Self::unconnected(options)?;
        match cache.session().connection(Effort::Once).await {
            Ok(_) => Ok(Some(cache)),
            Err(Error::NoDaemon { .. } | Error::ServedElsewhere { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a cache that has nothing open yet.
    ///
    /// # Errors
    /// Where the options can't be meant.
    pub(crate) fn unconnected(options: Options) -> Result<Self, Error> {
        let (settings, namespace) = options.resolve()?;
        let settings = Arc::new(settings);
        let sessions = PerProcess::new(Arc::new(Session::new(Arc::clone(&settings))));
        Ok(Self { shared: Arc::new(Shared { settings, sessions }), namespace: Arc::new(Namespace::new(&namespace)) })
    }

    /// Opens the store itself; tells whether that could be done.
    pub(crate) fn opens_directly(&self) -> bool {
        self.session().direct.open().is_ok()
    }

    /// Connects to the daemon, and starts it where the options allow that.
    pub(crate) async fn connect(&self) -> Result<(), Error> {
        self.session().connect().await.map(drop)
    }

    /// Returns the same cache with another namespace selected; the connection is shared.
    ///
    /// A name that can't be one is refused by the calls that are made with it.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), namespace: Arc::new(Namespace::new(name)) }
    }

    /// Begins to add a value under its hash, or under a key that is set; see [`Add`].
    pub fn add(&self, value: impl Into<NewValue>) -> Add {
        Add::value(self.clone(), value.into())
    }

    /// Begins to add many entries, all or none of them; see [`AddMany`].
    pub fn add_many<I: Into<Item>>(&self, items: impl IntoIterator<Item = I>) -> AddMany {
        AddMany::of(self.clone(), items)
    }

    /// Begins to add the content of a file, in constant memory; see [`Add`].
    pub fn add_file(&self, path: impl Into<PathBuf>) -> Add {
        Add::file(self.clone(), path.into())
    }

    /// Begins to add what a reader yields, in constant memory; see [`Add`].
    pub fn add_reader(&self, reader: impl Read + Send + 'static) -> Add {
        Add::reader(self.clone(), Box::new(reader))
    }

    /// Adds a value under a key, with the default expiry.
    ///
    /// # Errors
    /// Those of the daemon, and [`Error::is_invalid_input`].
    pub async fn set(&self, key: impl Into<Key>, value: impl Into<NewValue>) -> Result<(), Error> {
        self.add(value).key(key).await.map(drop)
    }

    /// Returns the value under a key, `None` where there is no live entry.
    ///
    /// A value that is a file of its own is mapped, and checked against its SHA-256 once per boot; see
    /// [`Options::check`](crate::Options::check). One that is damaged, or gone, is no live entry.
    ///
    /// # Errors
    /// Where the daemon can't be reached.
    pub async fn get(&self, key: impl Into<Key>) -> Result<Option<Value>, Error> {
        self.get_value(&key.into()).await
    }

    pub(crate) async fn get_value(&self, key: &Key) -> Result<Option<Value>, Error> {
        match self.find_directly(key)? {
            Ok(Some(Found::Here(value))) => Ok(Some(value)),
            Ok(None) => Ok(None),
            // Boxed, so that whoever finds a small value does not carry it about.
            other => Box::pin(self.get_slowly(key, other)).await,
        }
    }

    async fn get_slowly(&self, key: &Key, mut found: Result<Option<Found>, Fallback>) -> Result<Option<Value>, Error> {
        let mut doubts = 0;
        loop {
            let error = match self.get_found(key, found).await {
                Err(error) => error,
                value => return value,
            };
            if self.judge(key, error, &mut doubts).await? == Verdict::Miss {
                return Ok(None);
            }
            found = self.find_directly(key)?;
        }
    }

    async fn get_found(&self, key: &Key, found: Result<Option<Found>, Fallback>) -> Result<Option<Value>, Error> {
        let found = match found {
            Ok(found) => found,
            Err(fallback) => self.find_by_call(key.clone(), Sink::Memory, fallback).await?,
        };
        match found {
            Some(found) => self.read(found).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns the value under a key as a type: `Vec<u8>`, `String`, [`Json`], or [`Value`] for any.
    ///
    /// # Errors
    /// [`Error::WrongType`] where it was added as another type, and those of [`DataCache::get`].
    pub async fn get_as<T: FromValue>(&self, key: impl Into<Key>) -> Result<Option<T>, Error> {
        let key = key.into();
        let Some(value) = self.get_value(&key).await? else { return Ok(None) };
        T::from_value(value).map(Some).map_err(|error| error.about(&key))
    }

    /// Returns the value under a key that was added as JSON.
    ///
    /// # Errors
    /// [`Error::JsonValue`] where it does not fit `T`, and those of [`DataCache::get_as`].
    pub async fn get_json<T: DeserializeOwned>(&self, key: impl Into<Key>) -> Result<Option<T>, Error> {
        Ok(self.get_as::<Json<T>>(key).await?.map(|Json(value)| value))
    }

    /// Returns a reader of the value under a key, for values of any size.
    ///
    /// # Errors
    /// Those of [`DataCache::get`]; damage shows while reading, and is told by [`DataCache::suspect`].
    pub async fn get_reader(&self, key: impl Into<Key>) -> Result<Option<ValueReader>, Error> {
        let (key, mut doubts) = (key.into(), 0);
        loop {
            // Damage shows here already where the value had to be fetched.
            let error = match self.find(&key, Sink::File).await {
                Err(error) => error,
                found => return found.map(|found| found.map(Found::into_reader)),
            };
            if self.judge(&key, error, &mut doubts).await? == Verdict::Miss {
                return Ok(None);
            }
        }
    }

    /// Begins to write the value under a key to a file of the caller's own; see [`GetFile`].
    pub fn get_file(&self, key: impl Into<Key>) -> GetFile {
        GetFile::of(self.clone(), key.into())
    }

    /// Borrows the stored file of the value under a key: no copy, to be read only.
    ///
    /// # Errors
    /// Those of [`DataCache::get`].
    pub async fn borrow_file(&self, key: impl Into<Key>) -> Result<Option<Mapped>, Error> {
        let (key, mut doubts) = (key.into(), 0);
        loop {
            let error = match self.borrow_found(&key).await {
                Err(error) => error,
                found => return found,
            };
            if self.judge(&key, error, &mut doubts).await? == Verdict::Miss {
                return Ok(None);
            }
        }
    }

    async fn borrow_found(&self, key: &Key) -> Result<Option<Mapped>, Error> {
        let reading = Reading { mapped: true, ..self.settings().reading };
        match self.find(key, Sink::File).await? {
            Some(found) if found.is_slow(reading) => {
                off_thread(move || found.into_mapped(reading.check)).await.map(Some)
            }
            found => found.map(|found| found.into_mapped(reading.check)).transpose(),
        }
    }

    /// Begins to list the namespace's entries; see [`List`].
    pub fn list(&self) -> List {
        List::of(self.clone())
    }

    /// Opens a scope that entries can be bound to; see [`Scope`].
    ///
    /// # Errors
    /// None today: the daemon learns of the scope with the first entry that is bound to it.
    pub fn scope(&self) -> Result<Scope, Error> {
        Ok(Scope::open(self.session()))
    }

    /// Returns the session of the calling process.
    pub(crate) fn session(&self) -> &Arc<Session> {
        self.shared.sessions.get(|| Arc::new(Session::new(Arc::clone(&self.shared.settings))))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Returns the namespace for a call, checked.
    pub(crate) fn namespace_name(&self) -> Result<String, Error> {
        self.namespace.check()?;
        Ok(self.namespace.name().to_owned())
    }

    pub(crate) fn selected(&self) -> &Namespace {
        &self.namespace
    }
}

/// Does slow work on a thread that may wait.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let fault = |error| Error::System { action: "work on another thread", source: std::io::Error::other(error) };
    tokio::task::spawn_blocking(work).await.map_err(fault)?
}

/// Boxes a future, for builders that are awaited.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl fmt::Debug for DataCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataCache")
            .field("namespace", &self.namespace.name())
            .field("socket", &self.settings().paths.socket)
            .finish_non_exhaustive()
    }
}
