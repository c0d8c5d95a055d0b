//! A daemon in this process, and clients of it.

use std::cell::Cell;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use datacache_daemon::{Config, Listener, OpenStore, RunError, run};
use datacache_proto::codec::client_transport;
use datacache_proto::error::WireError;
use datacache_proto::key::{DEFAULT_NAMESPACE, Key, Tag};
use datacache_proto::paths::Paths;
use datacache_proto::process::Process;
use datacache_proto::service::CacheClient;
use datacache_proto::types::{Added, Addition, Body, CallId, Codec, Fallback, Hello, Introduced, Introduction, Lookup};
use datacache_proto::{BUILD, PROTOCOL};
use tarpc::context::{self, Context};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Longer than anything here takes on a machine that is busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The namespace that most tests use.
pub(crate) const NAMESPACE: &str = DEFAULT_NAMESPACE;

/// A folder with a store and a socket.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn config(&self) -> Config {
        let [store, socket, store_link, config] =
            ["cache", "sock", "store", "config.toml"].map(|name| self.folder.path().join(name));
        Config::defaults(Paths { store, socket, store_link, config, is_default: false })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    pub(crate) fn generation(&self) -> PathBuf {
        self.store().join("current")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.store().join("staging")
    }
}

/// A daemon that runs.
pub(crate) struct Daemon {
    pub(crate) config: watch::Sender<Config>,
    socket: PathBuf,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RunError>>,
}

impl Daemon {
    /// Starts one; `settle` changes its settings first.
    pub(crate) fn start(place: &Place, settle: impl FnOnce(&mut Config)) -> Self {
        let mut config = place.config();
        settle(&mut config);
        let store = OpenStore::open(&config).unwrap();
        let listener = Listener::bind(&config.paths.socket).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (sender, config) = watch::channel(config);
        let ended = tokio::task::spawn_local(run(config, store, listener, async {
            stopped.await.ok();
        }));
        Self { config: sender, socket: place.socket(), stop, ended }
    }

    /// Connects a client that has said hello and who it is.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.socket, Vec::new()).await
    }

    /// Stops it as a signal would.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        within(self.ended).await.unwrap().unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> Result<(), RunError> {
        within(self.ended).await.unwrap()
    }
}

/// A daemon on a fresh folder, with a client.
pub(crate) async fn daemon_and_client() -> (Place, Daemon, Client) {
    let place = Place::new();
    let daemon = Daemon::start(&place, |_| ());
    let client = daemon.client().await;
    (place, daemon, client)
}

/// A connection.
pub(crate) struct Client {
    pub(crate) rpc: CacheClient,
    pub(crate) introduced: Introduced,
    number: Cell<u64>,
    id: u64,
}

impl Client {
    pub(crate) async fn connect(socket: &Path, scopes: Vec<u64>) -> Self {
        let rpc = stranger(socket).await;
        rpc.hello(soon(), hello()).await.unwrap().unwrap();
        let introduction = Introduction { process: Process::current().unwrap(), scopes };
        let introduced = rpc.introduce(soon(), introduction).await.unwrap().unwrap();
        Self { rpc, introduced, number: Cell::new(0), id: rand_id() }
    }

    pub(crate) async fn connect_owned(socket: PathBuf) -> Self {
        Self::connect(&socket, Vec::new()).await
    }

    /// Returns the id of a new call.
    pub(crate) fn call(&self) -> CallId {
        self.number.set(self.number.get() + 1);
        CallId { client: self.id, number: self.number.get() }
    }

    pub(crate) async fn try_add(&self, addition: Addition) -> Result<Added, WireError> {
        self.rpc.add(soon(), self.call(), addition).await.unwrap()
    }

    pub(crate) async fn add(&self, addition: Addition) -> Added {
        self.try_add(addition).await.unwrap()
    }

    pub(crate) async fn get(&self, key: &str) -> Lookup {
        self.rpc.get(soon(), NAMESPACE.into(), key.into(), Fallback::Off).await.unwrap().unwrap()
    }

    pub(crate) async fn has(&self, key: &str) -> bool {
        self.rpc.contains(soon(), NAMESPACE.into(), key.into()).await.unwrap().unwrap()
    }

    pub(crate) async fn len(&self) -> u64 {
        self.rpc.len(soon(), NAMESPACE.into()).await.unwrap().unwrap()
    }
}

/// Returns what is in a file of shared memory now.
#[expect(clippy::host_endian_bytes, reason = "who maps the file sees its bytes as words of this machine")]
pub(crate) fn shared_words(path: &Path) -> Vec<AtomicU64> {
    let bytes = std::fs::read(path).unwrap();
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| AtomicU64::new(u64::from_ne_bytes(*word))).collect()
}

/// Connects without a word.
pub(crate) async fn stranger(socket: &Path) -> CacheClient {
    let stream = UnixStream::connect(socket).await.unwrap();
    CacheClient::new(tarpc::client::Config::default(), client_transport(stream)).spawn()
}

pub(crate) fn hello() -> Hello {
    Hello { protocol_min: PROTOCOL, protocol_max: PROTOCOL, build: BUILD.into() }
}

/// The context of a call that has time.
pub(crate) fn soon() -> Context {
    let mut context = context::current();
    context.deadline = std::time::Instant::now() + DEADLINE;
    context
}

/// An entry with a small value of bytes that never ends.
pub(crate) fn bytes(key: impl Into<Key>, value: &[u8]) -> Addition {
    Addition {
        namespace: NAMESPACE.into(),
        key: key.into(),
        codec: Codec::Bytes,
        body: Body::Inline(value.to_vec()),
        expires: None,
        tags: Vec::new(),
        scope: None,
        pinned: false,
        durable: false,
    }
}

pub(crate) fn tags(names: &[&str]) -> Vec<Tag> {
    names.iter().map(|name| Tag::new(name).unwrap()).collect()
}

/// Waits for something that must come.
pub(crate) async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, wait).await.expect("it takes too long")
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    within(async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Differs from client to client, as a client's own random number does.
fn rand_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed) | u64::from(std::process::id()) << 32
}
