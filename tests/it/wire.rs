//! The protocol without the client: what a client would not send.

use std::time::{Duration, Instant};

use datacache_proto::codec::client_transport;
use datacache_proto::key::Key;
use datacache_proto::process::Process;
use datacache_proto::service::CacheClient;
use datacache_proto::types::{Addition, Body, CallId, Codec, Hello, Introduction};
use datacache_proto::{BUILD, PROTOCOL};
use datacache_tests::Home;
use tarpc::context::Context;
use tokio::net::UnixStream;

/// Connects to the daemon of a home, without a word.
pub(crate) async fn connect(home: &Home) -> CacheClient {
    let stream = UnixStream::connect(home.socket()).await.unwrap();
    let tarpc::client::NewClient { client, dispatch } =
        CacheClient::new(tarpc::client::Config::default(), client_transport(stream));
    tokio::spawn(dispatch);
    client
}

/// Connects, and introduces this process.
pub(crate) async fn introduced(home: &Home) -> CacheClient {
    let client = connect(home).await;
    client.hello(soon(), hello(PROTOCOL, PROTOCOL)).await.unwrap().unwrap();
    let introduction = Introduction { process: Process::current().unwrap(), scopes: Vec::new() };
    client.introduce(soon(), introduction).await.unwrap().unwrap();
    client
}

pub(crate) fn hello(protocol_min: u32, protocol_max: u32) -> Hello {
    Hello { protocol_min, protocol_max, build: BUILD.into() }
}

/// Returns the context of a call that no busy machine makes late.
pub(crate) fn soon() -> Context {
    let mut context = tarpc::context::current();
    context.deadline = Instant::now() + Duration::from_secs(60);
    context
}

/// Returns the number of a call; all that are sent by one test are different.
pub(crate) fn call(number: u64) -> CallId {
    CallId { client: 4_711, number }
}

pub(crate) fn addition(key: &str, body: Body) -> Addition {
    let (namespace, key) = ("default".into(), Key::text(key));
    let (expires, tags, scope) = (None, Vec::new(), None);
    Addition { namespace, key, codec: Codec::Bytes, body, expires, tags, scope, pinned: false, durable: false }
}
