//! What the calls have in common: trouble first, then what they do with the state, once.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use datacache_proto::codec::daemon_transport;
use datacache_proto::error::{StagedFault, WireError};
use datacache_proto::key::Key;
use datacache_proto::layout::{STAGING, blob_path};
use datacache_proto::service::Cache;
use datacache_proto::types::{Addition, Body, CallId, Lookup};
use futures::StreamExt;
use sha2::Digest as _;
use tarpc::server::{BaseChannel, Channel};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::entry::Entry;
use super::limits::INLINE_MAX;
use super::state::State;
use super::trouble::Trouble;

/// What one connection of the daemon is served by, and what the daemon does for its calls.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) store: PathBuf,
    /// Ends the connection, or all of them.
    pub(super) hang_up: Arc<Notify>,
}

impl Service {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) async fn attend(self, stream: UnixStream) {
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
    pub(super) async fn begin(&self, verb: &'static str, call: Option<CallId>) -> Result<Option<Trouble>, WireError> {
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
    pub(super) async fn change(
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

    pub(super) fn take(&self, state: &mut State, body: &Body) -> Result<Vec<u8>, WireError> {
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

    pub(super) fn put(&self, state: &mut State, addition: Addition, value: Vec<u8>) -> u64 {
        state.next += 1;
        let version = state.next;
        let entry = Entry { addition: addition.clone(), value, version };
        entry.write_blob(&self.store);
        state.entries.insert((addition.namespace, addition.key), entry);
        version
    }

    /// Tells what a client is told of a key.
    pub(super) fn lookup(&self, namespace: &str, key: &Key) -> Lookup {
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
    pub(super) fn replace(&self, namespace: &str, key: &Key) {
        let mut state = self.state();
        let entry = state.entries[&(namespace.to_owned(), key.clone())].clone();
        fs::remove_file(blob_path(&self.store, &entry.digest())).unwrap();
        let value = entry.value.iter().map(|byte| byte.wrapping_add(1)).collect();
        self.put(&mut state, entry.addition, value);
    }
}
