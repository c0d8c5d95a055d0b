//! A daemon in this process that keeps its entries in memory and makes trouble when it is told to.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use datacache_client::Options;
use datacache_proto::PROTOCOL;
use datacache_proto::codec::daemon_transport;
use datacache_proto::error::{Resource, StagedFault, WireError};
use datacache_proto::key::{Key, Tag};
use datacache_proto::layout::{BLOBS, STAGING, blob_path};
use datacache_proto::process::Process;
use datacache_proto::service::{Cache, Chunk};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{
    Added, Addition, Body, CallId, Codec, Digest, Fallback, Hello, Introduced, Introduction, ListPage, ListQuery,
    Lookup, Metadata, Opened, Stats, Verification, Welcome,
};
use futures::StreamExt;
use sha2::Digest as _;
use tarpc::context::Context;
use tarpc::server::{BaseChannel, Channel};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

/// Values up to this many bytes ride in the call.
pub(crate) const INLINE_MAX: u64 = 1_000;
/// A larger value is never taken.
pub(crate) const VALUE_MAX: u64 = 5_000_000;
/// The most bytes in a chunk.
pub(crate) const CHUNK_MAX: u64 = 4_000;

/// The most keys that one answer of `get_many` speaks of.
pub(crate) const PAGE: usize = 3;
/// The most uploads at a time.
const UPLOADS_MAX: usize = 16;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection ends before the call is done.
    HangUp,
    /// The call is done, and the connection ends before the answer.
    HangUpAfter,
    /// The daemon says that it is stopping.
    Stopping,
    /// No answer ever comes.
    Silence,
    /// The blob is unlinked before the answer goes out, and the entry is replaced.
    Replaced,
}

/// What the daemon knows and has seen.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) entries: BTreeMap<(String, Key), Entry>,
    /// The calls that came, in order.
    pub(crate) calls: Vec<(&'static str, Option<CallId>)>,
    /// The changes that were made and not answered from a stored reply.
    pub(crate) done: Vec<&'static str>,
    pub(crate) introductions: Vec<Introduction>,
    pub(crate) trouble: VecDeque<(&'static str, Trouble)>,
    /// Connections that are open.
    pub(crate) connections: usize,
    /// The protocol to answer `hello` with.
    pub(crate) protocol: u32,
    /// The most bytes of a value that `introduce` tells.
    pub(crate) value_max: Option<u64>,
    is_staging_hidden: bool,
    replies: HashMap<CallId, u64>,
    uploads: HashMap<u64, Vec<u8>>,
    handles: HashMap<u64, Vec<u8>>,
    next: u64,
}

/// An entry, its value in memory even if it is a blob as well.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) addition: Addition,
    pub(crate) value: Vec<u8>,
    pub(crate) version: u64,
}

impl Entry {
    fn digest(&self) -> Digest {
        Digest(sha2::Sha256::digest(&self.value).into())
    }

    fn metadata(&self) -> Metadata {
        Metadata {
            key: self.addition.key.clone(),
            codec: self.addition.codec,
            size: self.value.len() as u64,
            tags: self.addition.tags.clone(),
            created: Timestamp::from_millis(1),
            expires: self.addition.expires,
            version: self.version,
            bound: self.addition.scope.is_some(),
            digest: None,
        }
    }
}

impl State {
    /// Returns the calls of a name that came.
    pub(crate) fn calls_of(&self, verb: &str) -> Vec<Option<CallId>> {
        self.calls.iter().filter(|(name, _)| *name == verb).map(|(_, call)| *call).collect()
    }

    /// Returns how often a change was really made.
    pub(crate) fn done_of(&self, verb: &str) -> usize {
        self.done.iter().filter(|name| **name == verb).count()
    }
}

/// The daemon, its folder and its thread. Dropping it ends all.
pub(crate) struct FakeDaemon {
    folder: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    handle: Handle,
    listening: Mutex<Option<(AbortHandle, Arc<Notify>)>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeDaemon {
    /// Starts one that listens.
    pub(crate) fn start() -> Self {
        let daemon = Self::absent();
        daemon.listen();
        daemon
    }

    /// Makes one that does not listen yet.
    pub(crate) fn absent() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["run", "store", "store/staging", "store/blobs"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let (send_handle, handle) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            send_handle.send(runtime.handle().clone()).unwrap();
            drop(runtime.block_on(stopped));
        });
        let state = State { protocol: PROTOCOL, value_max: Some(VALUE_MAX), ..State::default() };
        Self {
            folder,
            state: Arc::new(Mutex::new(state)),
            handle: handle.recv().unwrap(),
            listening: Mutex::new(None),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("run/sock")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Returns options that lead to this daemon and start no other.
    pub(crate) fn options(&self) -> Options {
        Options::new().dir(self.store()).socket(self.socket()).start(false).connect_timeout(Duration::from_secs(20))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Makes the next call of this name go wrong; trouble comes in the order in which it was asked for.
    pub(crate) fn trouble(&self, verb: &'static str, trouble: Trouble) {
        self.state().trouble.push_back((verb, trouble));
    }

    /// Has the daemon look for staged files where there are none, as if it saw another folder than the client.
    pub(crate) fn hide_staging(&self) {
        self.state().is_staging_hidden = true;
    }

    /// Flips a bit in every blob.
    pub(crate) fn damage_blobs(&self) {
        for entry in self.state().entries.values() {
            let path = blob_path(&self.store(), &entry.digest());
            let mut bytes = fs::read(&path).unwrap();
            bytes[1_234] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    }

    /// Returns how many files are in the staging folder.
    pub(crate) fn staged(&self) -> usize {
        fs::read_dir(self.store().join(STAGING)).unwrap().count()
    }

    /// Begins to listen.
    pub(crate) fn listen(&self) {
        let listener = {
            let _entered = self.handle.enter();
            UnixListener::bind(self.socket()).unwrap()
        };
        let hang_up = Arc::new(Notify::new());
        let service = Service { state: Arc::clone(&self.state), store: self.store(), hang_up: Arc::clone(&hang_up) };
        let accepting = self.handle.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                service.state().connections += 1;
                tokio::spawn(service.clone().attend(stream));
            }
        });
        *self.listening.lock().unwrap() = Some((accepting.abort_handle(), hang_up));
    }

    /// Ends listening and all connections, as a daemon that dies does; the entries stay.
    pub(crate) fn die(&self) {
        let (accepting, hang_up) = self.listening.lock().unwrap().take().unwrap();
        accepting.abort();
        fs::remove_file(self.socket()).unwrap();
        hang_up.notify_waiters();
        eventually("all connections are closed", || self.state().connections == 0);
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::yield_now();
    }
}

#[derive(Clone)]
struct Service {
    state: Arc<Mutex<State>>,
    store: PathBuf,
    /// Ends the connection, or all of them.
    hang_up: Arc<Notify>,
}

impl Service {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn attend(self, stream: UnixStream) {
        let own = Self { hang_up: Arc::new(Notify::new()), ..self.clone() };
        let channel = BaseChannel::with_defaults(daemon_transport(stream));
        let calls = channel.execute(Cache::serve(own.clone())).for_each_concurrent(None, |call| call);
        tokio::select! {
            () = calls => {}
            () = own.hang_up.notified() => {}
            () = self.hang_up.notified() => {}
        }
        let mut state = self.state();
        state.connections -= 1;
        if state.connections == 0 {
            state.uploads.clear();
        }
    }

    /// Notes a call, and makes the trouble that comes before it is done.
    async fn begin(&self, verb: &'static str, call: Option<CallId>) -> Result<Option<Trouble>, WireError> {
        let trouble = {
            let mut state = self.state();
            state.calls.push((verb, call));
            match state.trouble.front() {
                Some((expected, _)) if *expected == verb => state.trouble.pop_front().map(|(_, trouble)| trouble),
                _ => None,
            }
        };
        match trouble {
            Some(Trouble::HangUp) => self.never_answer().await,
            Some(Trouble::Silence) => std::future::pending().await,
            Some(Trouble::Stopping) => Err(WireError::Stopping),
            trouble => Ok(trouble),
        }
    }

    async fn never_answer<T>(&self) -> T {
        self.hang_up.notify_one();
        std::future::pending().await
    }

    /// Makes a change once, however often it is called for.
    async fn change(
        &self,
        verb: &'static str,
        call: CallId,
        make: impl FnOnce(&mut State) -> Result<u64, WireError>,
    ) -> Result<u64, WireError> {
        let trouble = self.begin(verb, Some(call)).await?;
        let answer = {
            let mut state = self.state();
            match state.replies.get(&call) {
                Some(reply) => Ok(*reply),
                None => make(&mut state).inspect(|reply| {
                    state.done.push(verb);
                    state.replies.insert(call, *reply);
                }),
            }
        };
        if trouble == Some(Trouble::HangUpAfter) { self.never_answer().await } else { answer }
    }

    fn take(&self, state: &mut State, body: &Body) -> Result<Vec<u8>, WireError> {
        match body {
            Body::Inline(bytes) => Ok(bytes.clone()),
            Body::Staged { name, length, digest } => {
                let folder = if state.is_staging_hidden { "hidden" } else { STAGING };
                let path = self.store.join(folder).join(name);
                let fault = |fault| WireError::Staged { name: name.clone(), fault };
                let bytes = fs::read(&path).map_err(|_| fault(StagedFault::Missing))?;
                let is_right = bytes.len() as u64 == *length && sha2::Sha256::digest(&bytes)[..] == digest.0;
                fs::remove_file(path).unwrap();
                if is_right { Ok(bytes) } else { Err(fault(StagedFault::Content)) }
            }
            Body::Uploaded { upload, length } => {
                let bytes = state.uploads.remove(upload).filter(|bytes| bytes.len() as u64 == *length);
                bytes.ok_or(WireError::Upload { upload: *upload, length: *length })
            }
        }
    }

    fn put(&self, state: &mut State, addition: Addition, value: Vec<u8>) -> u64 {
        state.next += 1;
        let version = state.next;
        let entry = Entry { addition: addition.clone(), value, version };
        write_blob(&self.store, &entry);
        state.entries.insert((addition.namespace, addition.key), entry);
        version
    }

    /// Tells what a client is told of a key.
    fn lookup(&self, namespace: &str, key: &Key) -> Lookup {
        let entry = self.state().entries.get(&(namespace.to_owned(), key.clone())).cloned();
        match entry {
            None => Lookup::Miss,
            Some(entry) if entry.value.len() as u64 <= INLINE_MAX => {
                Lookup::Inline { codec: entry.addition.codec, version: entry.version, value: entry.value }
            }
            Some(entry) => Lookup::Blob {
                codec: entry.addition.codec,
                version: entry.version,
                length: entry.value.len() as u64,
                digest: entry.digest(),
            },
        }
    }

    /// Puts another value of the same length in the place of an entry, as another client may at any time.
    fn replace(&self, namespace: &str, key: &Key) {
        let mut state = self.state();
        let entry = state.entries[&(namespace.to_owned(), key.clone())].clone();
        fs::remove_file(blob_path(&self.store, &entry.digest())).unwrap();
        let value = entry.value.iter().map(|byte| byte.wrapping_add(1)).collect();
        self.put(&mut state, entry.addition, value);
    }
}

fn write_blob(store: &Path, entry: &Entry) {
    if entry.value.len() as u64 > INLINE_MAX && store.join(BLOBS).exists() {
        let path = blob_path(store, &entry.digest());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &entry.value).unwrap();
    }
}

impl Cache for Service {
    async fn hello(self, _: Context, hello: Hello) -> Result<Welcome, WireError> {
        self.begin("hello", None).await?;
        let protocol = self.state().protocol;
        if (hello.protocol_min..=hello.protocol_max).contains(&protocol) {
            return Ok(Welcome { protocol, build: "fake".into() });
        }
        Err(WireError::Version { min: protocol, max: protocol, build: "fake".into() })
    }

    async fn introduce(self, _: Context, introduction: Introduction) -> Result<Introduced, WireError> {
        self.begin("introduce", None).await?;
        self.state().introductions.push(introduction);
        Ok(Introduced {
            store: self.store.to_str().unwrap().into(),
            store_id: 7,
            inline_max: INLINE_MAX,
            value_max: self.state().value_max,
            chunk_max: CHUNK_MAX,
            busy_poll: 0,
            daemon: Process::current().unwrap(),
            started: Timestamp::from_millis(1),
        })
    }

    async fn add(self, _: Context, call: CallId, addition: Addition) -> Result<Added, WireError> {
        let added = self.change("add", call, |state| {
            let value = self.take(state, &addition.body)?;
            Ok(self.put(state, addition, value))
        });
        added.await.map(|version| Added { version, replaced: false })
    }

    async fn add_many(self, _: Context, call: CallId, additions: Vec<Addition>) -> Result<Vec<Added>, WireError> {
        let added = self.change("add_many", call, |state| {
            let take = |addition: &Addition| self.take(state, &addition.body);
            let values = additions.iter().map(take).collect::<Result<Vec<_>, _>>()?;
            let entries = additions.iter().cloned().zip(values);
            Ok(entries.map(|(addition, value)| self.put(state, addition, value)).last().unwrap_or_default())
        });
        // The versions of a batch follow one another.
        let (count, last) = (additions.len() as u64, added.await?);
        Ok((last + 1 - count..=last).map(|version| Added { version, replaced: false }).collect())
    }

    async fn get(self, _: Context, namespace: String, key: Key, _: Fallback) -> Result<Lookup, WireError> {
        let trouble = self.begin("get", None).await?;
        let found = self.lookup(&namespace, &key);
        if trouble == Some(Trouble::Replaced) {
            self.replace(&namespace, &key);
        }
        Ok(found)
    }

    async fn get_many(
        self,
        _: Context,
        namespace: String,
        keys: Vec<Key>,
        _: Fallback,
    ) -> Result<Vec<Lookup>, WireError> {
        let trouble = self.begin("get_many", None).await?;
        let found = keys.iter().take(PAGE).map(|key| self.lookup(&namespace, key)).collect();
        if trouble == Some(Trouble::Replaced) {
            self.replace(&namespace, &keys[0]);
        }
        Ok(found)
    }

    async fn contains(self, _: Context, namespace: String, key: Key) -> Result<bool, WireError> {
        self.begin("contains", None).await?;
        Ok(self.state().entries.contains_key(&(namespace, key)))
    }

    async fn stat(self, _: Context, namespace: String, key: Key) -> Result<Option<Metadata>, WireError> {
        self.begin("stat", None).await?;
        Ok(self.state().entries.get(&(namespace, key)).map(Entry::metadata))
    }

    async fn touch(
        self,
        _: Context,
        call: CallId,
        namespace: String,
        key: Key,
        expires: Option<Timestamp>,
    ) -> Result<bool, WireError> {
        let touched = self.change("touch", call, |state| match state.entries.get_mut(&(namespace, key)) {
            Some(entry) => {
                entry.addition.expires = expires;
                Ok(1)
            }
            None => Ok(0),
        });
        Ok(touched.await? == 1)
    }

    async fn delete(self, _: Context, call: CallId, namespace: String, keys: Vec<Key>) -> Result<u64, WireError> {
        let deleted = self.change("delete", call, |state| {
            let gone = keys.into_iter().filter(|key| state.entries.remove(&(namespace.clone(), key.clone())).is_some());
            Ok(gone.count() as u64)
        });
        deleted.await
    }

    async fn evict(self, _: Context, call: CallId, namespace: String, tags: Vec<Tag>) -> Result<u64, WireError> {
        let evicted = self.change("evict", call, |state| {
            let before = state.entries.len();
            state.entries.retain(|(name, _), entry| {
                *name != namespace || !entry.addition.tags.iter().any(|tag| tags.contains(tag))
            });
            Ok((before - state.entries.len()) as u64)
        });
        evicted.await
    }

    async fn expire(self, _: Context, call: CallId, _: String) -> Result<u64, WireError> {
        self.change("expire", call, |_| Ok(0)).await
    }

    async fn clear(self, _: Context, call: CallId, namespace: String) -> Result<u64, WireError> {
        let cleared = self.change("clear", call, |state| {
            let before = state.entries.len();
            state.entries.retain(|(name, _), _| *name != namespace);
            Ok((before - state.entries.len()) as u64)
        });
        cleared.await
    }

    async fn release(self, _: Context, call: CallId, scope: u64) -> Result<u64, WireError> {
        let released = self.change("release", call, |state| {
            let before = state.entries.len();
            state.entries.retain(|_, entry| entry.addition.scope != Some(scope));
            Ok((before - state.entries.len()) as u64)
        });
        released.await
    }

    async fn len(self, _: Context, namespace: String) -> Result<u64, WireError> {
        self.begin("len", None).await?;
        Ok(self.state().entries.keys().filter(|(name, _)| *name == namespace).count() as u64)
    }

    async fn list(self, _: Context, query: ListQuery) -> Result<ListPage, WireError> {
        self.begin("list", None).await?;
        let state = self.state();
        let after = query.after.map(|after| Key::from_encoded(&after).unwrap());
        let entries = state.entries.iter().filter(|((namespace, key), entry)| {
            let is_tagged = query.tag.as_ref().is_none_or(|tag| entry.addition.tags.contains(tag));
            let prefix = query.prefix.as_deref().unwrap_or_default();
            let is_named = key.as_text().is_some_and(|text| text.starts_with(prefix));
            *namespace == query.namespace && is_tagged && is_named && after.as_ref().is_none_or(|after| key > after)
        });
        let entries: Vec<Metadata> = entries.take(query.limit as usize).map(|(_, entry)| entry.metadata()).collect();
        let is_full = entries.len() == query.limit as usize;
        let next = entries.last().filter(|_| is_full).map(|last| last.key.encoded().to_vec());
        Ok(ListPage { entries, next })
    }

    async fn stats(self, _: Context) -> Result<Box<Stats>, WireError> {
        self.begin("stats", None).await?;
        Ok(Box::default())
    }

    async fn upload_begin(self, _: Context) -> Result<u64, WireError> {
        self.begin("upload_begin", None).await?;
        let mut state = self.state();
        state.next += 1;
        let upload = state.next;
        if state.uploads.len() >= UPLOADS_MAX {
            return Err(WireError::Busy { what: Resource::Uploads, limit: UPLOADS_MAX as u64 });
        }
        state.uploads.insert(upload, Vec::new());
        Ok(upload)
    }

    async fn upload(self, _: Context, upload: u64, offset: u64, chunk: Chunk) -> Result<(), WireError> {
        self.begin("upload", None).await?;
        let mut state = self.state();
        let bytes = state.uploads.get_mut(&upload).filter(|bytes| bytes.len() as u64 == offset);
        let bytes = bytes.ok_or(WireError::Upload { upload, length: offset })?;
        bytes.extend(chunk.0);
        Ok(())
    }

    async fn open(self, _: Context, namespace: String, key: Key) -> Result<Option<Opened>, WireError> {
        self.begin("open", None).await?;
        let mut state = self.state();
        let Some(entry) = state.entries.get(&(namespace, key)).cloned() else { return Ok(None) };
        state.next += 1;
        let handle = state.next;
        let (digest, length) = (entry.digest(), entry.value.len() as u64);
        state.handles.insert(handle, entry.value);
        Ok(Some(Opened { handle, codec: entry.addition.codec, length, digest }))
    }

    async fn read(self, _: Context, handle: u64, offset: u64, length: u64) -> Result<Chunk, WireError> {
        self.begin("read", None).await?;
        let state = self.state();
        let bytes = state.handles.get(&handle).ok_or(WireError::Handle { handle })?;
        let range = |at: u64| usize::try_from(at).unwrap().min(bytes.len());
        Ok(Chunk(bytes[range(offset)..range(offset + length.min(CHUNK_MAX))].to_vec()))
    }

    async fn close(self, _: Context, handle: u64) -> Result<(), WireError> {
        self.begin("close", None).await?;
        let mut state = self.state();
        let was_open = state.handles.remove(&handle).is_some() | state.uploads.remove(&handle).is_some();
        if was_open { Ok(()) } else { Err(WireError::Handle { handle }) }
    }

    async fn verify(self, _: Context, _: bool) -> Result<Verification, WireError> {
        self.begin("verify", None).await?;
        Ok(Verification::default())
    }

    async fn stop(self, _: Context) -> Result<(), WireError> {
        self.begin("stop", None).await?;
        Ok(())
    }
}

/// Tells whether all handles that were opened are closed again.
pub(crate) fn has_no_open_values(daemon: &FakeDaemon) -> bool {
    daemon.state().handles.is_empty()
}

/// Tells whether all uploads that were begun are taken or given up.
pub(crate) fn has_no_uploads(daemon: &FakeDaemon) -> bool {
    daemon.state().uploads.is_empty()
}

/// What an entry of the default namespace is stored as.
pub(crate) fn stored(daemon: &FakeDaemon, key: impl Into<Key>) -> Option<(Codec, Vec<u8>)> {
    let state = daemon.state();
    let entry = state.entries.get(&("default".to_owned(), key.into()))?;
    Some((entry.addition.codec, entry.value.clone()))
}
