//! Everything that runs beside the one who started it, so that it ends with the daemon.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};

/// The tasks of a daemon, on the runtime's thread.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    all: RefCell<JoinSet<()>>,
    death: Rc<Death>,
}

/// The death of a task that the daemon can't do without.
#[derive(Debug, Default)]
struct Death {
    of: Cell<Option<&'static str>>,
    noted: Notify,
}

impl Tasks {
    /// Starts a task that the daemon can do without, such as a connection's.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.all.borrow_mut();
        while let Some(ended) = tasks.try_join_next() {
            note(ended);
        }
        tasks.spawn_local(task);
    }

    /// Starts a task that the daemon can't do without. Should it panic, [`Tasks::died`] says what it did.
    pub(crate) fn keep(&self, what: &'static str, task: impl Future<Output = ()> + 'static) {
        let death = Rc::clone(&self.death);
        self.spawn(async move {
            // The daemon ends: what the task left behind is not used any more, but for what the writer looks after.
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                death.of.set(Some(what));
                death.noted.notify_one();
            }
        });
    }

    /// Waits until a task has died that was to be kept; returns what it did. For one waiter.
    pub(crate) async fn died(&self) -> &'static str {
        loop {
            if let Some(what) = self.death.of.get() {
                return what;
            }
            self.death.noted.notified().await;
        }
    }

    /// Ends all tasks where they stand; what they hold is let go when this returns.
    pub(crate) async fn end(&self) {
        let mut tasks = self.all.take();
        tasks.abort_all();
        while let Some(ended) = tasks.join_next().await {
            note(ended);
        }
    }
}

/// A task that panicked has said so already, but not that it was one of the daemon's.
fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task of the daemon died");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;
    use std::future::pending;
    use std::pin::pin;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(flavor = "local")]
    async fn what_a_task_holds_is_let_go_with_the_daemon() {
        let tasks = Tasks::default();
        let held = Rc::new(());
        for is_endless in [true, false] {
            let held = Rc::clone(&held);
            tasks.spawn(async move {
                if is_endless {
                    pending::<()>().await;
                }
                drop(held);
            });
        }
        tokio::task::yield_now().await;
        assert_eq!(Rc::strong_count(&held), 2);
        tasks.end().await;
        assert_eq!(Rc::strong_count(&held), 1);
    }

    #[tokio::test(flavor = "local")]
    async fn only_the_death_of_a_task_that_was_to_be_kept_is_told() {
        let tasks = Tasks::default();
        let mut died = pin!(tasks.died());
        tasks.spawn(async { panic!("a connection's") });
        tasks.keep("ends", async {});
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        assert!(poll!(&mut died).is_pending());
        tasks.keep("sweep", async { panic!("the daemon's own") });
        assert_eq!(timeout(Duration::from_secs(60), died).await, Ok("sweep"));
    }
}
