//! Waiting for something that another process does.

use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for what has no bound of its own; long enough for a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often to look.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// Where it does not hold `within` that time; `what` says what was waited for.
#[track_caller]
pub fn eventually(what: &str, within: Duration, condition: impl FnMut() -> bool) {
    assert!(comes_to_hold(within, condition), "not within {within:?}: {what}");
}

/// Waits until `condition` holds; tells whether it came to `within` that time.
#[must_use]
pub fn comes_to_hold(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        // Asked before the look: the last look is made when the time is over.
        let is_over = Instant::now() >= deadline;
        let holds = condition();
        if holds || is_over {
            return holds;
        }
        thread::sleep(LOOK_AGAIN);
    }
}
