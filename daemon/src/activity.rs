//! Whether anything has happened, so that housekeeping leaves an idle daemon asleep.

use std::cell::Cell;

use tokio::sync::Notify;

/// Counts calls, and wakes who waits for the next one.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    calls: Cell<u64>,
    /// How many wait; noting a call costs next to nothing while nobody does.
    sleepers: Cell<usize>,
    woken: Notify,
}

impl Activity {
    /// Notes a call.
    pub(crate) fn note(&self) {
        self.calls.set(self.calls.get() + 1);
        if self.sleepers.replace(0) > 0 {
            self.woken.notify_waiters();
        }
    }

    /// Returns how many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// Waits until there were more calls than `seen`; returns how many.
    pub(crate) async fn beyond(&self, seen: u64) -> u64 {
        while self.calls.get() <= seen {
            self.sleepers.set(self.sleepers.get() + 1);
            self.woken.notified().await;
        }
        self.calls.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;

    #[tokio::test(flavor = "current_thread")]
    async fn every_sleeper_hears_of_the_next_call() {
        let activity = Activity::default();
        activity.note();
        assert_eq!(activity.beyond(0).await, 1);
        let mut first = std::pin::pin!(activity.beyond(1));
        let mut second = std::pin::pin!(activity.beyond(1));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        activity.note();
        activity.note();
        assert_eq!((first.await, second.await), (3, 3));
    }
}
