//! Who holds leases, and how it is noticed that they end: by the scope, by its process, or by the connection where the
//! process can't be seen.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use datacache_proto::error::UnbindableReason;
use datacache_proto::process::{Process, boot_id};

use crate::bulk;
use crate::daemon::Daemon;
use crate::peer::Peer;
use crate::scopes::{ConnectionId, Ended, Scopes, is_unseen};
use crate::store::Holder;
use crate::watch::Watch;
use crate::writer::WriteError;

/// How long to wait before leases that could not be given back are tried again, and the most that grows to.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(60);

/// The scopes that may hold leases.
#[derive(Debug, Default)]
pub(crate) struct Leases(RefCell<Scopes>);

impl From<Ended> for UnbindableReason {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

/// Opens a scope of the process at the other end of a connection, so that it can hold leases; begins to watch for
/// their end.
///
/// # Errors
/// Where the process is another than it says, or the scope has ended.
pub(crate) fn hold(
    daemon: &Rc<Daemon>,
    peer: Peer,
    connection: ConnectionId,
    scope: u64,
) -> Result<Holder, UnbindableReason> {
    let (process, tie) = match peer {
        Peer::Seen(process) => (process, None),
        Peer::Unseen(process) => (process, Some(connection)),
        Peer::Foreign => return Err(UnbindableReason::ForeignProcess),
    };
    if !is_watched(daemon, process) {
        return Err(UnbindableReason::Ended);
    }
    let holder = Holder { process, scope };
    daemon.leases.0.borrow_mut().open(holder, tie)?;
    Ok(holder)
}

/// Ends a scope: no lease is taken for it any more. Those it has are given back by [`release`].
///
/// # Errors
/// Where the process is another than it says.
pub(crate) fn end(daemon: &Rc<Daemon>, peer: Peer, scope: u64) -> Result<Holder, UnbindableReason> {
    let (Peer::Seen(process) | Peer::Unseen(process)) = peer else {
        return Err(UnbindableReason::ForeignProcess);
    };
    let holder = Holder { process, scope };
    if is_watched(daemon, process) {
        daemon.leases.0.borrow_mut().end(holder);
    }
    Ok(holder)
}

/// Gives back the leases of a scope that has ended; returns how many entries went. Where that fails it goes on in the
/// background: the process has done its part, and its own end would find the scope ended.
///
/// # Errors
/// As [`bulk::release`].
pub(crate) async fn release(daemon: &Rc<Daemon>, holder: Holder) -> Result<u64, WriteError> {
    let released = bulk::release(daemon, holder).await;
    if released.is_err() {
        give_back(daemon, vec![holder]);
    }
    released
}

/// Gives back the leases that are tied to a connection which has ended. When the daemon itself ends, they stay: their
/// process renews them with the next one.
pub(crate) fn connection_ended(daemon: &Rc<Daemon>, connection: ConnectionId) {
    if daemon.lifecycle.is_serving() {
        let ended = daemon.leases.0.borrow_mut().end_connection(connection);
        give_back(daemon, ended);
    }
}

/// Takes over the leases that the store has from before: those of dead processes are given back at once, those of unseen ones
/// when nobody has come for them after `grace`.
pub(crate) fn adopt(daemon: &Rc<Daemon>, holders: Vec<Holder>, grace: Duration) {
    let boot = boot_id().ok();
    let mut dead = Vec::new();
    let mut any_unseen = false;
    for holder in holders {
        let process = holder.process;
        let is_of_this_boot = boot.is_none_or(|boot| boot == process.boot);
        if is_of_this_boot && is_watched(daemon, process) && daemon.leases.0.borrow_mut().open(holder, None).is_ok() {
            any_unseen |= is_unseen(&process);
        } else {
            dead.push(holder);
        }
    }
    give_back(daemon, dead);
    if any_unseen {
        let unseen = Rc::clone(daemon);
        daemon.tasks.keep("giving leases back", async move {
            tokio::time::sleep(grace).await;
            let unclaimed = unseen.leases.0.borrow_mut().end_unclaimed();
            give_back(&unseen, unclaimed);
        });
    }
}

/// Sees to it that the end of a process is noticed, if only by the end of its connection; `false` where it has ended.
fn is_watched(daemon: &Rc<Daemon>, process: Process) -> bool {
    is_unseen(&process) || daemon.leases.0.borrow().knows(&process) || watch(daemon, process)
}

/// Begins to wait for the end of a process; tells whether it lives.
fn watch(daemon: &Rc<Daemon>, process: Process) -> bool {
    let watch = match Watch::begin(process) {
        Ok(Some(watch)) => watch,
        Ok(None) => return false,
        Err(error) => {
            tracing::warn!(pid = process.pid, %error, "a process can't be watched, it can hold no leases");
            return false;
        }
    };
    let watcher = Rc::clone(daemon);
    daemon.tasks.keep("giving leases back", async move {
        watch.ended().await;
        let ended = watcher.leases.0.borrow_mut().end_process(process);
        tracing::debug!(pid = process.pid, scopes = ended.len(), "a process that held leases has ended");
        for holder in ended {
            give_back_fully(&watcher, holder).await;
        }
        watcher.leases.0.borrow_mut().forget(&process);
    });
    true
}

fn give_back(daemon: &Rc<Daemon>, holders: Vec<Holder>) {
    if holders.is_empty() {
        return;
    }
    let giver = Rc::clone(daemon);
    daemon.tasks.keep("giving leases back", async move {
        for holder in holders {
            give_back_fully(&giver, holder).await;
        }
    });
}

/// Gives back all leases of a scope, however often that takes: nobody else will.
async fn give_back_fully(daemon: &Daemon, holder: Holder) {
    let mut pause = RETRY;
    while let Err(error) = bulk::release(daemon, holder).await {
        if !daemon.lifecycle.is_serving() {
            return;
        }
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, scope = holder.scope, "leases can't be given back, they are tried again");
        tokio::time::sleep(pause).await;
        pause = RETRY_AT_MOST.min(pause * 2);
    }
}
