//! The calls of a connection that wait for their answers, and who waits. Knows nothing of sockets.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

/// Calls that were begun and whose outcome was not taken yet.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    /// In the order in which they were begun, and so of their numbers.
    calls: VecDeque<Call<T>>,
    /// The number of the last call.
    last: u64,
    /// How many have no outcome.
    open: usize,
}

#[derive(Debug)]
struct Call<T> {
    id: u64,
    /// Where its message ends, counted in bytes from the beginning of the connection.
    end: u64,
    /// The number of the method that it calls.
    method: Option<u32>,
    waker: Option<Waker>,
    outcome: Option<T>,
}

impl<T> Pending<T> {
    /// Begins without any.
    pub(crate) fn new() -> Self {
        Self { calls: VecDeque::new(), last: 0, open: 0 }
    }

    /// Returns the number that the next call will have; none is ever used twice.
    pub(crate) fn next(&self) -> u64 {
        self.last + 1
    }

    /// Notes the next call, whose message ends at `end` and calls `method`; `waker` is told of its outcome.
    pub(crate) fn begin(&mut self, end: u64, method: Option<u32>, waker: Waker) {
        self.last += 1;
        self.open += 1;
        self.calls.push_back(Call { id: self.last, end, method, waker: Some(waker), outcome: None });
    }

    /// Returns how many calls have no outcome.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Returns the method of a call that waits for its answer.
    pub(crate) fn method(&self, id: u64) -> Option<u32> {
        self.position(id).and_then(|at| self.calls[at].method)
    }

    /// Notes the outcome of a call; returns who is to be woken. A call that was given up has none.
    pub(crate) fn settle(&mut self, id: u64, outcome: T) -> Option<Waker> {
        let at = self.position(id)?;
        let call = self.calls.get_mut(at).filter(|call| call.outcome.is_none())?;
        call.outcome = Some(outcome);
        self.open -= 1;
        call.waker.take()
    }

    /// Notes an outcome for every call that has none, by where its message ends; returns who is to be woken.
    pub(crate) fn settle_all(&mut self, outcome: impl Fn(u64) -> T) -> Vec<Waker> {
        self.open = 0;
        let open = self.calls.iter_mut().filter(|call| call.outcome.is_none());
        open.filter_map(|call| {
            call.outcome = Some(outcome(call.end));
            call.waker.take()
        })
        .collect()
    }

    /// Takes a call's outcome, or waits for it.
    pub(crate) fn poll(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<T> {
        let at = self.position(id).expect("a call is there until its outcome is taken or it is given up");
        match self.calls[at].outcome.take() {
            Some(outcome) => {
                self.calls.remove(at);
                Poll::Ready(outcome)
            }
            None => {
                match &mut self.calls[at].waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// Forgets a call; tells whether it had no outcome.
    pub(crate) fn give_up(&mut self, id: u64) -> bool {
        let call = self.position(id).and_then(|at| self.calls.remove(at));
        let was_open = call.is_some_and(|call| call.outcome.is_none());
        self.open -= usize::from(was_open);
        was_open
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.calls.binary_search_by_key(&id, |call| call.id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn with_calls(count: u64) -> Pending<&'static str> {
        let mut pending = Pending::new();
        (1..=count).for_each(|id| pending.begin(id * 10, Some(3), Waker::noop().clone()));
        pending
    }

    fn poll(pending: &mut Pending<&'static str>, id: u64) -> Poll<&'static str> {
        pending.poll(id, &mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn outcomes_come_in_any_order_and_each_to_its_call() {
        let mut pending = with_calls(3);
        assert!(pending.settle(3, "third").is_some() && pending.settle(1, "first").is_some());
        assert_eq!((pending.open(), pending.next()), (1, 4));
        assert_eq!(poll(&mut pending, 2), Poll::Pending);
        assert_eq!(poll(&mut pending, 1), Poll::Ready("first"));
        assert_eq!(poll(&mut pending, 3), Poll::Ready("third"));
    }

    #[test]
    fn an_outcome_is_told_to_who_asked_last_and_once() {
        let woken = Arc::new(Woken::default());
        let mut pending = with_calls(1);
        let waker = Waker::from(Arc::clone(&woken));
        assert!(pending.poll(1, &mut Context::from_waker(&waker)).is_pending());
        pending.settle(1, "first").expect("somebody waits").wake();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(pending.settle(1, "second").is_none());
        assert_eq!(poll(&mut pending, 1), Poll::Ready("first"));
    }

    #[test]
    fn what_was_given_up_is_forgotten_and_its_late_answer_goes_nowhere() {
        let mut pending = with_calls(2);
        assert!(pending.give_up(1));
        assert!(!pending.give_up(1));
        assert!(pending.settle(1, "late").is_none());
        pending.settle(2, "second");
        assert!(!pending.give_up(2), "it had an outcome");
        assert_eq!((pending.open(), pending.next()), (0, 3));
    }

    #[test]
    fn the_end_of_a_connection_is_told_to_all_who_have_no_outcome() {
        let mut pending = with_calls(3);
        pending.settle(2, "answered");
        let outcome = |end| if end <= 10 { "lost" } else { "unsent" };
        assert_eq!(pending.settle_all(outcome).len(), 2);
        assert_eq!(pending.open(), 0);
        let outcomes = [1, 2, 3].map(|id| poll(&mut pending, id));
        assert_eq!(outcomes, ["lost", "answered", "unsent"].map(Poll::Ready));
    }
}
