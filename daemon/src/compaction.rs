//! Space that is free in the index, given back to the filesystem: once nobody writes, and nothing is packed, the index is copied into a
//! smaller file, and the daemon goes on there. How one index takes the place of the other is the store's affair (`successor`).
//!
//! A write during the copy wins, and it is tried again later, after ever longer pauses. So it is where a store can't come to rest.

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::activity::Activity;
use crate::daemon::{Daemon, aside};
use crate::store::{Former, Store, Succession, Successor};
use crate::writer::WriteError;

/// For how long nothing has changed when a copy is begun.
const QUIET: Duration = Duration::from_secs(5);
/// How often on end it is tried again soon while the store's threads have something to do. More often they have not: they can't do it,
/// as on a full disk.
const SOON: u32 = 12;
/// The longest pause after an attempt that came to nothing; the first is as long as [`QUIET`].
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// How long the index that was replaced is kept open: longer than threads of the blocking pool that have looked into it wait for
/// work. One that ends gives its reader's place back, which must not be unmapped meanwhile.
const KEPT_OPEN: Duration = Duration::from_secs(15);
/// What the copying thread adds to its niceness.
const NICENESS: i32 = 5;

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// There was nothing to do, or it is done.
    Over,
    /// The store's threads still have something to do.
    NotYet,
    /// Something came in between, or it failed.
    GivenUp,
}

/// Gives space back whenever there is much of it and nobody writes, for ever.
pub(crate) async fn compact_when_quiet(daemon: Rc<Daemon>) {
    let attempt = async || {
        compact(&daemon).await.unwrap_or_else(|error| {
            // A closed store is the daemon's end, and a failure to apply is told by the store.
            tracing::debug!(error = &error as &dyn std::error::Error, "space can't be given back now");
            Attempt::GivenUp
        })
    };
    when_quiet(daemon.writer.changes(), attempt).await;
}

/// Makes attempts whenever nothing has changed for a while, for ever: until one is over, and then once something has changed.
async fn when_quiet(changes: &Activity, attempt: impl AsyncFn() -> Attempt) {
    let (mut pause, mut early) = (QUIET, 0);
    loop {
        let seen = changes.count();
        sleep(QUIET).await;
        if changes.count() != seen {
            early = 0;
            continue;
        }
        match attempt().await {
            Attempt::Over => {
                (pause, early) = (QUIET, 0);
                changes.beyond(seen).await;
            }
            Attempt::NotYet if early < SOON => early += 1,
            Attempt::NotYet => {
                // A change may be what it waits for, as where room was made.
                match select(pin!(sleep(pause)), pin!(changes.beyond(seen))).await {
                    Either::Left(_) => pause = (2 * pause).min(PAUSE_MAX),
                    Either::Right(_) => (pause, early) = (QUIET, 0),
                }
            }
            Attempt::GivenUp => {
                sleep(pause).await;
                pause = (2 * pause).min(PAUSE_MAX);
            }
        }
    }
}

async fn compact(daemon: &Daemon) -> Result<Attempt, WriteError> {
    // Who looks the index through does that by its path, and who mends it writes to it.
    let Some(held_off) = daemon.inspecting.hold_off() else { return Ok(Attempt::GivenUp) };
    // What deletes have freed is free once they are applied.
    daemon.writer.checkpoint().await?;
    if !daemon.writer.read(Store::has_much_free)? {
        return Ok(Attempt::Over);
    }
    let Some(succession) = daemon.writer.read(Store::succession)? else { return Ok(Attempt::NotYet) };
    tracing::info!("much of the index is free: it is copied into a smaller file");
    let Some(successor) = copied(daemon, succession).await else { return Ok(Attempt::GivenUp) };
    match daemon.writer.with(|store| store.succeed(successor))? {
        Ok(Some(former)) => {
            tracing::info!("the daemon goes on in the smaller index");
            drop(held_off);
            leave(former).await?;
            Ok(Attempt::Over)
        }
        Ok(None) => Err(WriteError::Closed),
        Err(late) => {
            tracing::info!("somebody wrote meanwhile: the copy is thrown away");
            aside(|| late.discard()).await?;
            Ok(Attempt::GivenUp)
        }
    }
}

/// Has the successor made; `None` where somebody writes meanwhile, or it fails.
async fn copied(daemon: &Daemon, succession: Succession) -> Option<Successor> {
    let appends = daemon.writer.appends();
    let written = pin!(appends.beyond(appends.count()));
    let (ending, mut ended) = oneshot::channel();
    let copying = thread::Builder::new().name("datacache-copy".to_owned()).spawn(move || copy(succession, &ending));
    let copying = copying.inspect_err(|error| tracing::warn!(%error, "no thread can be started that copies the index"));
    let copying = copying.ok()?;
    if let Either::Right(_) = select(&mut ended, written).await {
        tracing::info!("somebody writes: the copy is given up");
    }
    drop(ended);
    // IMPORTANT: until it has ended, the next attempt has the same folder.
    aside(|| copying.join().ok().flatten()).await.ok().flatten()
}

/// Makes the successor, until nobody waits for the end of that any more. On a thread of its own, with a lower priority than others.
fn copy(succession: Succession, ending: &oneshot::Sender<Infallible>) -> Option<Successor> {
    rustix::process::nice(NICENESS).ok();
    let made = succession.prepare(|| !ending.is_closed()).unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "the index can't be copied into a smaller file");
        None
    });
    if ending.is_closed() {
        made.into_iter().for_each(Successor::discard);
        return None;
    }
    made
}

async fn leave(former: Former) -> Result<(), WriteError> {
    let former = aside(move || {
        former.remove();
        former
    });
    let former = former.await?;
    sleep(KEPT_OPEN).await;
    // To unmap a large file takes a while.
    aside(move || drop(former)).await
}

#[cfg(test)]
mod tests;
