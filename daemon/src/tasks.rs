//! Everything that runs beside the one who started it, so that it ends with the daemon.

use std::cell::RefCell;

use tokio::task::{JoinError, JoinSet};

/// The tasks of a daemon, on the runtime's thread.
#[derive(Debug, Default)]
pub(crate) struct Tasks(RefCell<JoinSet<()>>);

impl Tasks {
    /// Starts a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.0.borrow_mut();
        while let Some(ended) = tasks.try_join_next() {
            note(ended);
        }
        tasks.spawn_local(task);
    }

    /// Ends all tasks where they stand; what they hold is let go when this returns.
    pub(crate) async fn end(&self) {
        let mut tasks = self.0.take();
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
    use std::future::pending;
    use std::rc::Rc;

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
}
