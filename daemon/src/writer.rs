//! The writer: owns the store, takes everything that waits into one frame, and answers when it is there.
//! Knows commands and outcomes; nothing of sockets, clients and calls.
//!
//! It runs on the runtime's own thread, so whoever hands it a batch and waits costs no wake-up of another thread; all
//! batches that arrive in one turn of the runtime share a frame and its write to the log; from a client that calls alone, those
//! that it sent in one go.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use datacache_proto::time::Timestamp;
use tokio::sync::Notify;

use crate::activity::Activity;
use crate::deadlines::Deadlines;
use crate::open_store::OpenStore;
use crate::queue::{Queue, Slot};
use crate::store::{Batch, BatchResult, Outcome, Store, StoreError};
use crate::waiting::{Waiting, answer};

/// What comes of the commands of a batch.
pub(crate) type Outcomes = Result<Vec<Outcome>, WriteError>;

/// Why a batch was not done, or is not known to last.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was done, but can't be made to survive a loss of power.
    #[error("the log can't be written through to the disk")]
    NotDurable,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// The store and the batches that wait for it; cheap to clone, all clones are one writer.
#[derive(Clone)]
pub(crate) struct Writer(Rc<Inner>);

struct Inner {
    /// `None` once it is closed.
    store: RefCell<Option<Store>>,
    /// Whether a turn has begun, or something else that changes the store. Before the next one that means that it has died of a
    /// panic, and nobody knows what it left behind.
    is_in_turn: Cell<bool>,
    /// Whether there is something to do: a batch arrived, or a thread of the store got on.
    wake: Arc<Notify>,
    /// Turns that brought something into the log.
    appends: Activity,
    /// The same, and steps of packing that freed pages of the index.
    changes: Activity,
    /// Whether there is more than there should be below a limit.
    surplus: Notify,
    queue: RefCell<Queue>,
    waiting: RefCell<Waiting>,
    deadlines: Deadlines,
}

impl Writer {
    /// Takes an open store. Nothing is done before [`Writer::work`] runs, or somebody hurries.
    pub(crate) fn new(open: OpenStore, deadlines: Deadlines) -> Self {
        Self(Rc::new(Inner {
            store: RefCell::new(Some(open.store)),
            is_in_turn: Cell::new(false),
            wake: open.wake,
            appends: Activity::default(),
            changes: Activity::default(),
            surplus: Notify::new(),
            queue: RefCell::default(),
            waiting: RefCell::default(),
            deadlines,
        }))
    }

    /// Looks into the store.
    ///
    /// # Errors
    /// [`WriteError::Closed`] after [`Writer::close`].
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Store) -> R) -> Result<R, WriteError> {
        self.0.store.borrow().as_ref().map(look).ok_or(WriteError::Closed)
    }

    /// The same where the look may fail: what the next daemon puts right is left to it, and the caller is told to come again then.
    ///
    /// # Errors
    /// As [`Writer::read`], or what the look met with.
    pub(crate) fn try_read<R>(&self, look: impl FnOnce(&Store) -> Result<R, StoreError>) -> Result<R, WriteError> {
        Ok(self.read(|store| look(store).map_err(|failure| store.pass_on(failure)))??)
    }

    /// The same for a look at the index that another thread had.
    ///
    /// # Errors
    /// As [`Writer::try_read`].
    pub(crate) fn settle<R>(&self, seen: Result<R, StoreError>) -> Result<R, WriteError> {
        self.try_read(|_| seen)
    }

    /// Does something with the store that needs it whole and takes no time.
    ///
    /// # Errors
    /// [`WriteError::Closed`] after [`Writer::close`], and where a panic has left the store in the middle of something.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Store) -> R) -> Result<R, WriteError> {
        let turn = Turn::begin(&self.0).ok_or(WriteError::Closed)?;
        let done = self.0.store.borrow_mut().as_mut().map(act);
        drop(turn);
        done.ok_or(WriteError::Closed)
    }

    /// Has the batch done and returns what came of each command; with `durable`, not before that survives a loss of power.
    ///
    /// Given up before it is in a frame, it is not done at all; later, it is.
    ///
    /// # Errors
    /// [`WriteError`] says why it was not done, or is not known to last.
    pub(crate) async fn write(&self, batch: Batch, durable: bool) -> Outcomes {
        self.check_open()?;
        let answered = self.0.queue.borrow_mut().push(batch, durable);
        self.0.wake.notify_one();
        answered.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Waits until the index has everything that was acknowledged so far; returns the last sequence number of that.
    ///
    /// # Errors
    /// Where the log can't be applied.
    pub(crate) async fn checkpoint(&self) -> Result<u64, WriteError> {
        let seq = self.with(Store::request_checkpoint)?;
        let answered = self.0.waiting.borrow_mut().for_checkpoint(seq);
        self.0.wake.notify_one();
        answered.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Returns a count of the turns that brought something into the log.
    pub(crate) fn appends(&self) -> &Activity {
        &self.0.appends
    }

    /// Returns a count of those, and of steps of packing: of all after which more of the index may be free.
    pub(crate) fn changes(&self) -> &Activity {
        &self.0.changes
    }

    /// Waits until there is more than there should be below a limit; for one waiter.
    pub(crate) async fn surplus(&self) {
        self.0.surplus.notified().await;
    }

    /// Evicts a slice of that; tells whether there is more to do at once.
    ///
    /// # Errors
    /// Where the store is closed or fails.
    pub(crate) fn evict_surplus(&self) -> Result<bool, WriteError> {
        Ok(self.with(|store| self.0.noting(store, |store| store.evict_surplus(Timestamp::now())))??)
    }

    /// Waits until every batch that was handed in before is in the log, or refused.
    ///
    /// # Errors
    /// [`WriteError::Closed`] where that never happens.
    pub(crate) async fn barrier(&self) -> Result<(), WriteError> {
        self.check_open()?;
        let next = self.0.queue.borrow().next();
        let answered = self.0.waiting.borrow_mut().for_batches_before(next);
        self.0.wake.notify_one();
        answered.await.map_err(|_| WriteError::Closed)
    }

    /// Waits until a clean-up may go on without being in its neighbours' way, see [`Store::has_room_for_bulk`].
    pub(crate) async fn room_for_bulk(&self) {
        // Also where there is room: the sockets are looked at only when all tasks have had their turn, and a bulk operation and the
        // writer wake each other.
        tokio::task::yield_now().await;
        if self.read(Store::has_room_for_bulk).unwrap_or(true) {
            return;
        }
        let answered = self.0.waiting.borrow_mut().for_room();
        answered.await.ok();
    }

    /// Waits until the writer has come round, which proves that it is alive.
    ///
    /// # Errors
    /// [`WriteError::Closed`] where it never will.
    pub(crate) async fn turn(&self) -> Result<(), WriteError> {
        self.check_open()?;
        let answered = self.0.waiting.borrow_mut().for_a_turn();
        self.0.wake.notify_one();
        answered.await.map_err(|_| WriteError::Closed)
    }

    fn check_open(&self) -> Result<(), WriteError> {
        self.read(|_| ())
    }

    /// Works until the store can't be written any more: takes what waits, answers what is done.
    pub(crate) async fn work(&self) {
        while !self.has_died() {
            self.0.wake.notified().await;
            while self.0.turn() {
                // Between two frames others get their turn, so that a long queue does not hold up reads.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Does at once what waits, for somebody who waits for it and has nobody to share a frame with. That saves two switches of
    /// tasks, which cost more than the writer's own part in it.
    ///
    /// The writer comes round all the same: whoever handed something in has woken it. So it finds what is left, or what has
    /// become of the store.
    pub(crate) fn hurry(&self) {
        if !self.0.queue.borrow().is_empty() {
            self.0.turn();
        }
    }

    fn has_died(&self) -> bool {
        self.0.is_in_turn.get() || self.read(Store::is_poisoned).unwrap_or(true)
    }

    /// Closes the store: blocks until the index has everything. Whoever still waits gets [`WriteError::Closed`].
    ///
    /// # Errors
    /// Where not everything could be applied; the log keeps it for the next daemon.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        let store = self.0.store.borrow_mut().take();
        *self.0.queue.borrow_mut() = Queue::default();
        *self.0.waiting.borrow_mut() = Waiting::default();
        if self.0.is_in_turn.get() {
            // What a turn that died left in memory is not to decide what becomes of the log.
            return Err(StoreError::ApplyFailed { errno: None });
        }
        store.map_or(Ok(()), |store| store.close(Timestamp::now()))
    }

    /// Lets go of a store whose folder is gone, or that nobody can vouch for any more.
    ///
    /// IMPORTANT: it is not closed, nor even dropped: both work with paths, and there another daemon may have begun a new
    /// store by now. The process has to end soon.
    pub(crate) fn abandon(&self) {
        std::mem::forget(self.0.store.borrow_mut().take());
    }
}

/// Something that changes the store, until it is done.
struct Turn<'w>(&'w Inner);

impl<'w> Turn<'w> {
    /// Begins one; `None` where one has died.
    fn begin(writer: &'w Inner) -> Option<Self> {
        let is_free = !writer.is_in_turn.replace(true);
        is_free.then(|| Self(writer))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Whoever was in it may not be the writer's own task, which has to hear of it.
            self.0.wake.notify_one();
        } else {
            self.0.is_in_turn.set(false);
        }
    }
}

impl Inner {
    /// One turn; tells whether there is more to do at once.
    fn turn(&self) -> bool {
        Turn::begin(self).is_some_and(|_turn| self.do_turn())
    }

    fn do_turn(&self) -> bool {
        let mut store = self.store.borrow_mut();
        let Some(store) = store.as_mut() else { return false };
        let now = Timestamp::now();
        let packings = store.counters().packings;
        store.progress(now);
        if store.counters().packings > packings {
            self.changes.note();
        }
        let done = self.noting(store, |store| self.queue.borrow_mut().write_to(store, now));
        let took_any = !done.is_empty();
        self.reply(store, done);
        let mut queue = self.queue.borrow_mut();
        if let Some(failure) = store.apply_failure().filter(|_| !took_any) {
            // There is nothing to wait for.
            queue.give_up().for_each(|slot| answer(slot.reply, Err(failure.again().into())));
        }
        self.waiting.borrow_mut().settle(store, queue.first());
        if store.has_surplus() {
            self.surplus.notify_one();
        }
        (took_any || queue.is_making_way()) && !queue.is_empty() || store.has_more_to_remove()
    }

    /// Does something that may write to the store, and notes whether it did.
    fn noting<R>(&self, store: &mut Store, act: impl FnOnce(&mut Store) -> R) -> R {
        let before = store.counters().frames;
        let done = act(store);
        if store.counters().frames > before {
            self.appends.note();
            self.changes.note();
        }
        done
    }

    fn reply(&self, store: &mut Store, done: Vec<(Slot, BatchResult)>) {
        let mut must_sync = false;
        for (slot, result) in done {
            match result {
                Ok(outcomes) => {
                    self.deadlines.note(slot.expires);
                    if slot.durable {
                        must_sync = true;
                        self.waiting.borrow_mut().for_durability(store.end(), outcomes, slot.reply);
                    } else {
                        answer(slot.reply, Ok(outcomes));
                    }
                }
                Err(error) => answer(slot.reply, Err(error.into())),
            }
        }
        if must_sync {
            store.request_sync();
        }
    }
}

#[cfg(test)]
mod tests;
