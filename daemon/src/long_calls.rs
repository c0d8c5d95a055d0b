//! Calls that take their time and outlive a lost connection: a repeated one joins the one under way, or is answered
//! from the kept reply.
//!
//! The replies are kept in memory only. Where the daemon was restarted in between, the repeated call finishes the work,
//! and counts what was left of it.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use datacache_proto::error::WireError;
use datacache_proto::types::CallId;
use tokio::sync::watch;

use crate::tasks::Tasks;

/// How many replies of one client are kept.
const PER_CLIENT: usize = 128;
/// How many replies are kept in all; the oldest go first.
const IN_ALL: usize = 4_096;

/// What a long call comes to.
pub(crate) type Reply = Result<u64, WireError>;

/// The long calls that are under way, and the last ones that are done; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct LongCalls(Rc<RefCell<Table>>);

#[derive(Debug, Default)]
struct Table {
    running: HashMap<CallId, watch::Receiver<Option<Reply>>>,
    done: HashMap<CallId, u64>,
    /// The keys of `done`, oldest first.
    order: VecDeque<CallId>,
}

impl LongCalls {
    /// Does `work` for the call, on a task of its own, unless the call is under way or done already. Only a success is
    /// kept: after a failure the call can be tried again.
    pub(crate) async fn run(&self, tasks: &Tasks, call: CallId, work: impl Future<Output = Reply> + 'static) -> Reply {
        let kept = self.0.borrow().done.get(&call).copied();
        if let Some(count) = kept {
            return Ok(count);
        }
        let running = self.0.borrow().running.get(&call).cloned();
        let mut reply = running.unwrap_or_else(|| self.begin(tasks, call, work));
        let answer = reply.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        // Without an answer the task was taken down with the daemon.
        answer.unwrap_or(Err(WireError::Stopping))
    }

    fn begin(
        &self,
        tasks: &Tasks,
        call: CallId,
        work: impl Future<Output = Reply> + 'static,
    ) -> watch::Receiver<Option<Reply>> {
        let (sender, receiver) = watch::channel(None);
        self.0.borrow_mut().running.insert(call, receiver.clone());
        let running = Running { table: Rc::clone(&self.0), call };
        tasks.spawn(async move {
            let reply = work.await;
            if let Ok(count) = &reply {
                running.table.borrow_mut().keep(call, *count);
            }
            drop(running);
            sender.send_replace(Some(reply));
        });
        receiver
    }

    /// Tells whether any call is under way.
    pub(crate) fn is_running(&self) -> bool {
        !self.0.borrow().running.is_empty()
    }
}

/// A call's place among those under way; given up also when its work panics.
struct Running {
    table: Rc<RefCell<Table>>,
    call: CallId,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.table.borrow_mut().running.remove(&self.call);
    }
}

impl Table {
    fn keep(&mut self, call: CallId, count: u64) {
        self.done.insert(call, count);
        self.order.push_back(call);
        let of_client = self.order.iter().filter(|kept| kept.client == call.client).count();
        let oldest = if of_client > PER_CLIENT {
            self.order.iter().position(|kept| kept.client == call.client)
        } else {
            (self.order.len() > IN_ALL).then_some(0)
        };
        if let Some(oldest) = oldest.and_then(|at| self.order.remove(at)) {
            self.done.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    const CALL: CallId = CallId { client: 1, number: 1 };

    #[tokio::test(flavor = "local")]
    async fn a_repeated_call_is_answered_and_not_done_again() {
        let (calls, tasks) = (LongCalls::default(), Tasks::default());
        assert_eq!(calls.run(&tasks, CALL, async { Ok(5) }).await, Ok(5));
        assert_eq!(calls.run(&tasks, CALL, async { panic!("done again") }).await, Ok(5));
        assert!(!calls.is_running());
    }

    #[tokio::test(flavor = "local")]
    async fn a_call_repeated_while_it_is_under_way_joins_it() {
        let (calls, tasks) = (LongCalls::default(), Tasks::default());
        let (finish, finished) = oneshot::channel();
        let first = calls.run(&tasks, CALL, async move { Ok(finished.await.unwrap()) });
        {
            let mut lost = std::pin::pin!(first);
            assert!(futures::poll!(&mut lost).is_pending());
            // The connection is lost here: the caller is gone, the work is not.
        }
        let mut second = std::pin::pin!(calls.run(&tasks, CALL, async { panic!("done twice") }));
        assert!(futures::poll!(&mut second).is_pending());
        assert!(calls.is_running());
        finish.send(9).unwrap();
        assert_eq!(second.await, Ok(9));
    }

    #[tokio::test(flavor = "local")]
    async fn a_failed_call_can_be_tried_again() {
        let (calls, tasks) = (LongCalls::default(), Tasks::default());
        assert_eq!(calls.run(&tasks, CALL, async { Err(WireError::Stopping) }).await, Err(WireError::Stopping));
        assert_eq!(calls.run(&tasks, CALL, async { Ok(2) }).await, Ok(2));
    }

    #[tokio::test(flavor = "local")]
    async fn only_the_last_replies_of_a_client_are_kept() {
        let (calls, tasks) = (LongCalls::default(), Tasks::default());
        let count = |number| calls.run(&tasks, CallId { client: 3, number }, async move { Ok(number) });
        let other = CallId { client: 4, number: 1 };
        calls.run(&tasks, other, async { Ok(77) }).await.unwrap();
        for number in 1..=PER_CLIENT as u64 + 1 {
            count(number).await.unwrap();
        }
        assert_eq!(
            calls.run(&tasks, CallId { client: 3, number: 1 }, async { Ok(1_000) }).await,
            Ok(1_000),
            "it was kept"
        );
        assert_eq!(
            calls.run(&tasks, CallId { client: 3, number: 9 }, async { Ok(1_000) }).await,
            Ok(9),
            "it was forgotten"
        );
        assert_eq!(calls.run(&tasks, other, async { Ok(0) }).await, Ok(77), "another client's was forgotten");
    }
}
