//! The daemon as the tests hold it: its folder, its thread and its socket.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use datacache_client::Options;
use datacache_proto::PROTOCOL;
use datacache_proto::key::Key;
use datacache_proto::layout::{STAGING, blob_path};
use datacache_proto::types::Codec;
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use super::limits::VALUE_MAX;
use super::service::Service;
use super::state::State;
use super::trouble::Trouble;
use crate::wait::eventually;

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
