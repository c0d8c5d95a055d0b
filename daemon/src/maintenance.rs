//! What the daemon does unasked: removing what has expired, applying the log, freeing what dead processes left, and leaving
//! when nobody needs it. Everything here sleeps while nothing happens.

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use datacache_proto::time::Timestamp;
use futures::future::{join, select};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::Config;
use crate::activity::Activity;
use crate::alarm::Alarm;
use crate::bulk;
use crate::daemon::{Daemon, aside};
use crate::deadlines::Deadlines;
use crate::lifecycle::Stage;
use crate::store::StoreError;
use crate::writer::WriteError;

/// The least time between two expiry sweeps: so many deadlines cost one sweep, and none waits longer than that.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);
/// How long to wait after a sweep that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(10);
/// How long the log is left unapplied when nothing else makes it apply.
const APPLY_AFTER: Duration = Duration::from_secs(5);
/// How often dead readers' slots are freed while calls come in or clients leave.
const READERS_EVERY: Duration = Duration::from_secs(2);
/// How long to wait before it is asked again whether a daemon that nobody is connected to is needed. A lease says so for hours.
const NEEDED_PAUSE: Duration = Duration::from_secs(1);
/// How long after a client left abandoned uploads are removed: more than the time for which an upload is spared that nobody has
/// locked yet.
const STAGING_AFTER: Duration = Duration::from_secs(6);

/// Removes entries when their time is over, for ever. An entry goes within two seconds of its deadline, unless the
/// writer is busier than that; readers don't see it from the deadline on.
pub(crate) async fn expire(daemon: Rc<Daemon>, deadlines: Deadlines) {
    let alarm =
        Alarm::new().inspect_err(|error| tracing::warn!(%error, "no timer, expired entries are looked for")).ok();
    let mut swept = Timestamp::default();
    loop {
        let now = Timestamp::now();
        // Deadlines that were noted since count again, as do those that the clock, set back, has before it once more.
        let noted = deadlines
            .take()
            .map_or(Timestamp::MAX, |noted| Timestamp::from_millis(noted.as_millis().saturating_sub(1)));
        swept = swept.min(noted).min(now);
        match next_deadline(&daemon, swept) {
            Ok(Some(next)) if next <= now => match bulk::sweep(&daemon, now).await {
                Ok(_) => {
                    swept = now;
                    sleep(SWEEP_PAUSE).await;
                }
                Err(error) => pause_after(&error).await,
            },
            Ok(next) => {
                let earlier = std::pin::pin!(deadlines.earlier_than(next));
                select(earlier, std::pin::pin!(until(alarm.as_ref(), next))).await;
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

fn next_deadline(daemon: &Daemon, after: Timestamp) -> Result<Option<Timestamp>, WriteError> {
    daemon.writer.read(|store| store.next_expiry(after))
}

async fn pause_after(error: &WriteError) {
    // A closed store is the daemon's end, not a failure.
    if !matches!(error, WriteError::Closed) {
        tracing::warn!(error = error as &dyn std::error::Error, "expired entries can't be removed");
    }
    sleep(FAILED_PAUSE).await;
}

/// Waits until the wall clock shows `moment`; for ever where there is none.
async fn until(alarm: Option<&Alarm>, moment: Option<Timestamp>) {
    let Some(moment) = moment else { return pending().await };
    let waited = match alarm {
        Some(alarm) => alarm.at(moment).await.is_ok(),
        None => false,
    };
    if !waited {
        sleep(moment.since(Timestamp::now()).clamp(SWEEP_PAUSE, FAILED_PAUSE)).await;
    }
}

/// Has the log applied some time after a change, for ever, unless it has been meanwhile: the files of values that went are
/// removed only then, and the next daemon has that much less to do.
pub(crate) async fn apply_log(daemon: Rc<Daemon>) {
    let segments = || daemon.writer.read(|store| store.counters().segments);
    let mut seen = 0;
    loop {
        seen = daemon.writer.appends().beyond(seen).await;
        let before = segments();
        sleep(APPLY_AFTER).await;
        // Where segments fill up by themselves, there is no need to hurry them.
        let is_due = matches!((before, segments()), (Ok(before), Ok(now)) if before == now);
        let applied = if is_due { daemon.writer.checkpoint().await } else { Ok(0) };
        if let Err(error) = applied {
            // A closed store is the daemon's end, and a failure to apply is told by the store.
            tracing::debug!(error = &error as &dyn std::error::Error, "the log is not applied yet");
            sleep(FAILED_PAUSE).await;
        }
    }
}

/// Frees the slots of dead readers, for ever: an abandoned one keeps the index from using its free pages again.
pub(crate) async fn clear_dead_readers(daemon: Rc<Daemon>) {
    let clear = || daemon.reader().map(|reader| move || reader.clear_dead_readers());
    let what = "slots of dead readers were freed";
    let after_calls = after_activity(&daemon.activity, READERS_EVERY, what, clear);
    join(after_calls, after_activity(&daemon.departures, READERS_EVERY, what, clear)).await;
}

/// Removes abandoned uploads, now and whenever a client has left, for ever.
pub(crate) async fn sweep_staging(daemon: Rc<Daemon>) {
    let blobs = daemon.blobs.clone();
    let sweep = move || blobs.sweep_staging();
    once("abandoned uploads were removed", sweep.clone()).await;
    let sweep = || Ok(sweep.clone());
    after_activity(&daemon.departures, STAGING_AFTER, "abandoned uploads were removed", sweep).await;
}

/// Does what `work` returns once each `period` in which something happened, until the store is closed.
async fn after_activity<W>(activity: &Activity, period: Duration, what: &str, work: impl Fn() -> Result<W, WriteError>)
where
    W: FnOnce() -> Result<usize, StoreError> + Send + 'static,
{
    let mut seen = activity.count();
    loop {
        activity.beyond(seen).await;
        // Before the pause: what a client leaves that goes meanwhile may be too young for this turn, and has another one.
        seen = activity.count();
        sleep(period).await;
        let Ok(work) = work() else { return };
        once(what, work).await;
    }
}

async fn once(what: &str, work: impl FnOnce() -> Result<usize, StoreError> + Send + 'static) {
    match aside(work).await.and_then(|done| Ok(done?)) {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "{what}"),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "housekeeping failed"),
    }
}

/// Begins the daemon's end when nobody has needed it for as long as the settings say.
pub(crate) async fn leave_when_idle(daemon: Rc<Daemon>) {
    let mut config = daemon.config.clone();
    loop {
        daemon.connections.none().await;
        let calls = daemon.activity.count();
        let idle_exit = config.borrow_and_update().idle_exit;
        let is_idle = is_left_alone(&daemon, &mut config, idle_exit).await;
        if is_idle && is_dispensable(&daemon).await && daemon.activity.count() == calls {
            tracing::info!("leaving: there was nothing to do");
            return daemon.lifecycle.advance(Stage::Draining);
        }
        if is_idle {
            sleep(NEEDED_PAUSE).await;
        }
    }
}

/// Waits for `span`; tells whether neither a connection nor a new configuration came in between.
async fn is_left_alone(daemon: &Daemon, config: &mut watch::Receiver<Config>, span: Option<Duration>) -> bool {
    let idle = async {
        match span {
            Some(span) => sleep(span).await,
            None => pending().await,
        }
    };
    let configured = async {
        if config.changed().await.is_err() {
            // Nobody is there who could change it.
            pending::<()>().await;
        }
    };
    tokio::select! {
        () = daemon.connections.some() => false,
        () = configured => false,
        () = idle => true,
    }
}

/// Tells whether nobody needs the daemon: no client, no lease, nothing in the log that the index does not have.
async fn is_dispensable(daemon: &Daemon) -> bool {
    let is_free = |daemon: &Daemon| {
        let holds_nothing = daemon.writer.read(|store| store.holders().is_empty()).unwrap_or(true);
        holds_nothing && !daemon.long_calls.is_running() && daemon.connections.count() == 0
    };
    is_free(daemon) && daemon.writer.checkpoint().await.is_ok() && is_free(daemon)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use datacache_proto::paths::Paths;
    use datacache_proto::types::CallId;
    use futures::poll;
    use tokio::time::timeout;

    use super::*;
    use crate::open_store::OpenStore;
    use crate::writer::Writer;

    /// The files of a client that was killed a moment before the sweep were too young for it, and there was no other.
    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn what_happens_during_the_pause_has_a_turn_of_its_own() {
        const PERIOD: Duration = Duration::from_secs(6);
        let (activity, turns) = (Activity::default(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&turns);
        let work = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(0)
        };
        let mut working = pin!(after_activity(&activity, PERIOD, "done", || Ok(work.clone())));
        assert!(poll!(&mut working).is_pending());
        activity.note();
        for (pause, done) in [(PERIOD / 2, 0), (PERIOD, 1), (PERIOD, 2), (10 * PERIOD, 2)] {
            assert!(timeout(pause, &mut working).await.is_err(), "it goes on for ever");
            assert_eq!(turns.load(Ordering::Relaxed), done);
            if done == 0 {
                activity.note();
            }
        }
    }

    /// It asked without a pause, which took all of a processor.
    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_daemon_that_nobody_is_connected_to_and_that_is_needed_asks_itself_once_a_second() {
        const SECONDS: usize = 10;
        let folder = tempfile::tempdir().unwrap();
        let [store, socket, store_link, config] = ["c", "sock", "store", "f"].map(|name| folder.path().join(name));
        let mut config = Config::defaults(Paths { store, socket, store_link, config, is_default: false });
        config.idle_exit = Some(Duration::ZERO);
        let writer = Writer::new(OpenStore::open(&config).unwrap(), Deadlines::default());
        let (_sender, receiver) = watch::channel(config);
        let daemon = Rc::new(Daemon::new(receiver.into(), writer).unwrap());
        let mut call = pin!(daemon.long_calls.run(&daemon.tasks, CallId { client: 1, number: 1 }, pending()));
        assert!(poll!(&mut call).is_pending());

        let (mut leaving, mut turns) = (pin!(leave_when_idle(Rc::clone(&daemon))), 0);
        let counted = poll_fn(|context| {
            turns += 1;
            assert!(turns <= 4 * SECONDS, "it asks and asks");
            leaving.as_mut().poll(context)
        });
        assert!(timeout(Duration::from_secs(SECONDS as u64), counted).await.is_err(), "it is needed");
    }
}
