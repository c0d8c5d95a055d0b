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

    /// Waits until there is more than there should be below a limit; for one waiter.
    pub(crate) async fn surplus(&self) {
        self.0.surplus.notified().await;
    }

    /// Evicts a slice of that; tells whether there is more to do at once.
    ///
    /// # Errors
    /// Where the store is closed or fails.
    pub(crate) fn evict_surplus(&self) -> Result<bool, WriteError> {
        let evicted = self.with(|store| store.evict_surplus(Timestamp::now()))??;
        if evicted {
            self.0.appends.note();
        }
        Ok(evicted)
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
        store.progress(now);
        let done = self.queue.borrow_mut().write_to(store, now);
        let took_any = !done.is_empty();
        if took_any {
            self.appends.note();
        }
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
        (took_any || queue.is_making_way()) && !queue.is_empty()
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
mod tests {
    use super::*;
    use crate::Config;
    use crate::store::failing::FailingSyncs;
    use crate::store::{Command, NewValue, Put};
    use datacache_proto::error::{StoreStep, WireError};
    use datacache_proto::key::Key;
    use datacache_proto::paths::Paths;
    use datacache_proto::types::Codec;
    use futures::poll;
    use std::io::Write as _;
    use std::pin::pin;

    fn writer() -> (tempfile::TempDir, Writer) {
        let folder = tempfile::tempdir().unwrap();
        let [store, socket, store_link, config] = ["c", "sock", "store", "f"].map(|name| folder.path().join(name));
        let config = Config::defaults(Paths { store, socket, store_link, config, is_default: false });
        let writer = Writer::new(OpenStore::open(&config).unwrap(), Deadlines::default());
        (folder, writer)
    }

    /// A writer that works beside the test, until it is dropped.
    fn at_work(writer: &Writer) -> tokio::task::JoinHandle<()> {
        let writer = writer.clone();
        tokio::task::spawn_local(async move { writer.work().await })
    }

    fn put(key: i64) -> Batch {
        let (codec, value) = (Codec::Bytes, NewValue::Inline(vec![7].into()));
        let (namespace, key) = ("n".into(), Key::from(key).into());
        let put = Put { namespace, key, codec, value, expires: None, tags: Vec::new(), pinned: false, holder: None };
        Batch::of(Command::Put(put), None)
    }

    fn len(writer: &Writer) -> u64 {
        let len = |store: &Store| store.namespace("n").map_or(Ok(0), |number| store.len(number, Timestamp::now()));
        writer.read(len).unwrap().unwrap()
    }

    #[tokio::test(flavor = "local")]
    async fn batches_that_wait_together_share_a_frame() {
        let (_folder, writer) = writer();
        let writes = futures::future::join_all((0..100).map(|key| writer.write(put(key), false)));
        let mut writes = pin!(writes);
        assert!(poll!(&mut writes).is_pending());
        at_work(&writer);
        assert!(writes.await.into_iter().all(|outcomes| outcomes.is_ok()));
        assert_eq!(writer.read(|store| store.counters().frames).unwrap(), 1);
    }

    #[tokio::test(flavor = "local")]
    async fn what_is_given_up_before_it_is_in_a_frame_is_not_done() {
        let (_folder, writer) = writer();
        let mut kept = pin!(writer.write(put(1), false));
        assert!(poll!(&mut kept).is_pending());
        {
            let mut given_up = pin!(writer.write(put(2), false));
            assert!(poll!(&mut given_up).is_pending());
        }
        at_work(&writer);
        kept.await.unwrap();
        assert_eq!(len(&writer), 1);
    }

    #[tokio::test(flavor = "local")]
    async fn a_barrier_waits_for_what_came_before_and_not_for_what_comes_later() {
        let (_folder, writer) = writer();
        let mut before = pin!(writer.write(put(1), false));
        assert!(poll!(&mut before).is_pending());
        let mut barrier = pin!(writer.barrier());
        assert!(poll!(&mut barrier).is_pending());
        at_work(&writer);
        barrier.await.unwrap();
        assert_eq!(len(&writer), 1);
        assert!(poll!(&mut before).is_ready());
        writer.barrier().await.unwrap();
    }

    #[tokio::test(flavor = "local")]
    async fn what_is_hurried_is_done_when_that_returns() {
        let (_folder, writer) = writer();
        let mut writes = pin!(futures::future::join(writer.write(put(1), false), writer.write(put(2), false)));
        assert!(poll!(&mut writes).is_pending());
        writer.hurry();
        assert!(poll!(&mut writes).is_ready());
        assert_eq!(writer.read(|store| store.counters().frames).unwrap(), 1);
    }

    #[tokio::test(flavor = "local")]
    async fn a_turn_that_dies_ends_the_writer_wherever_it_was_taken() {
        let (_folder, writer) = writer();
        let mut write = pin!(writer.write(put(1), false));
        assert!(poll!(&mut write).is_pending());
        let store = writer.0.store.borrow();
        let turn = std::panic::AssertUnwindSafe(|| writer.hurry());
        std::panic::catch_unwind(turn).expect_err("the store is taken");
        drop(store);
        writer.work().await;
        writer.hurry();
        assert!(poll!(&mut write).is_pending(), "nothing is done with that store any more");
        assert!(matches!(writer.close(), Err(StoreError::ApplyFailed { .. })), "the next daemon sees to the log");
        assert!(matches!(write.await, Err(WriteError::Closed)));
    }

    /// A call or a task that died there left the store as it was, and whoever came later wrote into that.
    #[tokio::test(flavor = "local")]
    async fn a_panic_of_somebody_else_in_the_middle_of_the_store_ends_the_writer_too() {
        let (_folder, writer) = writer();
        let working = at_work(&writer);
        writer.write(put(1), false).await.unwrap();
        let act = std::panic::AssertUnwindSafe(|| writer.with(|_| panic!("a fault")));
        std::panic::catch_unwind(act).expect_err("it panics");
        tokio::time::timeout(std::time::Duration::from_secs(60), working).await.expect("it ends").unwrap();
        assert!(matches!(writer.with(|_| ()), Err(WriteError::Closed)));
        assert!(matches!(writer.close(), Err(StoreError::ApplyFailed { .. })), "the next daemon sees to the log");
    }

    #[tokio::test(flavor = "local")]
    async fn a_durable_batch_is_answered_when_it_is_on_the_disk() {
        let (_folder, writer) = writer();
        at_work(&writer);
        writer.write(put(1), true).await.unwrap();
        let is_synced = writer.read(|store| store.synced() >= store.end()).unwrap();
        assert!(is_synced);
    }

    /// Nothing of a segment whose sync failed is ever said to be durable, also where a later sync of it succeeds: the system may
    /// have dropped what it could not write.
    #[tokio::test(flavor = "local")]
    async fn who_wants_durability_is_told_where_the_log_can_not_be_synced_and_has_it_again_in_the_next_segment() {
        let (folder, writer) = writer();
        at_work(&writer);
        let failing = FailingSyncs::below(folder.path());
        let refused = writer.write(put(1), true).await.unwrap_err();
        assert!(matches!(refused, WriteError::NotDurable), "{refused:?}");
        assert_eq!(WireError::from(refused), WireError::Store { step: StoreStep::Sync, errno: None });
        assert_eq!(len(&writer), 1, "it is done all the same");
        writer.write(put(2), false).await.unwrap();
        drop(failing);

        let seq = writer.checkpoint().await.unwrap();
        let (synced, end) = writer.read(|store| (store.synced(), store.end())).unwrap();
        assert!(seq >= 2 && synced >= end, "what is in the index is durable");
        writer.write(put(3), true).await.unwrap();
    }

    #[tokio::test(flavor = "local")]
    async fn a_checkpoint_brings_everything_into_the_index() {
        let (_folder, writer) = writer();
        at_work(&writer);
        writer.write(put(1), false).await.unwrap();
        let seq = writer.checkpoint().await.unwrap();
        assert!(writer.read(|store| store.applied() >= seq).unwrap());
        assert_eq!(writer.read(|store| store.stats().unwrap().unapplied_operations).unwrap(), 0);
    }

    /// Else a copy of the index is given up for it.
    #[test]
    fn an_eviction_that_has_nothing_to_do_is_no_append() {
        let (_folder, writer) = writer();
        let seen = writer.appends().count();
        assert!(!writer.evict_surplus().unwrap());
        assert_eq!(writer.appends().count(), seen);
    }

    /// It came after thirty: the writer and the bulk operation woke each other, and nobody looked at the sockets.
    #[tokio::test(flavor = "local")]
    async fn a_neighbour_whose_call_arrives_comes_after_two_slices_of_a_bulk_operation_at_most() {
        let (_folder, writer) = writer();
        at_work(&writer);
        let (mut caller, neighbour) = std::os::unix::net::UnixStream::pair().unwrap();
        neighbour.set_nonblocking(true).unwrap();
        let neighbour = tokio::net::UnixStream::from_std(neighbour).unwrap();
        let slices = Rc::new(Cell::new(0));
        let (bulk, done) = (writer.clone(), Rc::clone(&slices));
        let bulk = tokio::task::spawn_local(async move {
            for key in 0..200 {
                bulk.room_for_bulk().await;
                bulk.write(put(key), false).await.unwrap();
                done.set(key + 1);
            }
        });
        for _ in 0..10 {
            while slices.get() == 0 {
                tokio::task::yield_now().await;
            }
            caller.write_all(b"call").unwrap();
            let before = slices.get();
            neighbour.readable().await.unwrap();
            assert!(slices.get() <= before + 2, "{} slices came before it", slices.get() - before);
            neighbour.try_read(&mut [0; 8]).unwrap();
        }
        assert!(!bulk.is_finished());
        bulk.await.unwrap();
    }

    #[tokio::test(flavor = "local")]
    async fn nothing_is_taken_by_a_closed_writer_and_nobody_waits_for_it() {
        let (_folder, writer) = writer();
        let mut waiting = pin!(writer.write(put(1), false));
        assert!(poll!(&mut waiting).is_pending());
        writer.close().unwrap();
        assert!(matches!(waiting.await, Err(WriteError::Closed)));
        assert!(matches!(writer.write(put(1), false).await, Err(WriteError::Closed)));
        assert!(matches!(writer.checkpoint().await, Err(WriteError::Closed)));
        assert!(matches!(writer.barrier().await, Err(WriteError::Closed)));
        assert!(matches!(writer.turn().await, Err(WriteError::Closed)));
        writer.close().unwrap();
    }

    #[tokio::test(flavor = "local")]
    async fn a_writer_that_works_gives_a_sign_of_life_and_another_does_not() {
        let (_folder, writer) = writer();
        let mut turn = pin!(writer.turn());
        assert!(poll!(&mut turn).is_pending());
        let working = at_work(&writer);
        turn.await.unwrap();
        working.abort();
        assert!(working.await.unwrap_err().is_cancelled());
        let mut turn = pin!(writer.turn());
        tokio::task::yield_now().await;
        assert!(poll!(&mut turn).is_pending());
    }
}
