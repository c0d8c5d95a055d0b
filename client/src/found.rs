//! A value that was found, and the two ways to it: directly in the store, else by call. The only place where they meet.

use std::sync::Arc;

use datacache_proto::key::Key;
use datacache_proto::record::{self, Record};
use datacache_proto::types::{Codec, Fallback, Lookup};

use crate::blob::{self, Blob, Opening};
use crate::cache::DataCache;
use crate::connection::Connection;
use crate::direct::Look;
use crate::download::{Sink, Wanted};
use crate::error::Error;
use crate::fault::settle;
use crate::mapped::Mapped;
use crate::options::Transfer;
use crate::reader::ValueReader;
use crate::repeat::Call;
use crate::value::{Bytes, Value};

/// How often a large value is looked up anew when its file is gone by the time it is opened. The last time by call it is fetched
/// through the daemon, which opens it itself.
const LOOKS: u32 = 16;

/// A value that was found: small and here, or a file.
pub(crate) enum Found {
    Here { codec: Codec, version: u64, bytes: Vec<u8> },
    Blob(Blob),
}

/// What came of a direct look; within, why the daemon has to be asked.
pub(crate) type Directly<T> = Result<Result<T, Fallback>, Error>;

impl Found {
    /// Tells whether reading the value takes as long as it has bytes.
    pub(crate) fn is_slow(&self, mapped: bool) -> bool {
        matches!(self, Self::Blob(_)) && !mapped
    }

    /// Takes the value: in memory, or as a map of its file where that is wanted.
    pub(crate) fn into_value(self, mapped: bool) -> Result<Value, Error> {
        match self {
            Self::Here { codec, version, bytes } => Ok(Value::new(codec, version, Bytes::Owned(bytes))),
            Self::Blob(blob) if mapped => blob.map(),
            Self::Blob(blob) => blob.read(),
        }
    }

    /// Takes a reader of the value.
    pub(crate) fn into_reader(self) -> ValueReader {
        match self {
            Self::Here { codec, version, bytes } => ValueReader::of_memory(codec, version, bytes),
            Self::Blob(blob) => ValueReader::of_blob(blob),
        }
    }

    /// Takes the value along with its open file.
    pub(crate) fn into_mapped(self) -> Result<Mapped, Error> {
        match self {
            Self::Blob(blob) => Ok(Mapped::new(blob.map()?, Some(blob.file))),
            here => Ok(Mapped::new(here.into_value(true)?, None)),
        }
    }
}

impl DataCache {
    /// Finds a value and opens it, directly where that can be done.
    pub(crate) async fn find(&self, key: Key, sink: Sink) -> Result<Option<Found>, Error> {
        match self.find_directly(&key)? {
            Ok(found) => Ok(found),
            // Boxed, so that whoever looks directly does not carry it about.
            Err(fallback) => Box::pin(self.find_by_call(key, sink, fallback)).await,
        }
    }

    /// Finds a value in the store itself, and opens it. A large one may be replaced and its file unlinked between the two; then
    /// it is looked up again, until the lookup itself says that it is not there.
    pub(crate) fn find_directly(&self, key: &Key) -> Directly<Option<Found>> {
        for _ in 0..LOOKS {
            let look = match self.look(key, lookup_of)? {
                Ok(look) => look,
                Err(fallback) => return Ok(Err(fallback)),
            };
            let Lookup::Blob { codec, version, length, digest } = look.seen else {
                look.count(look.seen != Lookup::Miss);
                return Ok(Ok(here(look.seen)));
            };
            let Some(store) = look.store().filter(|_| self.settings().transfer != Transfer::Chunks) else {
                return Ok(Err(Fallback::Off));
            };
            match blob::open(store, &digest, length)? {
                Opening::Open(file) => {
                    look.count(true);
                    return Ok(Ok(Some(Found::Blob(Blob { codec, version, length, digest, file }))));
                }
                Opening::Gone => {}
                Opening::Closed => return Ok(Err(Fallback::Unreachable)),
            }
        }
        Ok(Err(Fallback::Unreadable))
    }

    /// Looks a key up in the store itself; what is found is not counted yet.
    #[inline]
    pub(crate) fn look<T>(&self, key: &Key, judge: impl Fn(Option<&Record<'_>>) -> T) -> Directly<Look<T>> {
        key.check()?;
        self.selected().check()?;
        Ok(self.session()?.direct.look(self.selected(), key, judge))
    }

    /// Finds a value through the daemon, and opens it, again and again as [`DataCache::find_directly`] does.
    pub(crate) async fn find_by_call(&self, key: Key, sink: Sink, fallback: Fallback) -> Result<Option<Found>, Error> {
        for look in 1..=LOOKS {
            let wanted = match self.lookup_by_call(&key, fallback).await? {
                Lookup::Blob { codec, version, length, digest } => Wanted { codec, version, length, digest },
                small => return Ok(here(small)),
            };
            if let Some(found) = self.open_blob(&key, wanted, sink, look < LOOKS).await? {
                return Ok(Some(found));
            }
        }
        Err(Error::Restless { looks: LOOKS })
    }

    async fn lookup_by_call(&self, key: &Key, fallback: Fallback) -> Result<Lookup, Error> {
        let namespace = self.namespace_name()?;
        let attempt = |connection: Arc<Connection>, context| {
            let (namespace, key) = (namespace.clone(), key.clone());
            async move { settle(connection.client.get(context, namespace, key, fallback).await) }
        };
        self.ask(Call::read("get"), attempt).await
    }

    /// Opens a value's file in the store, or fetches a copy through the daemon where the folder can't be reached.
    pub(crate) async fn open_blob(
        &self,
        key: &Key,
        wanted: Wanted,
        sink: Sink,
        may_open: bool,
    ) -> Result<Option<Found>, Error> {
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
}

/// Returns what a lookup by call would say of a record.
pub(crate) fn lookup_of(record: Option<&Record<'_>>) -> Lookup {
    let Some(record) = record else { return Lookup::Miss };
    let (codec, version) = (record.codec, record.version);
    match record.value {
        record::Value::Inline(bytes) => Lookup::Inline { codec, version, value: bytes.to_vec() },
        record::Value::Blob { length, digest } => Lookup::Blob { codec, version, length, digest },
    }
}

/// Returns a value that came along with the lookup.
pub(crate) fn here(lookup: Lookup) -> Option<Found> {
    match lookup {
        Lookup::Inline { codec, version, value } => Some(Found::Here { codec, version, bytes: value }),
        Lookup::Miss | Lookup::Blob { .. } => None,
    }
}
