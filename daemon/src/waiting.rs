//! Those who wait for more of the writer than a frame: for durability, for the index, for others, or just for a sign of life.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::store::{Outcome, Position, Store};
use crate::writer::{Outcomes, WriteError};

/// Those who wait for more than a frame.
#[derive(Default)]
pub(crate) struct Waiting {
    /// For the log up to there to survive a loss of power; in the order of the log.
    durable: VecDeque<(Position, Vec<Outcome>, oneshot::Sender<Outcomes>)>,
    /// For everything up to this sequence number to be in the index.
    checkpoints: Vec<(u64, oneshot::Sender<Result<u64, WriteError>>)>,
    /// For every batch before this number to be answered.
    barriers: Vec<(u64, oneshot::Sender<()>)>,
    /// For room for a clean-up.
    cleanups: Vec<oneshot::Sender<()>>,
    /// For the writer to come round.
    turns: Vec<oneshot::Sender<()>>,
}

impl Waiting {
    /// Has what was written up to `position` answered once it survives a loss of power.
    pub(crate) fn for_durability(
        &mut self,
        position: Position,
        outcomes: Vec<Outcome>,
        reply: oneshot::Sender<Outcomes>,
    ) {
        self.durable.push_back((position, outcomes, reply));
    }

    /// Waits until the index has everything up to `seq`.
    pub(crate) fn for_checkpoint(&mut self, seq: u64) -> oneshot::Receiver<Result<u64, WriteError>> {
        let (reply, answered) = oneshot::channel();
        self.checkpoints.push((seq, reply));
        answered
    }

    /// Waits until every batch before number `next` is answered.
    pub(crate) fn for_batches_before(&mut self, next: u64) -> oneshot::Receiver<()> {
        let (reply, answered) = oneshot::channel();
        self.barriers.push((next, reply));
        answered
    }

    /// Waits until a clean-up may go on.
    pub(crate) fn for_room(&mut self) -> oneshot::Receiver<()> {
        let (reply, answered) = oneshot::channel();
        self.cleanups.push(reply);
        answered
    }

    /// Waits until the writer has come round.
    pub(crate) fn for_a_turn(&mut self) -> oneshot::Receiver<()> {
        let (reply, answered) = oneshot::channel();
        self.turns.push(reply);
        answered
    }

    /// Answers those whose wait is over; `first` is the number of the first batch that is not answered.
    pub(crate) fn settle(&mut self, store: &Store, first: u64) {
        self.settle_durable(store);
        self.settle_checkpoints(store);
        for (_, reply) in self.barriers.extract_if(.., |(next, _)| *next <= first) {
            answer(reply, ());
        }
        if store.has_room_for_bulk() {
            self.cleanups.drain(..).for_each(|reply| answer(reply, ()));
        }
        self.turns.drain(..).for_each(|reply| answer(reply, ()));
    }

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
        for (seq, reply) in self.checkpoints.extract_if(.., |(seq, _)| *seq <= applied || failed) {
            let failure = store.apply_failure().filter(|_| seq > applied);
            answer(reply, failure.map_or(Ok(seq), |failure| Err(failure.into())));
        }
    }
}

/// Sends a reply; that nobody waits for it is normal.
pub(crate) fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    reply.send(value).ok();
}
