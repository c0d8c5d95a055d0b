//! A value that was found, and the two ways to it: directly in the store, else by call. The only place where they meet.

use std::sync::Arc;

use datacache_proto::key::Key;
use datacache_proto::record::{self, Record};
use datacache_proto::types::{Fallback, Lookup};

use crate::blob::{self, Blob, Opening, Proof};
use crate::cache::DataCache;
use crate::connection::Connection;
use crate::direct::Look;
use crate::download::{Sink, Wanted};
use crate::error::Error;
use crate::fault::settle;
use crate::mapped::Mapped;
use crate::options::{Check, Reading, Transfer};
use crate::reader::ValueReader;
use crate::repeat::Call;
use crate::value::{Bytes, Value};

/// How often a large value is looked up anew when its file is gone by the time it is opened.
const LOOKS: u32 = 16;

/// A value that was found: small and here, or a file.
pub(crate) enum Found {
    Here(Value),
    Blob(Blob),
}

/// What a direct look saw.
enum Seen {
    Nothing,
    Here(Value),
    Blob(Wanted),
}

/// What came of a direct look; within, why the daemon has to be asked.
pub(crate) type Directly<T> = Result<Result<T, Fallback>, Error>;

impl Found {
    /// Tells whether reading the value takes as long as it has bytes.
    pub(crate) fn is_slow(&self, reading: Reading) -> bool {
        matches!(self, Self::Blob(blob) if blob.has_to_be_read(reading))
    }

    /// Takes the value: in memory, or as a map of its file where that is wanted.
    #[inline]
    pub(crate) fn into_value(self, reading: Reading) -> Result<Value, Error> {
        match self {
            Self::Here(value) => Ok(value),
            Self::Blob(blob) if reading.mapped => blob.map(reading.check),
            Self::Blob(blob) => blob.read(),
        }
    }

    /// Takes a reader of the value.
    pub(crate) fn into_reader(self) -> ValueReader {
        match self {
            Self::Here(value) => ValueReader::of_memory(value),
            Self::Blob(blob) => ValueReader::of_blob(blob),
        }
    }

    /// Takes the value along with its open file.
    pub(crate) fn into_mapped(self, check: Check) -> Result<Mapped, Error> {
        match self {
            Self::Here(value) => Ok(Mapped::new(value, None)),
            Self::Blob(blob) => Ok(Mapped::new(blob.map(check)?, Some(blob.file))),
        }
    }
}

impl DataCache {
    /// Finds a value and opens it, directly where that can be done.
    pub(crate) async fn find(&self, key: &Key, sink: Sink) -> Result<Option<Found>, Error> {
        match self.find_directly(key)? {
            Ok(found) => Ok(found),
            // Boxed, so that whoever looks directly does not carry it about.
            Err(fallback) => Box::pin(self.find_by_call(key.clone(), sink, fallback)).await,
        }
    }

    /// Finds a value in the store itself, and opens it. A large one may be replaced and its file unlinked between the two; then
    /// it is looked up again, until the lookup itself says that it is not there. Where it says the same as before, nothing was
    /// replaced, and the file can't be seen from here.
    #[inline(always)]
    pub(crate) fn find_directly(&self, key: &Key) -> Directly<Option<Found>> {
        let mut missed = None;
        for _ in 0..LOOKS {
            let mut seen = Seen::Nothing;
            let look = match self.look(key, |record| seen = Seen::of(record))? {
                Ok(look) => look,
                Err(fallback) => return Ok(Err(fallback)),
            };
            let found = match seen {
                Seen::Nothing => None,
                Seen::Here(value) => Some(Found::Here(value)),
                Seen::Blob(wanted) => match self.open_directly(&look, wanted)? {
                    Ok(Opening::Open(file, stamp)) => {
                        Some(Found::Blob(wanted.found_in(file, Some(Proof::new(stamp, look.checked())))))
                    }
                    Ok(Opening::Gone) if missed != Some(wanted.version) => {
                        missed = Some(wanted.version);
                        continue;
                    }
                    Ok(Opening::Gone | Opening::Closed) => return Ok(Err(Fallback::Unreachable)),
                    Err(fallback) => return Ok(Err(fallback)),
                },
            };
            look.count(found.is_some());
            return Ok(Ok(found));
        }
        Ok(Err(Fallback::Unreadable))
    }

    fn open_directly(&self, look: &Look, wanted: Wanted) -> Directly<Opening> {
        match look.store().filter(|_| self.settings().transfer != Transfer::Chunks) {
            Some(store) => blob::open(store, &wanted.digest, wanted.length).map(Ok),
            None => Ok(Err(Fallback::Off)),
        }
    }

    /// Looks a key up in the store itself, and shows `judge` its live entry; that is not counted yet.
    #[inline]
    pub(crate) fn look(&self, key: &Key, judge: impl FnMut(Option<&Record<'_>>)) -> Directly<Look> {
        key.check()?;
        self.selected().check()?;
        Ok(self.session().direct.look(self.selected(), key, judge))
    }

    /// Finds a value through the daemon, and opens it, again and again while it is replaced in between.
    pub(crate) async fn find_by_call(&self, key: Key, sink: Sink, fallback: Fallback) -> Result<Option<Found>, Error> {
        for _ in 0..LOOKS {
            let wanted = match self.lookup_by_call(&key, fallback).await? {
                Lookup::Blob { codec, version, length, digest } => Wanted { codec, version, length, digest },
                small => return Ok(here(small)),
            };
            if let Some(found) = self.open_blob(&key, wanted, sink).await? {
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

    /// Opens a value's file in the store, or fetches a copy through the daemon where it can't be seen; `None` where another value
    /// has taken its place.
    pub(crate) async fn open_blob(&self, key: &Key, wanted: Wanted, sink: Sink) -> Result<Option<Found>, Error> {
        let connection = self.session().connect().await?;
        if let Some(store) = connection.store() {
            match blob::open(store, &wanted.digest, wanted.length)? {
                Opening::Open(file, stamp) => {
                    return Ok(Some(Found::Blob(wanted.found_in(file, Some(Proof::in_store(stamp, store))))));
                }
                // Replaced, out of sight, or damaged: the daemon looks again, opens what it finds, and tells what it is.
                Opening::Gone => {}
                Opening::Closed => connection.store_is_elsewhere(),
            }
        }
        self.download(key, wanted, sink).await
    }
}

impl Seen {
    #[inline]
    fn of(record: Option<&Record<'_>>) -> Self {
        let Some(record) = record else { return Self::Nothing };
        let (codec, version) = (record.codec, record.version);
        match record.value {
            record::Value::Inline(bytes) => Self::Here(Value::new(codec, version, Bytes::Owned(bytes.to_vec()))),
            record::Value::Blob { length, digest } => Self::Blob(Wanted { codec, version, length, digest }),
        }
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
        Lookup::Inline { codec, version, value } => Some(Found::Here(Value::new(codec, version, Bytes::Owned(value)))),
        Lookup::Miss | Lookup::Blob { .. } => None,
    }
}
