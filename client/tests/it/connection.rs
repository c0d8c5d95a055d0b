//! Who is talked to, and who is not.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use datacache_client::{DataCache, Error, Options};
use datacache_proto::layout::SOCKET_LINK;

use crate::fake::{FakeDaemon, Trouble};

#[tokio::test]
async fn a_connection_begins_with_who_both_are() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).await.unwrap();
    let info = cache.daemon().await.unwrap();
    assert_eq!((info.build.as_str(), info.protocol), ("fake", datacache_proto::PROTOCOL));
    assert_eq!((info.store, info.socket), (daemon.store(), daemon.socket()));
    let state = daemon.state();
    assert_eq!(state.introductions[0].process.pid, std::process::id());
    assert_eq!(state.calls, [("hello", None), ("introduce", None)]);
}

#[tokio::test]
async fn without_a_daemon_an_open_that_starts_none_says_so_at_once() {
    let daemon = FakeDaemon::absent();
    let error = DataCache::open(daemon.options()).await.unwrap_err();
    assert!(matches!(error, Error::NoDaemon { .. }), "{error}");
    assert!(error.is_unavailable());
    assert!(DataCache::try_connect(daemon.options()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_socket_that_nobody_listens_at_counts_as_no_daemon() {
    let daemon = FakeDaemon::absent();
    drop(UnixListener::bind(daemon.socket()).unwrap());
    assert!(DataCache::try_connect(daemon.options()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_daemon_of_another_protocol_is_told_apart_and_not_tried_again() {
    let daemon = FakeDaemon::start();
    daemon.state().protocol = 9;
    let error = DataCache::open(daemon.options()).await.unwrap_err();
    assert!(error.is_version_mismatch() && error.is_refused() && !error.is_unavailable(), "{error}");
    assert!(error.to_string().contains("protocol 9"), "{error}");
    assert_eq!(daemon.state().calls_of("hello").len(), 1);
}

#[tokio::test]
async fn something_else_at_the_socket_is_an_error_and_nothing_worse() {
    let daemon = FakeDaemon::absent();
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\x04\0\0\0\xff\xff\xff\xff"] {
        let listener = UnixListener::bind(daemon.socket()).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer).unwrap();
            // Until the client hangs up.
            drop(stream.read_to_end(&mut Vec::new()));
        });
        let error = DataCache::open(daemon.options()).await.unwrap_err();
        assert!(matches!(error, Error::Garbled { .. }), "{error}");
        thread.join().unwrap();
        std::fs::remove_file(daemon.socket()).unwrap();
    }
}

#[tokio::test]
async fn a_daemon_that_never_answers_is_given_up_after_the_timeout() {
    let daemon = FakeDaemon::start();
    daemon.trouble("hello", Trouble::Silence);
    let options = daemon.options().connect_timeout(Duration::from_millis(200));
    let error = DataCache::open(options).await.unwrap_err();
    assert!(matches!(error, Error::NotReady { .. }) && error.is_unavailable(), "{error}");
}

#[tokio::test]
async fn a_daemon_that_hangs_up_before_it_is_introduced_is_tried_again() {
    let daemon = FakeDaemon::start();
    daemon.trouble("hello", Trouble::HangUp);
    daemon.trouble("introduce", Trouble::Stopping);
    let cache = DataCache::open(daemon.options()).await.unwrap();
    assert!(cache.is_empty().await.unwrap());
    assert_eq!(daemon.state().calls_of("hello").len(), 3);
}

#[tokio::test]
async fn the_daemon_of_a_store_is_found_where_the_store_points() {
    let daemon = FakeDaemon::start();
    std::os::unix::fs::symlink(daemon.socket(), daemon.store().join(SOCKET_LINK)).unwrap();
    // The socket's name comes from the environment here, and nobody listens there.
    let cache = DataCache::open(Options::new().dir(daemon.store()).start(false)).await.unwrap();
    assert_eq!(cache.daemon().await.unwrap().socket, daemon.socket());
}

#[tokio::test]
async fn a_daemon_of_another_store_than_the_named_one_is_refused() {
    let daemon = FakeDaemon::start();
    let other = tempfile::tempdir().unwrap();
    let error = DataCache::open(daemon.options().dir(other.path())).await.unwrap_err();
    assert!(matches!(&error, Error::WrongStore { actual, .. } if *actual == daemon.store()), "{error}");
    assert!(error.is_refused());
}

#[test]
fn outside_of_a_runtime_a_call_is_an_error_and_not_a_panic() {
    let daemon = FakeDaemon::start();
    let error = futures::executor::block_on(DataCache::open(daemon.options())).unwrap_err();
    assert!(matches!(error, Error::NoRuntime), "{error}");
}
