//! Whether anything has happened, so that housekeeping leaves an idle daemon asleep.

use std::cell::Cell;

use tokio::sync::Notify;

/// Counts calls, or clients that left, and wakes who waits for the next one.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    count: Cell<u64>,
    /// How many wait; noting costs next to nothing while nobody does.
    sleepers: Cell<usize>,
    woken: Notify,
}

impl Activity {
    /// Notes one.
    pub(crate) fn note(&self) {
        self.count.set(self.count.get() + 1);
        if self.sleepers.replace(0) > 0 {
            self.woken.notify_waiters();
        }
    }

    /// Returns how many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    /// Waits until there were more than `seen`; returns how many.
    pub(crate) async fn beyond(&self, seen: u64) -> u64 {
        while self.count.get() <= seen {
            self.sleepers.set(self.sleepers.get() + 1);
            self.woken.notified().await;
        }
        self.count.get()
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
