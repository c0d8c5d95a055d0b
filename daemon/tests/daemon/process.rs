//! The daemon as a process: what it does at signals, and what it tells its service manager.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use datacache_daemon::{Flags, start};
use datacache_proto::error::WireError;
use datacache_proto::types::Addition;
use rustix::io::retry_on_intr;
use rustix::net::RecvFlags;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Client, DEADLINE, Place, bytes};

/// Tells the test binary to be a daemon.
const BE_ONE: &str = "PROCESS_TEST_DAEMON";
/// The test that becomes one.
const ENTRY: &str = "process::a_signal_ends_it_in_good_order_and_its_manager_is_told";
/// Hands over standard input as systemd hands over a socket.
const AS_SYSTEMD: &str = r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@""#;

/// A daemon in a process of its own, and its service manager.
struct Managed {
    child: Child,
    manager: UnixDatagram,
}

impl Managed {
    fn start(place: &Place, settle: impl FnOnce(&mut Command)) -> Self {
        Self::run(place, Command::new(std::env::current_exe().unwrap()), settle)
    }

    fn start_with_socket(place: &Place, socket: UnixListener) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(AS_SYSTEMD).arg(std::env::current_exe().unwrap());
        Self::run(place, command, |command| {
            command.stdin(Stdio::from(OwnedFd::from(socket)));
        })
    }

    fn run(place: &Place, mut command: Command, settle: impl FnOnce(&mut Command)) -> Self {
        let folder = place.folder.path();
        let notify = folder.join("notify");
        fs::remove_file(&notify).ok();
        let manager = UnixDatagram::bind(&notify).unwrap();
        manager.set_read_timeout(Some(DEADLINE)).unwrap();
        command.args(["--exact", ENTRY, "--nocapture", "--test-threads=1"]);
        command.env(BE_ONE, "1").env("NOTIFY_SOCKET", notify).env("HOME", folder).env("XDG_RUNTIME_DIR", folder);
        command.env("DATACACHE_DIR", place.store()).env("DATACACHE_SOCKET", place.socket());
        command.env("DATACACHE_CONFIG", configuration(place)).env_remove("WATCHDOG_PID");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        settle(&mut command);
        let child = command.spawn().unwrap();
        Self { child, manager }
    }

    /// Waits until the manager is told this; returns what it is told with it.
    fn wait_for(&mut self, word: &str) -> String {
        let mut buffer = [0; 4_096];
        loop {
            let told = retry_on_intr(|| rustix::net::recv(&self.manager, &mut buffer, RecvFlags::empty()));
            let (length, _) = told.unwrap_or_else(|error| {
                panic!("the manager waits for {word}: {error}; the daemon is {:?}", self.child.try_wait());
            });
            let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if told.lines().any(|line| line == word) {
                return told;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; returns how it ended and what it logged.
    fn ended(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + DEADLINE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
        let log = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        (self.child.wait().unwrap(), log)
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn configuration(place: &Place) -> std::path::PathBuf {
    let path = place.folder.path().join("config.toml");
    if !path.exists() {
        fs::write(&path, "").unwrap();
    }
    path
}

async fn client(place: &Place) -> Client {
    Client::connect(&place.socket(), Vec::new()).await
}

fn has_entry(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[tokio::test(flavor = "local")]
async fn a_signal_ends_it_in_good_order_and_its_manager_is_told() {
    if std::env::var_os(BE_ONE).is_some() {
        // Not on this runtime: it makes its own.
        return std::thread::spawn(|| start(&Flags::default()).unwrap()).join().unwrap();
    }
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let mut daemon = Managed::start(&place, |_| ());
        daemon.wait_for("READY=1");
        client(&place).await.add(bytes("k", b"v")).await;
        daemon.signal(signal);
        daemon.wait_for("STOPPING=1");
        let (status, log) = daemon.ended();
        assert!(status.success(), "{status}: {log}");
        assert!(!has_entry(&place.socket()));
        let mut daemon = Managed::start(&place, |_| ());
        daemon.wait_for("READY=1");
        assert!(client(&place).await.has("k").await);
    }
}

#[tokio::test(flavor = "local")]
async fn it_comes_back_after_a_kill_with_everything_that_was_acknowledged() {
    let place = Place::new();
    let mut daemon = Managed::start(&place, |_| ());
    daemon.wait_for("READY=1");
    let before = client(&place).await;
    for key in 0..500_i64 {
        before.add(bytes(key, b"v")).await;
    }
    daemon.signal(Signal::KILL);
    daemon.ended();
    assert!(has_entry(&place.socket()), "nobody removed the socket of the dead daemon");
    let mut daemon = Managed::start(&place, |_| ());
    daemon.wait_for("READY=1");
    assert_eq!(client(&place).await.len().await, 500);
}

#[tokio::test(flavor = "local")]
async fn a_hangup_reads_the_configuration_again_and_a_broken_one_changes_nothing() {
    let place = Place::new();
    let mut daemon = Managed::start(&place, |_| ());
    daemon.wait_for("READY=1");
    let client = client(&place).await;
    client.add(bytes("k", b"12345")).await;
    for (text, is_refused) in [("value_max = 4", true), ("value_max = = 9", true), ("value_max = 5", false)] {
        fs::write(configuration(&place), text).unwrap();
        daemon.signal(Signal::HUP);
        assert!(daemon.wait_for("RELOADING=1").contains("MONOTONIC_USEC="));
        daemon.wait_for("READY=1");
        let added = client.try_add(Addition { ..bytes("k", b"12345") }).await;
        assert_eq!(added.err(), is_refused.then_some(WireError::TooLarge { size: 5, limit: 4 }), "{text}");
    }
    daemon.signal(Signal::TERM);
    let (_, log) = daemon.ended();
    assert!(log.contains("config.toml, line 1"), "{log}");
}

#[tokio::test(flavor = "local")]
async fn a_socket_from_systemd_is_served_and_left_in_place() {
    let place = Place::new();
    let socket = UnixListener::bind(place.socket()).unwrap();
    // It waits in the socket until the daemon is there.
    let early = tokio::task::spawn_local(Client::connect_owned(place.socket()));
    let mut daemon = Managed::start_with_socket(&place, socket.try_clone().unwrap());
    daemon.wait_for("READY=1");
    let early = early.await.unwrap();
    early.add(bytes("k", b"v")).await;
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.ended();
    assert!(status.success(), "{status}: {log}");
    assert!(has_entry(&place.socket()));
    // Who comes now waits for the next daemon.
    UnixStream::connect(place.socket()).unwrap();
    let mut daemon = Managed::start_with_socket(&place, socket);
    daemon.wait_for("READY=1");
    assert!(client(&place).await.has("k").await);
}

#[tokio::test(flavor = "local")]
async fn the_watchdog_is_fed_again_and_again() {
    let place = Place::new();
    let mut daemon = Managed::start(&place, |command| {
        command.env("WATCHDOG_USEC", "200000");
    });
    daemon.wait_for("READY=1");
    for _ in 0..3 {
        daemon.wait_for("WATCHDOG=1");
    }
}

#[tokio::test(flavor = "local")]
async fn a_daemon_that_comes_while_another_ends_waits_for_the_store() {
    let place = Place::new();
    // It has the store and takes no connections, as one that is ending or only beginning.
    let ending = datacache_daemon::OpenStore::open(&place.config()).unwrap();
    let mut next = Managed::start(&place, |_| ());
    let mut log = BufReader::new(next.child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("waiting")), "it ended instead");
    drop(ending);
    next.wait_for("READY=1");
    client(&place).await.add(bytes("k", b"v")).await;
}

#[tokio::test(flavor = "local")]
async fn a_second_daemon_of_a_store_ends_at_once_and_says_why() {
    let place = Place::new();
    let mut first = Managed::start(&place, |_| ());
    first.wait_for("READY=1");
    let other = Place::new();
    for socket in [place.socket(), other.socket()] {
        let second = Managed::start(&other, |command| {
            command.env("DATACACHE_DIR", place.store()).env("DATACACHE_SOCKET", socket);
        });
        let (status, log) = second.ended();
        assert!(!status.success() && log.contains("InUse"), "{status}: {log}");
    }
    client(&place).await.add(bytes("k", b"v")).await;
}
