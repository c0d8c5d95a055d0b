//! The calls: checks what was sent, translates it for those who do it, and their answers back. Decides nothing.

use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;

use datacache_proto::additions::Additions;
use datacache_proto::error::{StoreStep, WireError};
use datacache_proto::key::{Key, check_namespace};
use datacache_proto::record::{Record, Value};
use datacache_proto::service::{Cache, Chunk, Keys, Tags};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{
    Added, Addition, BATCH_MAX, CallId, Codec, Digest, Fallback, Hello, Introduced, Introduction, ListPage, ListQuery,
    Lookup, Metadata, Opened, Reloaded, Stats, TagStats, Verification, Welcome,
};
use datacache_proto::{BUILD, PROTOCOL};
use sha2::Digest as _;
use tarpc::context::Context;

use crate::connection::Connection;
use crate::daemon::{Daemon, blocking};
use crate::lifecycle::Stage;
use crate::refusal::used_before;
use crate::store::{Batch, Command, Condition, Outcome};
use crate::transfer::{CHUNK_MAX, OpenValue};
use crate::writer::WriteError;
use crate::{addition, additions, bulk, inspection, leases, listing, lookups, stats, suspicions, tag_survey};

/// How often a key is looked up again whose blob is gone when it is opened.
const LOOKS: usize = 16;

/// The service as one connection sees it.
#[derive(Clone)]
pub(crate) struct Service(Rc<Connection>);

impl Service {
    /// Makes the service of a connection.
    pub(crate) fn new(connection: Rc<Connection>) -> Self {
        Self(connection)
    }

    /// Lets only clients pass that have introduced themselves, and only while the daemon serves.
    fn admit(&self) -> Result<&Rc<Daemon>, WireError> {
        self.0.peer()?;
        self.0.daemon.check_serving()?;
        Ok(&self.0.daemon)
    }

    /// Returns the number of a namespace, `None` where nothing was ever added to it.
    fn namespace(&self, name: &str) -> Result<Option<u32>, WireError> {
        let daemon = self.admit()?;
        check_namespace(name)?;
        Ok(daemon.writer.read(|store| store.namespace(name))?)
    }

    /// Shows the live entry of a key to `found`.
    fn look<R>(
        &self,
        namespace: &str,
        key: &Key,
        found: impl FnOnce(&Record<'_>) -> R,
    ) -> Result<Option<R>, WireError> {
        let namespace = self.namespace(namespace)?;
        key.check()?;
        let Some(namespace) = namespace else { return Ok(None) };
        let now = Timestamp::now();
        Ok(self.0.daemon.writer.read(|store| store.lookup(namespace, key, now, found))??)
    }

    /// The same for a read: it counts as a hit or a miss, and is remembered.
    fn fetch<R>(
        &self,
        namespace: &str,
        key: &Key,
        found: impl FnOnce(&Record<'_>) -> R,
    ) -> Result<Option<R>, WireError> {
        let namespace = self.namespace(namespace)?;
        key.check()?;
        let Some(namespace) = namespace else { return Ok(None) };
        let now = Timestamp::now();
        let read = self.0.daemon.writer.read(|store| store.read(namespace, key, now, found))??;
        self.0.daemon.events.count(namespace, |events| match read {
            Some(_) => events.hits += 1,
            None => events.misses += 1,
        });
        Ok(read)
    }
}

/// A call's future has room for the largest of these, and is moved before it runs: what is large or rare is boxed.
impl Cache for Service {
    async fn hello(self, _: Context, hello: Hello) -> Result<Welcome, WireError> {
        if !(hello.protocol_min..=hello.protocol_max).contains(&PROTOCOL) {
            return Err(WireError::Version { min: PROTOCOL, max: PROTOCOL, build: BUILD.into() });
        }
        self.0.greet();
        Ok(Welcome { protocol: PROTOCOL, build: BUILD.into() })
    }

    async fn introduce(self, _: Context, introduction: Introduction) -> Result<Introduced, WireError> {
        let daemon = &self.0.daemon;
        daemon.check_serving()?;
        self.0.introduce(&introduction)?;
        Ok(Introduced {
            store: daemon.store_path.as_os_str().as_encoded_bytes().to_vec(),
            store_id: daemon.store_id,
            inline_max: daemon.config.borrow().inline_max,
            value_max: daemon.config.borrow().value_max,
            chunk_max: CHUNK_MAX,
            busy_poll: daemon.config.borrow().busy_poll.as_micros().try_into().unwrap_or(u32::MAX),
            daemon: daemon.process,
            started: daemon.started,
        })
    }

    async fn add(self, _: Context, call: CallId, addition: Addition) -> Result<Added, WireError> {
        self.admit()?;
        Box::pin(addition::add(&self.0, call, addition)).await
    }

    async fn add_many(self, _: Context, call: CallId, additions: Additions) -> Result<Vec<Added>, WireError> {
        self.admit()?;
        Box::pin(additions::add_many(&self.0, call, additions)).await
    }

    async fn get(self, _: Context, namespace: String, key: Key, fallback: Fallback) -> Result<Lookup, WireError> {
        self.0.daemon.fallbacks.count(fallback, 1);
        Ok(self.fetch(&namespace, &key, lookup)?.unwrap_or(Lookup::Miss))
    }

    async fn get_many(
        self,
        _: Context,
        namespace: String,
        Keys(keys): Keys,
        fallback: Fallback,
    ) -> Result<Vec<Lookup>, WireError> {
        let namespace = self.namespace(&namespace)?;
        check_keys(&keys)?;
        Box::pin(lookups::get_many(&self.0, namespace, keys, fallback)).await
    }

    async fn contains(self, _: Context, namespace: String, key: Key) -> Result<bool, WireError> {
        Ok(self.look(&namespace, &key, |_| ())?.is_some())
    }

    async fn stat(self, _: Context, namespace: String, key: Key) -> Result<Option<Metadata>, WireError> {
        self.look(&namespace, &key, |record| record.metadata(key.clone()))
    }

    async fn touch(
        self,
        _: Context,
        call: CallId,
        namespace: String,
        key: Key,
        expires: Option<Timestamp>,
    ) -> Result<bool, WireError> {
        let namespace = self.namespace(&namespace)?;
        key.check()?;
        let Some(namespace) = namespace else { return Ok(false) };
        let batch = Batch::of(Command::Touch { namespace, key, expires }, Some(call));
        match self.0.daemon.writer.write(batch, false).await?[..] {
            [Outcome::Touched(was_there)] => Ok(was_there),
            _ => Err(used_before(call)),
        }
    }

    async fn delete(self, _: Context, call: CallId, namespace: String, Keys(keys): Keys) -> Result<u64, WireError> {
        let namespace = self.namespace(&namespace)?;
        check_keys(&keys)?;
        let Some(namespace) = namespace.filter(|_| !keys.is_empty()) else { return Ok(0) };
        let delete = |key| Command::Delete { namespace, key, when: Condition::Live };
        let batch = Batch::all(keys.into_iter().map(delete).collect(), Some(call));
        let outcomes = self.0.daemon.writer.write(batch, false).await?;
        let count = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Deleted(true))).count() as u64;
        self.0.daemon.events.count(namespace, |events| events.deletes += count);
        Ok(count)
    }

    async fn evict(self, _: Context, call: CallId, namespace: String, Tags(tags): Tags) -> Result<u64, WireError> {
        let Some(namespace) = self.namespace(&namespace)? else { return Ok(0) };
        self.long(call, async move |daemon| bulk::evict(&daemon, namespace, tags).await).await
    }

    async fn expire(self, _: Context, call: CallId, namespace: String) -> Result<u64, WireError> {
        let Some(namespace) = self.namespace(&namespace)? else { return Ok(0) };
        self.long(call, async move |daemon| bulk::expire(&daemon, Some(namespace), Timestamp::now()).await).await
    }

    async fn clear(self, _: Context, call: CallId, namespace: String) -> Result<u64, WireError> {
        let Some(namespace) = self.namespace(&namespace)? else { return Ok(0) };
        self.long(call, async move |daemon| bulk::clear(&daemon, namespace).await).await
    }

    async fn release(self, _: Context, call: CallId, scope: u64) -> Result<u64, WireError> {
        let daemon = self.admit()?;
        let holder = leases::end(daemon, self.0.peer()?, scope).map_err(|reason| WireError::Unbindable { reason })?;
        self.long(call, async move |daemon| leases::release(&daemon, holder).await).await
    }

    async fn len(self, _: Context, namespace: String) -> Result<u64, WireError> {
        let Some(namespace) = self.namespace(&namespace)? else { return Ok(0) };
        let now = Timestamp::now();
        Ok(self.0.daemon.writer.try_read(|store| store.len(namespace, now))?)
    }

    async fn list(self, _: Context, query: ListQuery) -> Result<ListPage, WireError> {
        let namespace = self.namespace(&query.namespace)?;
        Box::pin(listing::list(&self.0.daemon, namespace, query)).await
    }

    async fn stats(self, _: Context) -> Result<Box<Stats>, WireError> {
        Ok(Box::pin(stats::stats(self.admit()?)).await?)
    }

    async fn tags(self, _: Context, namespace: Option<String>) -> Result<Box<TagStats>, WireError> {
        let daemon = self.admit()?;
        namespace.as_deref().map_or(Ok(()), check_namespace)?;
        Ok(Box::new(tag_survey::tags(daemon, namespace.as_deref())))
    }

    async fn upload_begin(self, _: Context) -> Result<u64, WireError> {
        Box::pin(self.0.transfers.begin(self.admit()?)).await
    }

    async fn upload(self, _: Context, upload: u64, offset: u64, chunk: Chunk) -> Result<(), WireError> {
        let daemon = self.admit()?;
        let length = chunk.0.len() as u64;
        if length > CHUNK_MAX {
            return Err(WireError::OutOfRange { field: "chunk".into(), value: length, min: 0, max: CHUNK_MAX });
        }
        check_size(daemon, offset.saturating_add(length))?;
        Box::pin(self.0.transfers.append(upload, offset, chunk.0)).await
    }

    async fn open(self, _: Context, namespace: String, key: Key) -> Result<Option<Opened>, WireError> {
        self.0.transfers.check_values()?;
        let mut missed = None;
        for _ in 0..LOOKS {
            let Some(found) = self.fetch(&namespace, &key, lookup)? else { return Ok(None) };
            match Box::pin(open(&self.0.daemon, found)).await? {
                Opening::Open(value, codec, length, digest) => {
                    let handle = self.0.transfers.keep(value)?;
                    return Ok(Some(Opened { handle, codec, length, digest }));
                }
                // Nobody has replaced it in between: it is a miss.
                Opening::Bad(digest, file) if missed == Some(digest) => {
                    self.0.daemon.writer.with(|store| store.condemn(digest, file))?;
                    return Ok(None);
                }
                Opening::Bad(digest, _) => missed = Some(digest),
            }
        }
        Err(WireError::Store { step: StoreStep::Blob, errno: None })
    }

    async fn read(self, _: Context, handle: u64, offset: u64, length: u64) -> Result<Chunk, WireError> {
        self.admit()?;
        Box::pin(self.0.transfers.read(handle, offset, length)).await.map(Chunk)
    }

    async fn close(self, _: Context, handle: u64) -> Result<(), WireError> {
        self.admit()?;
        self.0.transfers.close(handle)
    }

    async fn suspect(self, _: Context, namespace: String, key: Key) -> Result<bool, WireError> {
        let (length, digest) = match self.look(&namespace, &key, lookup)? {
            Some(Lookup::Blob { length, digest, .. }) => (length, digest),
            // It is gone already, or small: those are checked wherever they are read.
            other => return Ok(other.is_none()),
        };
        let is_damaged = Box::pin(suspicions::is_damaged(&self.0.daemon, digest, length)).await?;
        // Another value may have taken its place meanwhile.
        Ok(is_damaged && self.look(&namespace, &key, lookup)?.is_none())
    }

    async fn reload(self, _: Context) -> Result<Reloaded, WireError> {
        let reloaded = self.admit()?.settings.reload();
        reloaded.map_err(|error| WireError::Settings { fault: error.in_words() })
    }

    async fn fits(self, _: Context, namespace: String, bytes: u64) -> Result<(), WireError> {
        let daemon = self.admit()?;
        check_namespace(&namespace)?;
        check_size(daemon, bytes)?;
        daemon.writer.try_read(|store| store.fits_anywhere(&namespace, bytes))?;
        Ok(())
    }

    async fn verify(self, _: Context, repair: bool) -> Result<Verification, WireError> {
        Ok(Box::pin(inspection::verify(self.admit()?, repair)).await?)
    }

    async fn stop(self, _: Context) -> Result<(), WireError> {
        let daemon = self.admit()?;
        tracing::info!("a client asked the daemon to stop");
        daemon.lifecycle.advance(Stage::Draining);
        Ok(())
    }
}

impl Service {
    /// Does what may take long, so that it outlives this connection and is not done twice.
    async fn long(
        &self,
        call: CallId,
        work: impl AsyncFnOnce(Rc<Daemon>) -> Result<u64, WriteError> + 'static,
    ) -> Result<u64, WireError> {
        let daemon = &self.0.daemon;
        let daemon_of_work = Rc::clone(daemon);
        let work = Box::pin(async move { work(daemon_of_work).await.map_err(WireError::from) });
        Box::pin(daemon.long_calls.run(&daemon.tasks, call, work)).await
    }
}

/// Checks whether a value may have so many bytes.
fn check_size(daemon: &Daemon, size: u64) -> Result<(), WireError> {
    match daemon.config.borrow().value_max.filter(|limit| size > *limit) {
        Some(limit) => Err(WireError::TooLarge { size, limit }),
        None => Ok(()),
    }
}

/// Checks the keys of one call, and how many they are.
fn check_keys(keys: &[Key]) -> Result<(), WireError> {
    let (value, max) = (keys.len() as u64, BATCH_MAX as u64);
    if value > max {
        return Err(WireError::OutOfRange { field: "keys".into(), value, min: 0, max });
    }
    Ok(keys.iter().try_for_each(Key::check)?)
}

/// Tells a client what its key's record holds.
pub(crate) fn lookup(record: &Record<'_>) -> Lookup {
    let (codec, version) = (record.codec, record.version);
    match record.value {
        Value::Inline(value) => Lookup::Inline { codec, version, value: value.to_vec() },
        Value::Blob { length, digest } => Lookup::Blob { codec, version, length, digest },
    }
}

/// What came of opening a value.
enum Opening {
    Open(OpenValue, Codec, u64, Digest),
    /// Its blob is gone, or this file in its place has another length.
    Bad(Digest, Option<File>),
}

/// Opens what was found.
async fn open(daemon: &Daemon, found: Lookup) -> Result<Opening, WireError> {
    Ok(match found {
        Lookup::Miss => unreachable!("what was found is there"),
        Lookup::Inline { codec, value, .. } => {
            let (length, digest) = (value.len() as u64, Digest(sha2::Sha256::digest(&value).into()));
            Opening::Open(OpenValue::Bytes(Arc::from(value)), codec, length, digest)
        }
        Lookup::Blob { codec, length, digest, .. } => {
            let blobs = daemon.blobs.clone();
            let file = blocking(move || blobs.open(&digest)).await??;
            let has_length = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() == length);
            match file {
                Some(file) if has_length(&file) => {
                    Opening::Open(OpenValue::File(Arc::new(file)), codec, length, digest)
                }
                bad => Opening::Bad(digest, bad),
            }
        }
    })
}
