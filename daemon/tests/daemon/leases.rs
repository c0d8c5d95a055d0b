//! Entries that live while a scope lives: that of this process, or of another one that is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use datacache_proto::error::{UnbindableReason, WireError};
use datacache_proto::process::Process;
use datacache_proto::types::{Addition, CallId, Introduction};

use crate::harness::{Client, Daemon, Place, bytes, daemon_and_client, hello, soon, stranger, until};

/// Tells the test binary to be a client of the daemon at this socket.
const SOCKET: &str = "LEASES_TEST_SOCKET";
/// Tells it to say that it is this process.
const CLAIMED: &str = "LEASES_TEST_CLAIMED";

fn bound(key: &str, scope: u64) -> Addition {
    Addition { scope: Some(scope), ..bytes(key, b"v") }
}

async fn release(client: &Client, scope: u64) -> u64 {
    client.rpc.release(soon(), client.call(), scope).await.unwrap().unwrap()
}

#[tokio::test(flavor = "local")]
async fn an_entry_goes_with_its_scope_and_only_with_that() {
    let (_place, daemon, client) = daemon_and_client().await;
    client.add(bound("mine", 1)).await;
    client.add(bound("other", 2)).await;
    client.add(bytes("free", b"v")).await;
    assert_eq!(release(&client, 1).await, 1);
    assert!(!client.has("mine").await && client.has("other").await && client.has("free").await);
    assert_eq!(release(&client, 1).await, 0);
    assert_eq!(release(&client, 77).await, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_scope_that_has_ended_binds_nothing_any_more() {
    let (_place, daemon, client) = daemon_and_client().await;
    release(&client, 5).await;
    let refused = client.try_add(bound("k", 5)).await;
    assert_eq!(refused, Err(WireError::Unbindable { reason: UnbindableReason::Ended }));
    assert!(!client.has("k").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn additions_that_are_under_way_when_their_scope_ends_leave_nothing() {
    let (_place, daemon, client) = daemon_and_client().await;
    for round in 0..20_u64 {
        let adding = (0..20_i64)
            .map(|key| client.rpc.add(soon(), client.call(), Addition { scope: Some(round), ..bytes(key, b"v") }));
        let (added, _) = tokio::join!(futures::future::join_all(adding), release(&client, round));
        for added in added {
            let ended = WireError::Unbindable { reason: UnbindableReason::Ended };
            assert!(added.unwrap().err().is_none_or(|error| error == ended));
        }
        until(async || client.len().await == 0).await;
    }
    daemon.stop().await;
}

/// A client in a process of its own, which tries to bind the entry `theirs` to a scope and then waits.
struct Other {
    child: Child,
    /// What it heard: `yes`, or why not.
    said: String,
}

impl Other {
    /// Starts it and waits for what it has to say; `claimed` is who it says it is, if not itself.
    async fn start(place: &Place, claimed: Option<Process>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "leases::another_process_holds_what_it_binds", "--nocapture", "--test-threads=1"]);
        command.env(SOCKET, place.socket()).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(Process { boot, pid, start }) = claimed {
            command.env(CLAIMED, format!("{boot} {pid} {start}"));
        }
        // Not on this thread: the daemon that it talks to is here.
        let wait = || Self::wait_for_word(command);
        tokio::task::spawn_blocking(wait).await.unwrap()
    }

    fn wait_for_word(mut command: Command) -> Self {
        let child = command.spawn().unwrap();
        let mut other = Self { child, said: String::new() };
        let mut lines = BufReader::new(other.child.stdout.take().unwrap()).lines();
        let word = lines.find_map(|line| line.unwrap().split_once("HELD ").map(|(_, said)| said.to_owned()));
        other.said = word.expect("it ended without a word");
        other
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Is the other process, until it is killed.
async fn be_the_other(socket: &Path) {
    let rpc = stranger(socket).await;
    rpc.hello(soon(), hello()).await.unwrap().unwrap();
    let process = std::env::var(CLAIMED).ok().map_or_else(
        || Process::current().unwrap(),
        |claimed| {
            let numbers: Vec<&str> = claimed.split(' ').collect();
            let (boot, pid, start) = (numbers[0].parse(), numbers[1].parse(), numbers[2].parse());
            Process { boot: boot.unwrap(), pid: pid.unwrap(), start: start.unwrap() }
        },
    );
    rpc.introduce(soon(), Introduction { process, scopes: Vec::new() }).await.unwrap().unwrap();
    let call = CallId { client: u64::from(std::process::id()), number: 1 };
    let said = match rpc.add(soon(), call, bound("theirs", 9)).await.unwrap() {
        Ok(_) => "yes".to_owned(),
        Err(error) => error.to_string(),
    };
    println!("\nHELD {said}");
    std::io::stdin().lines().for_each(drop);
}

#[tokio::test(flavor = "local")]
async fn another_process_holds_what_it_binds() {
    if let Some(socket) = std::env::var_os(SOCKET) {
        return be_the_other(socket.as_ref()).await;
    }
    let (place, daemon, client) = daemon_and_client().await;
    let other = Other::start(&place, None).await;
    assert_eq!(other.said, "yes");
    assert!(client.has("theirs").await);
    drop(other);
    until(async || !client.has("theirs").await).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_process_that_says_it_is_another_can_bind_nothing() {
    let (place, daemon, client) = daemon_and_client().await;
    let other = Other::start(&place, Some(Process::current().unwrap())).await;
    let refused = WireError::Unbindable { reason: UnbindableReason::ForeignProcess };
    assert_eq!(other.said, refused.to_string());
    assert!(!client.has("theirs").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_lease_survives_a_restart_if_its_process_does() {
    let (place, daemon, client) = daemon_and_client().await;
    let other = Other::start(&place, None).await;
    client.add(bound("mine", 1)).await;
    daemon.stop().await;
    let daemon = Daemon::start(&place, |_| ());
    let client = Client::connect(&place.socket(), vec![1]).await;
    assert!(client.has("mine").await && client.has("theirs").await);
    assert_eq!(release(&client, 1).await, 1);
    drop(other);
    until(async || !client.has("theirs").await).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_process_that_dies_while_no_daemon_runs_is_noticed_by_the_next() {
    let (place, daemon, client) = daemon_and_client().await;
    let other = Other::start(&place, None).await;
    client.add(bound("mine", 1)).await;
    daemon.stop().await;
    drop(other);
    let daemon = Daemon::start(&place, |_| ());
    let client = daemon.client().await;
    until(async || !client.has("theirs").await).await;
    assert!(client.has("mine").await);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_daemon_with_leases_does_not_leave() {
    let place = Place::new();
    let daemon = Daemon::start(&place, |config| config.idle_exit = Some(Duration::from_millis(1)));
    let client = daemon.client().await;
    client.add(bound("k", 1)).await;
    drop(client);
    // Were it to leave, it would do so in the time that these take.
    for _ in 0..20 {
        let client = daemon.client().await;
        assert!(client.has("k").await);
    }
    let client = daemon.client().await;
    assert_eq!(release(&client, 1).await, 1);
    drop(client);
    daemon.ended().await.unwrap();
}
