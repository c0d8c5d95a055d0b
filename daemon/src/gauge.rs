//! A number of things that are open, which can be waited for.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// Counts what is open; cheap to clone, all clones count the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Rc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    count: Cell<usize>,
    /// Told when the count comes to zero or leaves it.
    turned: Notify,
}

/// One of the things that are counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counter(Rc<Counted>);

impl Gauge {
    /// Counts one more.
    pub(crate) fn enter(&self) -> Counter {
        self.0.change(self.0.count.get() + 1);
        Counter(Rc::clone(&self.0))
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.count.get()
    }

    /// Waits until there is none.
    pub(crate) async fn none(&self) {
        self.until(|count| count == 0).await;
    }

    /// Waits until there is one.
    pub(crate) async fn some(&self) {
        self.until(|count| count > 0).await;
    }

    async fn until(&self, is_so: impl Fn(usize) -> bool) {
        while !is_so(self.0.count.get()) {
            self.0.turned.notified().await;
        }
    }
}

impl Counted {
    fn change(&self, count: usize) {
        let before = self.count.replace(count);
        if (before == 0) != (count == 0) {
            self.turned.notify_waiters();
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.0.change(self.0.count.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;

    #[tokio::test(flavor = "current_thread")]
    async fn the_first_and_the_last_end_a_wait() {
        let gauge = Gauge::default();
        let mut some = std::pin::pin!(gauge.some());
        assert!(poll!(&mut some).is_pending());
        let (first, second) = (gauge.enter(), gauge.enter());
        assert!(poll!(&mut some).is_ready());
        let mut none = std::pin::pin!(gauge.none());
        drop(first);
        assert!(poll!(&mut none).is_pending());
        assert_eq!(gauge.count(), 1);
        drop(second);
        assert!(poll!(&mut none).is_ready());
    }
}
