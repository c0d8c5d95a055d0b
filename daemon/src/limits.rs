//! What the daemon does unasked to keep its limits: evicting what is above a mark, giving way to others on the disk, and writing down
//! what the policies have learned. Calls only wait for it where they come faster.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use datacache_proto::time::Timestamp;
use futures::future::select;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::bulk;
use crate::daemon::{Daemon, aside};
use crate::store::{Learned, Store};
use crate::writer::WriteError;

/// How often it is looked how much room others leave on the disk, while calls come.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often while none do.
const LOOK_IDLY_EVERY: Duration = Duration::from_secs(20);
/// How often what was learned is written down, if anything was evicted since.
const KEEP_EVERY: Duration = Duration::from_secs(600);
/// How long to wait after an eviction that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(10);
/// The least time between two looks for what has expired, before anything is evicted.
const SWEEP_PAUSE_MS: u64 = 1_000;

/// Evicts what is above a mark, for ever: first what has expired, then as the policies say.
pub(crate) async fn keep(daemon: Rc<Daemon>) {
    let mut swept = Timestamp::default();
    loop {
        daemon.writer.surplus().await;
        if let Err(error) = relieve(&daemon, &mut swept).await
            && !matches!(error, WriteError::Closed)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "a limit can't be kept");
            sleep(FAILED_PAUSE).await;
        }
    }
}

async fn relieve(daemon: &Daemon, swept: &mut Timestamp) -> Result<(), WriteError> {
    let now = Timestamp::now();
    if now.since(*swept).as_millis() >= u128::from(SWEEP_PAUSE_MS) || now < *swept {
        *swept = now;
        bulk::expire(daemon, None, now).await?;
    }
    loop {
        // Others come first, and a segment that is being applied.
        yield_now().await;
        daemon.writer.room_for_bulk().await;
        daemon.check_serving()?;
        if !daemon.writer.evict_surplus()? {
            return Ok(());
        }
    }
}

/// Looks how much room others leave on the disk, for ever. Less often while nobody calls, so that an idle daemon hardly ever wakes up.
pub(crate) async fn look_at_disk(daemon: Rc<Daemon>) {
    let mut seen = daemon.activity.count();
    while daemon.writer.with(Store::look_at_disk).is_ok() {
        // It comes round, and finds what is too much by now.
        daemon.writer.turn().await.ok();
        let calls = daemon.activity.beyond(seen);
        select(pin!(calls), pin!(sleep(LOOK_IDLY_EVERY - LOOK_EVERY))).await;
        seen = daemon.activity.count();
        sleep(LOOK_EVERY).await;
    }
}

/// Sleeps for a span, and for as long as nobody calls.
async fn sleep_while_calls_come(daemon: &Daemon, seen: &mut u64, span: Duration) {
    daemon.activity.beyond(*seen).await;
    *seen = daemon.activity.count();
    sleep(span).await;
}

/// Has the store follow what the settings say, for ever.
pub(crate) async fn follow_rules(daemon: Rc<Daemon>) {
    let mut config = daemon.config.clone();
    while config.changed().await.is_ok() {
        let rules = config.borrow_and_update().rules();
        let Ok(remembering) = daemon.writer.read(|store| store.remembering(&rules)) else { return };
        let remembered = aside(remembering).await.unwrap_or_default();
        let Ok(left) = daemon.writer.with(|store| store.take_up(rules, remembered)) else { return };
        daemon.writer.turn().await.ok();
        if let Some(left) = left {
            aside(move || Learned::keep(left)).await.ok();
        }
    }
    std::future::pending::<()>().await;
}

/// Writes down what the policies have learned, now and then, for ever: the end of the daemon does too, but a crash does not.
pub(crate) async fn keep_learned(daemon: Rc<Daemon>) {
    let mut seen = daemon.activity.count();
    loop {
        sleep_while_calls_come(&daemon, &mut seen, KEEP_EVERY).await;
        loop {
            let Ok(learned) = daemon.writer.with(Store::learned) else { return };
            let Some(learned) = learned else { break };
            aside(move || Learned::keep(learned)).await.ok();
        }
    }
}
