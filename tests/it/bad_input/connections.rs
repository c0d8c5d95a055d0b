//! Connections that don't speak the protocol, or another one.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use datacache_client::{DataCache, Options, blocking};
use datacache_proto::PROTOCOL;
use datacache_proto::codec::{MAX_MESSAGE, daemon_transport};
use datacache_proto::error::WireError;
use datacache_proto::holder::Holder;
use datacache_proto::key::Key;
use datacache_proto::process::{Process, boot_id, pid_namespace, start_of};
use datacache_proto::service::{CacheRequest, CacheResponse};
use datacache_proto::types::Fallback;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};
use futures::{SinkExt as _, StreamExt as _};
use rustix::process::Signal;
use tarpc::{ClientMessage, Response};

use super::Unharmed;
use crate::wire::{connect, hello, soon};

/// Sends bytes, and waits until the daemon hangs up.
fn send_until_hung_up(home: &Home, bytes: &[u8]) {
    let mut stream = UnixStream::connect(home.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The daemon may hang up before it has taken all of it.
    stream.write_all(bytes).ok();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => assert!(answer.is_empty(), "answered {answer:?} to {:?}", &bytes[..bytes.len().min(16)]),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn garbage_and_frames_above_the_limit_end_their_connection_only() {
    let unharmed = Unharmed::new();
    let too_long = u32::try_from(MAX_MESSAGE + 1).unwrap().to_le_bytes();
    let mut noise = crate::support::noise(1, 100_000);
    noise[3] = 0xff;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0xff; 64], &too_long, &noise] {
        send_until_hung_up(&unharmed.home, bytes);
    }
    unharmed.check();
}

#[test]
fn connections_that_send_half_a_frame_and_stay_keep_nobody_waiting() {
    let unharmed = Unharmed::new();
    let mut half = 100_u32.to_le_bytes().to_vec();
    half.extend([1; 50]);
    let stuck: Vec<_> = (0..50)
        .map(|number| {
            let mut stream = UnixStream::connect(unharmed.home.socket()).unwrap();
            stream.write_all(&half[..number % half.len()]).unwrap();
            if number % 3 == 0 {
                stream.shutdown(Shutdown::Read).unwrap();
            }
            stream
        })
        .collect();
    unharmed.check();
    // Not even a stop waits for them.
    let daemon = unharmed.home.daemon();
    unharmed.home.run(["stop"]).text();
    assert!(daemon.ends(PATIENCE));
    drop(stuck);
}

#[test]
fn a_client_that_stops_reading_its_answers_keeps_nobody_waiting() {
    let unharmed = Unharmed::new();
    let cache = unharmed.home.open();
    cache.set("before", "v").unwrap();
    let mut other = crate::support::client(&unharmed.home);
    other.tell(&["add-many", "many/", "0", "100000"]);
    eventually("it is at it", PATIENCE, || cache.len().unwrap() > 100);
    other.process().signal(rustix::process::Signal::STOP);
    cache.clear().unwrap();
    cache.set("before", "v").unwrap();
    unharmed.check();
    other.kill();
}

#[tokio::test]
async fn nothing_is_told_to_a_client_that_has_not_introduced_itself() {
    let unharmed = Unharmed::new();
    let client = connect(&unharmed.home).await;
    let refused = client.get(soon(), "default".into(), Key::text("before"), Fallback::Off).await.unwrap();
    assert_eq!(refused.unwrap_err(), WireError::NotIntroduced);
    assert_eq!(client.stop(soon()).await.unwrap().unwrap_err(), WireError::NotIntroduced);
    unharmed.check();
}

#[tokio::test]
async fn a_client_of_another_protocol_is_told_which_one_is_spoken() {
    let unharmed = Unharmed::new();
    let client = connect(&unharmed.home).await;
    for (min, max) in [(99, 120), (0, 0)] {
        let refused = client.hello(soon(), hello(min, max)).await.unwrap().unwrap_err();
        assert!(matches!(refused, WireError::Version { min: PROTOCOL, max: PROTOCOL, .. }), "{refused}");
    }
    unharmed.check();
}

#[tokio::test]
async fn a_daemon_of_another_protocol_is_told_with_what_to_do() {
    let home = Home::new();
    std::fs::create_dir_all(home.socket().parent().unwrap()).unwrap();
    let listener = tokio::net::UnixListener::bind(home.socket()).unwrap();
    let daemon = refuse_all(&listener);
    let told = async {
        let error = DataCache::open(home.options()).await.unwrap_err();
        assert!(error.is_version_mismatch() && error.is_refused(), "{error}");
        tokio::task::spawn_blocking(move || (home.run(["len"]), home.daemons().len())).await.unwrap()
    };
    let (told, daemons) = tokio::select! {
        told = told => told,
        () = daemon => unreachable!("it goes on for ever"),
    };
    let line = told.error(4);
    assert!(line.contains("speaks protocol 98 to 99") && line.contains("datacache stop"), "{line}");
    assert_eq!(daemons, 0, "no second daemon is started over it");
}

/// What stands for another version is a real daemon behind a socket that answers as one of another protocol does.
#[tokio::test]
async fn a_daemon_of_another_protocol_is_stopped_all_the_same() {
    let home = Home::new();
    home.start();
    home.open().set("key", "value").unwrap();
    let daemon = home.daemon();
    std::fs::remove_file(home.socket()).unwrap();
    let listener = tokio::net::UnixListener::bind(home.socket()).unwrap();
    let stopped = async {
        let (home, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = home.run(["stop"]);
            (home, outcome)
        })
        .await
        .unwrap();
        outcome.text();
        home
    };
    let home = tokio::select! {
        home = stopped => home,
        () = refuse_all(&listener) => unreachable!("it goes on for ever"),
    };
    assert!(daemon.ends(PATIENCE));
    drop(listener);
    std::fs::remove_file(home.socket()).ok();
    tokio::task::spawn_blocking(move || assert_eq!(home.run(["get", "key"]).text(), "value")).await.unwrap();
}

/// A store whose lock nobody holds tells of a daemon that has ended: its number may be another process's by now.
#[tokio::test]
async fn nobody_is_sent_a_signal_for_what_a_dead_daemon_left_in_the_lock() {
    let home = Home::new();
    std::fs::create_dir_all(home.socket().parent().unwrap()).unwrap();
    std::fs::create_dir_all(home.store()).unwrap();
    let mut bystander = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let process =
        Process { boot: boot_id().unwrap(), pid: bystander.id(), start: start_of(bystander.id()).unwrap().unwrap() };
    let left = Holder { process, namespace: pid_namespace() };
    std::fs::write(home.store().join("lock"), left.to_string()).unwrap();
    let listener = tokio::net::UnixListener::bind(home.socket()).unwrap();
    let told = tokio::select! {
        told = tokio::task::spawn_blocking(move || home.run(["stop"])) => told.unwrap(),
        () = refuse_all(&listener) => unreachable!("it goes on for ever"),
    };
    assert!(told.error(4).contains("speaks protocol 98 to 99"), "{told:?}");
    drop(bystander.stdin.take());
    assert!(bystander.wait().unwrap().success(), "it ends by itself");
}

async fn refuse_all(listener: &tokio::net::UnixListener) {
    loop {
        refuse(listener.accept().await.unwrap().0).await;
    }
}

/// Answers the first call as a newer daemon does that has no protocol in common with its client.
async fn refuse(stream: tokio::net::UnixStream) {
    let mut transport = daemon_transport::<CacheRequest, CacheResponse>(stream);
    if let Some(Ok(ClientMessage::Request(request))) = transport.next().await {
        let refused = WireError::Version { min: 98, max: 99, build: "9.9.9".into() };
        let message = Ok(CacheResponse::Hello(Err(refused)));
        transport.send(Response { request_id: request.id, message }).await.unwrap();
    }
}

#[test]
fn something_else_at_the_socket_is_told_to_be_that() {
    let home = Home::new();
    std::fs::create_dir_all(home.socket().parent().unwrap()).unwrap();
    let listener = UnixListener::bind(home.socket()).unwrap();
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example.org ESMTP\r\n").unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
    });
    let outcome = home.run(["len"]);
    assert!(outcome.error(4).contains("does not speak the protocol"), "{outcome:?}");
    echo.join().unwrap();
}

#[test]
fn a_daemon_that_is_stopped_or_hangs_is_named_with_what_to_do() {
    let home = Home::new();
    home.start();
    let daemon = home.daemon();
    daemon.signal(Signal::STOP);
    let impatient = home.options().direct(false).connect_timeout(Duration::from_millis(300));
    let by_socket = Options::new().socket(home.socket()).start(false).direct(false);
    for options in [impatient, by_socket.connect_timeout(Duration::from_millis(300))] {
        let error = blocking::DataCache::open(options).unwrap_err();
        let told = format!("(process {}) gave no answer at `{}` within ", daemon.pid(), home.socket().display());
        let what = format!("it is stopped: `kill -CONT {}` lets it go on", daemon.pid());
        assert!(error.is_unavailable() && error.to_string().contains(&told), "{error}");
        assert!(error.to_string().ends_with(&what), "{error}");
    }
    daemon.signal(Signal::CONT);
    assert_eq!(home.run(["len"]).number(), 0);
}
