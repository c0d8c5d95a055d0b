//! A daemon in this process, one life of it at a time, and connections to it.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use datacache_daemon::store::Examiner;
use datacache_daemon::{Listener, OpenStore, RunError, run};
use datacache_proto::codec::{client_transport, until};
use datacache_proto::process::Process;
use datacache_proto::service::CacheClient;
use datacache_proto::types::{Hello, Introduction};
use datacache_proto::{BUILD, PROTOCOL};
use tarpc::context::Context;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, LocalSet};

use crate::place::Place;

/// Longer than anything takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A daemon that runs. Dropped, it dies in the middle of what it does, as if it were killed.
#[derive(Debug)]
pub struct Daemon {
    // Goes first: the tasks hold what threads of the runtime may be using.
    tasks: LocalSet,
    runtime: Runtime,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RunError>>,
    _config: watch::Sender<datacache_daemon::Config>,
}

impl Daemon {
    /// Starts one on the store and at the socket of `place`.
    ///
    /// # Panics
    /// Where it can't be started.
    #[must_use]
    pub fn start(place: &Place) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let tasks = LocalSet::new();
        let (stop, stopped) = oneshot::channel();
        let (config, settings) = watch::channel(place.config());
        let ended = {
            let _entered = runtime.enter();
            let store = OpenStore::open_with(&settings.borrow(), Examiner::here()).expect("the store can be opened");
            let listener = Listener::bind(&place.socket()).expect("the socket can be bound");
            tasks.spawn_local(run(settings, store, listener, async {
                stopped.await.ok();
            }))
        };
        Self { tasks, runtime, stop, ended, _config: config }
    }

    /// Does something beside the daemon.
    ///
    /// # Panics
    /// Where it takes longer than [`DEADLINE`].
    pub fn with<T>(&self, work: impl Future<Output = T>) -> T {
        let done = self.tasks.block_on(&self.runtime, async { tokio::time::timeout(DEADLINE, work).await });
        done.expect("it is done in time")
    }

    /// Ends it in good order.
    ///
    /// # Panics
    /// Where its end is not in good order.
    pub fn stop(self) {
        let Self { tasks, runtime, stop, ended, .. } = self;
        stop.send(()).ok();
        end(&tasks, &runtime, ended);
    }

    /// Waits for its end, which a client has asked for.
    ///
    /// # Panics
    /// Where its end does not come, or is not in good order.
    pub fn ended(self) {
        end(&self.tasks, &self.runtime, self.ended);
    }
}

fn end(tasks: &LocalSet, runtime: &Runtime, ended: JoinHandle<Result<(), RunError>>) {
    let ended = tasks.block_on(runtime, async { tokio::time::timeout(DEADLINE, ended).await });
    ended.expect("it ends in time").expect("it does not panic").expect("it ends in good order");
}

/// Connects, says hello, and introduces itself with the scopes that are open; `None` where the daemon is not there, or about to go.
pub async fn connect(socket: &Path, scopes: Vec<u64>) -> Option<CacheClient> {
    let stream = UnixStream::connect(socket).await.ok()?;
    let client = CacheClient::new(tarpc::client::Config::default(), client_transport(stream)).spawn();
    client.hello(soon(), hello()).await.ok()?.ok()?;
    client.introduce(soon(), introduction(scopes)).await.ok()?.ok()?;
    Some(client)
}

/// Returns the first thing that a client says.
#[must_use]
pub fn hello() -> Hello {
    Hello { protocol_min: PROTOCOL, protocol_max: PROTOCOL, build: BUILD.into() }
}

/// Returns the second.
///
/// # Panics
/// Where the system does not tell who we are.
#[must_use]
pub fn introduction(scopes: Vec<u64>) -> Introduction {
    Introduction { process: Process::current().expect("there is a /proc"), scopes }
}

/// Returns the context of a call that has time.
#[must_use]
pub fn soon() -> Context {
    until(Instant::now() + DEADLINE)
}
