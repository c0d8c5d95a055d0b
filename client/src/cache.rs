//! The cache as callers hold it, and the look at a key: the only place where the ways to a value meet.

use std::fmt;
use std::future::Future;
use std::io::Read;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use datacache_proto::key::{Key, check_namespace};
use datacache_proto::types::{Codec, Lookup};
use serde::de::DeserializeOwned;

use crate::add::Add;
use crate::blob::{self, Blob, Opening};
use crate::connection::Connection;
use crate::download::{Sink, Wanted};
use crate::error::Error;
use crate::fault::settle;
use crate::file::GetFile;
use crate::fork::PerProcess;
use crate::lease::Scope;
use crate::list::List;
use crate::mapped::Mapped;
use crate::new_value::NewValue;
use crate::options::{Options, Settings};
use crate::reader::ValueReader;
use crate::repeat::Call;
use crate::session::Session;
use crate::start::Effort;
use crate::value::{Bytes, FromValue, Json, Value};

/// How often a large value is looked up anew when its file is gone by the time it is opened; the last time it is fetched
/// through the daemon, which opens it itself.
const LOOKS: u32 = 16;

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
    namespace: Arc<str>,
}

struct Shared {
    settings: Arc<Settings>,
    sessions: PerProcess<Arc<Session>>,
}

/// A value that was found: small and here, or a file.
pub(crate) enum Found {
    Here { codec: Codec, version: u64, bytes: Vec<u8> },
    Blob(Blob),
}

impl DataCache {
    /// Opens a cache, and starts its daemon where none runs.
    ///
    /// # Errors
    /// [`Error::is_invalid_input`] where the options can't be meant, else why there is no daemon for us.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let cache = Self::unconnected(options)?;
        cache.session()?.connect().await?;
        Ok(cache)
    }

    /// Opens a cache only if its daemon runs already; `None` where none does.
    ///
    /// # Errors
    /// Those of [`DataCache::open`], except that there is no daemon.
    pub async fn try_connect(options: Options) -> Result<Option<Self>, Error> {
        let cache = Self::unconnected(options)?;
        match cache.session()?.connection(Effort::Once).await {
            Ok(_) => Ok(Some(cache)),
            Err(Error::NoDaemon { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unconnected(options: Options) -> Result<Self, Error> {
        let (settings, namespace) = options.resolve()?;
        let settings = Arc::new(settings);
        let sessions = PerProcess::new(Arc::new(Session::new(Arc::clone(&settings))));
        Ok(Self { shared: Arc::new(Shared { settings, sessions }), namespace: namespace.into() })
    }

    /// Returns the same cache with another namespace selected; the connection is shared.
    ///
    /// A name that can't be one is refused by the calls that are made with it.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), namespace: name.into() }
    }

    /// Begins to add a value under its hash, or under a key that is set; see [`Add`].
    pub fn add(&self, value: impl Into<NewValue>) -> Add {
        Add::value(self.clone(), value.into())
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
    /// # Errors
    /// Where the daemon can't be reached, or the value's file is damaged.
    pub async fn get(&self, key: impl Into<Key>) -> Result<Option<Value>, Error> {
        match self.find(key.into(), Sink::Memory).await? {
            None => Ok(None),
            Some(Found::Here { codec, version, bytes }) => Ok(Some(Value::new(codec, version, Bytes::Owned(bytes)))),
            Some(Found::Blob(blob)) if self.settings().mapped => blob.map().map(Some),
            Some(Found::Blob(blob)) => off_thread(move || blob.read()).await.map(Some),
        }
    }

    /// Returns the value under a key as a type: `Vec<u8>`, `String`, [`Json`], or [`Value`] for any.
    ///
    /// # Errors
    /// [`Error::WrongType`] where it was added as another type, and those of [`DataCache::get`].
    pub async fn get_as<T: FromValue>(&self, key: impl Into<Key>) -> Result<Option<T>, Error> {
        self.get(key).await?.map(T::from_value).transpose()
    }

    /// Returns the value under a key that was added as JSON.
    ///
    /// # Errors
    /// [`Error::Json`] where it does not fit `T`, and those of [`DataCache::get_as`].
    pub async fn get_json<T: DeserializeOwned>(&self, key: impl Into<Key>) -> Result<Option<T>, Error> {
        Ok(self.get_as::<Json<T>>(key).await?.map(|Json(value)| value))
    }

    /// Returns a reader of the value under a key, for values of any size.
    ///
    /// # Errors
    /// Those of [`DataCache::get`]; damage shows while reading.
    pub async fn get_reader(&self, key: impl Into<Key>) -> Result<Option<ValueReader>, Error> {
        Ok(self.find(key.into(), Sink::File).await?.map(|found| match found {
            Found::Here { codec, version, bytes } => ValueReader::of_memory(codec, version, bytes),
            Found::Blob(blob) => ValueReader::of_blob(blob),
        }))
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
        match self.find(key.into(), Sink::File).await? {
            None => Ok(None),
            Some(Found::Here { codec, version, bytes }) => {
                Ok(Some(Mapped::new(Value::new(codec, version, Bytes::Owned(bytes)), None)))
            }
            Some(Found::Blob(blob)) => Ok(Some(Mapped::new(blob.map()?, Some(blob.file)))),
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
        Ok(Scope::open(self.session()?))
    }

    /// Looks a key up. By call; a map of the store would be asked first.
    async fn lookup(&self, key: &Key) -> Result<Lookup, Error> {
        let namespace = self.namespace_name()?;
        let session = self.session()?;
        let attempt = |connection: Arc<Connection>, context| {
            let (namespace, key) = (namespace.clone(), key.clone());
            async move { settle(connection.client.get(context, namespace, key).await) }
        };
        session.call(Call::read("get"), attempt).await
    }

    /// Finds a value and opens it. A large one may be replaced and its file unlinked between the two; then it is looked up
    /// again, until the lookup itself says that it is not there.
    pub(crate) async fn find(&self, key: Key, sink: Sink) -> Result<Option<Found>, Error> {
        key.check()?;
        for look in 1..=LOOKS {
            let wanted = match self.lookup(&key).await? {
                Lookup::Miss => return Ok(None),
                Lookup::Inline { codec, version, value } => {
                    return Ok(Some(Found::Here { codec, version, bytes: value }));
                }
                Lookup::Blob { codec, version, length, digest } => Wanted { codec, version, length, digest },
            };
            if let Some(found) = self.open_blob(&key, wanted, sink, look < LOOKS).await? {
                return Ok(Some(found));
            }
        }
        Err(Error::Restless { looks: LOOKS })
    }

    /// Opens a value's file in the store, or fetches a copy through the daemon where the folder can't be reached.
    async fn open_blob(&self, key: &Key, wanted: Wanted, sink: Sink, may_open: bool) -> Result<Option<Found>, Error> {
        let connection = self.session()?.connect().await?;
        if let Some(store) = connection.store().filter(|_| may_open) {
            let Wanted { codec, version, length, digest } = wanted;
            match blob::open(store, &digest, length)? {
                Opening::Open(file) => return Ok(Some(Found::Blob(Blob { codec, version, length, digest, file }))),
                Opening::Gone => return Ok(None),
                Opening::Closed => connection.store_is_elsewhere(),
            }
        }
        self.download(key, wanted, sink).await
    }

    /// Returns the session of the calling process.
    pub(crate) fn session(&self) -> Result<&Arc<Session>, Error> {
        self.shared.sessions.get(|| Ok(Arc::new(Session::new(Arc::clone(&self.shared.settings)))))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Returns the namespace for a call, checked.
    pub(crate) fn namespace_name(&self) -> Result<String, Error> {
        check_namespace(&self.namespace)?;
        Ok(self.namespace.as_ref().to_owned())
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
            .field("namespace", &self.namespace)
            .field("socket", &self.settings().paths.socket)
            .finish_non_exhaustive()
    }
}
