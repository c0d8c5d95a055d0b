//! How far the daemon is on its way from serving to its end.

use tokio::sync::watch;

/// A stage of the daemon's life; they come in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Calls are taken.
    Serving,
    /// Calls that came before are answered, new ones are sent away; then all connections are closed.
    Draining,
}

/// The stage, for all who have to know.
#[derive(Debug)]
pub(crate) struct Lifecycle(watch::Sender<Stage>);

impl Lifecycle {
    /// Begins to serve.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Stage::Serving))
    }

    /// Goes on to a stage; never back.
    pub(crate) fn advance(&self, to: Stage) {
        self.0.send_if_modified(|stage| {
            let is_later = to > *stage;
            *stage = to.max(*stage);
            is_later
        });
    }

    /// Tells whether new work is still begun.
    pub(crate) fn is_serving(&self) -> bool {
        *self.0.borrow() == Stage::Serving
    }

    /// Waits until a stage is reached.
    pub(crate) async fn reached(&self, stage: Stage) {
        // It can't be closed: this is the sender.
        self.0.subscribe().wait_for(|now| *now >= stage).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_stage_is_never_gone_back_to() {
        let lifecycle = Lifecycle::new();
        assert!(lifecycle.is_serving());
        lifecycle.advance(Stage::Draining);
        lifecycle.advance(Stage::Serving);
        assert!(!lifecycle.is_serving());
        lifecycle.reached(Stage::Serving).await;
        lifecycle.reached(Stage::Draining).await;
    }
}
