//! The writer: owns the store, takes everything that waits into one frame, and answers when it is there.
//! Knows commands and outcomes; nothing of sockets, clients and calls.
//!
//! It runs on the runtime's own thread, so whoever hands it a batch and waits costs no wake-up of another thread; all
//! batches that arrive in one turn of the runtime share a frame and its write to the log.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use datacache_proto::time::Timestamp;
use tokio::sync::{Notify, oneshot};

use crate::deadlines::Deadlines;
use crate::store::{Batch, Command, OpenError, Outcome, Position, Store, StoreError, StoreOptions};

type Outcomes = Result<Vec<Outcome>, WriteError>;

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

/// An open store, and how its threads wake the writer. Holds the store's lock.
pub struct OpenStore {
    store: Store,
    wake: Arc<Notify>,
}

impl OpenStore {
    /// Opens the store: takes its lock and recovers what the last daemon left. Blocks, for seconds after a kill.
    ///
    /// # Errors
    /// [`OpenError`] where another daemon has it, or it can't be read.
    pub fn open(config: &crate::Config) -> Result<Self, OpenError> {
        let wake = Arc::new(Notify::new());
        let options = StoreOptions {
            path: config.paths.store.clone(),
            sync_interval: config.sync_interval,
            segment_bytes: StoreOptions::SEGMENT_BYTES,
            wake: {
                let wake = Arc::clone(&wake);
                Arc::new(move || wake.notify_one())
            },
        };
        Ok(Self { store: Store::open(options, Timestamp::now())?, wake })
    }
}

/// The store and the batches that wait for it; cheap to clone, all clones are one writer.
#[derive(Clone)]
pub(crate) struct Writer(Rc<Inner>);

struct Inner {
    /// `None` once it is closed.
    store: RefCell<Option<Store>>,
    /// Whether there is something to do: a batch arrived, or a thread of the store got on.
    wake: Arc<Notify>,
    queue: RefCell<Queue>,
    waiting: RefCell<Waiting>,
    deadlines: Deadlines,
}

/// Batches in the order of their arrival, and for each who waits for it. Two queues of one length, because the store
/// takes batches as they are.
#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    slots: VecDeque<Slot>,
    /// The number of the next batch.
    next: u64,
    /// Where the store's results land; kept for its room.
    results: Vec<Result<Vec<Outcome>, StoreError>>,
}

struct Slot {
    number: u64,
    durable: bool,
    /// The earliest deadline that the batch brings.
    expires: Option<Timestamp>,
    reply: oneshot::Sender<Outcomes>,
}

/// Those who wait for more than a frame.
#[derive(Default)]
struct Waiting {
    /// For the log up to there to survive a loss of power; in the order of the log.
    durable: VecDeque<(Position, Vec<Outcome>, oneshot::Sender<Outcomes>)>,
    /// For everything up to this sequence number to be in the index.
    checkpoints: Vec<(u64, oneshot::Sender<Result<u64, WriteError>>)>,
    /// For every batch before this number to be answered.
    barriers: Vec<(u64, oneshot::Sender<()>)>,
    /// For the writer to come round.
    turns: Vec<oneshot::Sender<()>>,
}

impl Writer {
    /// Takes an open store. Nothing is done before [`Writer::work`] runs.
    pub(crate) fn new(open: OpenStore, deadlines: Deadlines) -> Self {
        Self(Rc::new(Inner {
            store: RefCell::new(Some(open.store)),
            wake: open.wake,
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

    /// Does something with the store that needs it whole and takes no time.
    ///
    /// # Errors
    /// [`WriteError::Closed`] after [`Writer::close`].
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Store) -> R) -> Result<R, WriteError> {
        self.0.store.borrow_mut().as_mut().map(act).ok_or(WriteError::Closed)
    }

    /// Has the batch done and returns what came of each command; with `durable`, not before that survives a loss of power.
    ///
    /// Given up before it is in a frame, it is not done at all; later, it is.
    ///
    /// # Errors
    /// [`WriteError`] says why it was not done, or is not known to last.
    pub(crate) async fn write(&self, batch: Batch, durable: bool) -> Outcomes {
        self.read(|_| ())?;
        let (reply, answered) = oneshot::channel();
        {
            let mut queue = self.0.queue.borrow_mut();
            let slot = Slot { number: queue.next, durable, expires: earliest_expiry(&batch), reply };
            queue.next += 1;
            queue.batches.push_back(batch);
            queue.slots.push_back(slot);
        }
        self.0.wake.notify_one();
        answered.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Waits until the index has everything that was acknowledged so far; returns the last sequence number of that.
    ///
    /// # Errors
    /// Where the log can't be applied.
    pub(crate) async fn checkpoint(&self) -> Result<u64, WriteError> {
        let seq = self.with(Store::request_checkpoint)?;
        let answered = self.wait_for(|waiting, reply| waiting.checkpoints.push((seq, reply)));
        answered.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Waits until every batch that was handed in before is answered.
    pub(crate) async fn barrier(&self) {
        let next = self.0.queue.borrow().next;
        let answered = self.wait_for(|waiting, reply| waiting.barriers.push((next, reply)));
        answered.await.ok();
    }

    /// Waits until the writer has come round, which proves that it is alive.
    ///
    /// # Errors
    /// [`WriteError::Closed`] where it never will.
    pub(crate) async fn turn(&self) -> Result<(), WriteError> {
        self.wait_for(|waiting, reply| waiting.turns.push(reply)).await.map_err(|_| WriteError::Closed)
    }

    fn wait_for<T>(&self, enlist: impl FnOnce(&mut Waiting, oneshot::Sender<T>)) -> oneshot::Receiver<T> {
        let (reply, answered) = oneshot::channel();
        enlist(&mut self.0.waiting.borrow_mut(), reply);
        self.0.wake.notify_one();
        answered
    }

    /// Works for ever: takes what waits, answers what is done.
    pub(crate) async fn work(&self) {
        loop {
            self.0.wake.notified().await;
            while self.0.turn() {
                // Between two frames others get their turn, so that a long queue does not hold up reads.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Closes the store: blocks until the index has everything. Whoever still waits gets [`WriteError::Closed`].
    ///
    /// # Errors
    /// Where not everything could be applied; the log keeps it for the next daemon.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        let store = self.0.store.borrow_mut().take();
        *self.0.queue.borrow_mut() = Queue::default();
        *self.0.waiting.borrow_mut() = Waiting::default();
        store.map_or(Ok(()), |store| store.close(Timestamp::now()))
    }

    /// Lets go of a store whose folder is gone.
    ///
    /// IMPORTANT: it is not closed, nor even dropped: both work with paths, and there another daemon may have begun a new
    /// store by now. The process has to end soon.
    pub(crate) fn abandon(&self) {
        std::mem::forget(self.0.store.borrow_mut().take());
    }
}

impl Inner {
    /// One turn; tells whether there is more to do at once.
    fn turn(&self) -> bool {
        let mut store = self.store.borrow_mut();
        let Some(store) = store.as_mut() else { return false };
        let now = Timestamp::now();
        store.progress(now);
        let again = self.write(store, now);
        self.settle(store);
        again
    }

    /// Has the store take one frame's worth of batches; tells whether it may take more at once.
    fn write(&self, store: &mut Store, now: Timestamp) -> bool {
        let mut queue = self.queue.borrow_mut();
        queue.drop_given_up();
        if queue.batches.is_empty() {
            return false;
        }
        let Queue { batches, slots, results, .. } = &mut *queue;
        store.write(batches, now, results);
        let took = results.len();
        let answers: Vec<_> = slots.drain(..took).zip(results.drain(..)).collect();
        if took == 0 && store.apply_failed() {
            // There is nothing to wait for any more.
            batches.clear();
            slots.drain(..).for_each(|slot| answer(slot.reply, Err(StoreError::ApplyFailed.into())));
        }
        let again = took > 0 && !batches.is_empty();
        drop(queue);
        self.reply(store, answers);
        again
    }

    fn reply(&self, store: &mut Store, answers: Vec<(Slot, Result<Vec<Outcome>, StoreError>)>) {
        let mut must_sync = false;
        for (slot, result) in answers {
            match result {
                Ok(outcomes) => {
                    self.deadlines.note(slot.expires);
                    if slot.durable {
                        must_sync = true;
                        self.waiting.borrow_mut().durable.push_back((store.end(), outcomes, slot.reply));
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

    /// Answers those whose wait is over.
    fn settle(&self, store: &Store) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.settle_durable(store);
        waiting.settle_checkpoints(store);
        let first = self.queue.borrow().slots.front().map_or(u64::MAX, |slot| slot.number);
        let is_open = |(next, reply)| if first < next { Some((next, reply)) } else { send(reply, ()) };
        waiting.barriers = std::mem::take(&mut waiting.barriers).into_iter().filter_map(is_open).collect();
        waiting.turns.drain(..).for_each(|reply| answer(reply, ()));
    }
}

impl Queue {
    /// Drops the batches that nobody waits for any more.
    fn drop_given_up(&mut self) {
        if self.slots.iter().any(|slot| slot.reply.is_closed()) {
            let mut wanted = self.slots.iter().map(|slot| !slot.reply.is_closed());
            self.batches.retain(|_| wanted.next().unwrap_or(true));
            self.slots.retain(|slot| !slot.reply.is_closed());
        }
    }
}

impl Waiting {
    fn settle_durable(&mut self, store: &Store) {
        while let Some((position, ..)) = self.durable.front() {
            let is_synced = store.synced() >= *position;
            if !is_synced && !store.sync_failed(*position) {
                return;
            }
            if let Some((_, outcomes, reply)) = self.durable.pop_front() {
                answer(reply, if is_synced { Ok(outcomes) } else { Err(WriteError::NotDurable) });
            }
        }
    }

    fn settle_checkpoints(&mut self, store: &Store) {
        let (applied, failed) = (store.applied(), store.apply_failed());
        let is_open = |(seq, reply)| match (seq <= applied, failed) {
            (true, _) => send(reply, Ok(seq)),
            (false, true) => send(reply, Err(StoreError::ApplyFailed.into())),
            (false, false) => Some((seq, reply)),
        };
        self.checkpoints = std::mem::take(&mut self.checkpoints).into_iter().filter_map(is_open).collect();
    }
}

/// Sends a reply; that nobody waits for it is normal.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    reply.send(value).ok();
}

/// Sends a reply and keeps nothing.
fn send<T, K>(reply: oneshot::Sender<T>, value: T) -> Option<K> {
    answer(reply, value);
    None
}

fn earliest_expiry(batch: &Batch) -> Option<Timestamp> {
    let expiry = |command: &Command| match command {
        Command::Put(put) => put.expires,
        Command::Touch { expires, .. } => *expires,
        _ => None,
    };
    batch.commands.iter().filter_map(expiry).min()
}
