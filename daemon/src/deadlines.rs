//! The earliest moment at which an entry may expire that nobody looks after yet: the writer notes, maintenance waits.

use std::cell::Cell;
use std::rc::Rc;

use datacache_proto::time::Timestamp;
use tokio::sync::Notify;

/// A note of new deadlines; cheap to clone, all clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines(Rc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// The earliest deadline noted since the last look.
    earliest: Cell<Option<Timestamp>>,
    /// What the one who waits has in view already: later ones are none of its business yet.
    in_view: Cell<Option<Timestamp>>,
    noted: Notify,
}

impl Deadlines {
    /// Notes that an entry was given a deadline.
    pub(crate) fn note(&self, deadline: Option<Timestamp>) {
        let Some(deadline) = deadline else { return };
        if self.0.earliest.get().is_none_or(|earliest| deadline < earliest) {
            self.0.earliest.set(Some(deadline));
        }
        if self.0.in_view.get().is_none_or(|in_view| deadline < in_view) {
            self.0.noted.notify_one();
        }
    }

    /// Returns the earliest deadline noted since the last call.
    pub(crate) fn take(&self) -> Option<Timestamp> {
        self.0.earliest.take()
    }

    /// Waits until a deadline is noted that is earlier than `in_view`, or any at all where that is `None`.
    pub(crate) async fn earlier_than(&self, in_view: Option<Timestamp>) {
        self.0.in_view.set(in_view);
        while self.0.earliest.get().is_none_or(|earliest| in_view.is_some_and(|in_view| earliest >= in_view)) {
            self.0.noted.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;

    const fn at(millis: u64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(millis))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn only_an_earlier_deadline_ends_the_wait() {
        let deadlines = Deadlines::default();
        let mut earlier = std::pin::pin!(deadlines.earlier_than(at(100)));
        assert!(poll!(&mut earlier).is_pending());
        deadlines.note(None);
        deadlines.note(at(100));
        assert!(poll!(&mut earlier).is_pending());
        deadlines.note(at(99));
        assert!(poll!(&mut earlier).is_ready());
        assert_eq!((deadlines.take(), deadlines.take()), (at(99), None));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_deadline_noted_before_the_wait_is_not_lost() {
        let deadlines = Deadlines::default();
        deadlines.note(at(5));
        deadlines.note(at(7));
        let mut earlier = std::pin::pin!(deadlines.earlier_than(None));
        assert!(poll!(&mut earlier).is_ready());
        assert_eq!(deadlines.take(), at(5));
    }
}
