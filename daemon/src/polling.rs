//! Looking for the next call for a moment before the daemon sleeps: waking it costs more than most calls do.
//!
//! Nothing is read here. As long as this task yields, the runtime asks the system for events without waiting for them, and runs
//! what they wake.

use std::rc::Rc;
use std::time::Instant;

use datacache_proto::polling::Polling;
use tokio::task::yield_now;

use crate::daemon::Daemon;

/// Keeps the daemon awake for a moment after each call, where that is in nobody's way. Asleep itself while nobody calls.
pub(crate) async fn poll(daemon: Rc<Daemon>) {
    let mut limit = daemon.config.borrow().busy_poll;
    let mut polling = Polling::new(limit);
    let mut calls = 0;
    loop {
        calls = daemon.activity.beyond(calls).await;
        let configured = daemon.config.borrow().busy_poll;
        if configured != limit {
            limit = configured;
            polling = Polling::new(limit);
        }
        while polling.begin(daemon.callers.count(), Instant::now()) && look(&daemon, &mut polling, calls).await {
            calls = daemon.activity.calls();
        }
    }
}

/// Looks until there are more calls than `calls`; `false` where none came in time.
async fn look(daemon: &Daemon, polling: &mut Polling, calls: u64) -> bool {
    loop {
        yield_now().await;
        if daemon.activity.calls() != calls {
            return true;
        }
        if !polling.goes_on(Instant::now()) {
            return false;
        }
    }
}
