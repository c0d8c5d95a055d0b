//! The batches that wait for the writer, and who waits for each.

use std::collections::VecDeque;

use datacache_proto::time::Timestamp;
use tokio::sync::oneshot;

use crate::crowd::Crowd;
use crate::store::{Batch, BatchResult, Command, Owner, Store};
use crate::writer::Outcomes;

/// How many slices may be evicted in one turn.
const SLICES: u32 = 4;

/// Batches in the order of their arrival, and for each who waits for it. Two queues of one length, because the store
/// takes batches as they are.
#[derive(Default)]
pub(crate) struct Queue {
    batches: VecDeque<Batch>,
    slots: VecDeque<Slot>,
    /// Those that have no room below a limit, and wait for it apart from all others.
    crowd: Crowd,
    /// The number of the next batch.
    next: u64,
    /// Where the store's results land; kept for its room.
    results: Vec<BatchResult>,
}

/// Who waits for a batch, and for what.
pub(crate) struct Slot {
    /// The place in the order of their arrival.
    pub(crate) number: u64,
    /// Whether the wait goes on until the batch survives a loss of power.
    pub(crate) durable: bool,
    /// The earliest deadline that the batch brings.
    pub(crate) expires: Option<Timestamp>,
    /// Whether it had to wait for room already.
    pub(crate) was_crowded: bool,
    /// Where the answer goes.
    pub(crate) reply: oneshot::Sender<Outcomes>,
}

impl Queue {
    /// Takes a batch in behind all others; returns where its answer will come.
    pub(crate) fn push(&mut self, batch: Batch, durable: bool) -> oneshot::Receiver<Outcomes> {
        let (reply, answered) = oneshot::channel();
        let (number, expires) = (self.next, earliest_expiry(&batch));
        self.slots.push_back(Slot { number, durable, expires, was_crowded: false, reply });
        self.batches.push_back(batch);
        self.next += 1;
        answered
    }

    /// Returns the number of the batch that comes next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Returns the number of the first batch that waits; the largest there is where none does.
    pub(crate) fn first(&self) -> u64 {
        let next = self.slots.front().map(|slot| slot.number);
        next.into_iter().chain(self.crowd.first()).min().unwrap_or(u64::MAX)
    }

    /// Tells whether no batch waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.crowd.is_empty()
    }

    /// Has the store take one frame's worth; returns what came of each batch that it took.
    pub(crate) fn write_to(&mut self, store: &mut Store, now: Timestamp) -> Vec<(Slot, BatchResult)> {
        self.drop_given_up();
        self.crowd.begin_turn();
        let (mut done, mut slices) = (Vec::new(), SLICES);
        loop {
            self.make_way(store, now, &mut slices, &mut done);
            if self.batches.is_empty() {
                return done;
            }
            store.write(&mut self.batches, now, &mut self.results);
            let took = self.results.len();
            done.extend(self.slots.drain(..took).zip(self.results.drain(..)));
            let Some(owner) = store.blocked_by().filter(|_| took == 0) else { return done };
            self.set_first_aside(store, owner);
        }
    }

    /// Has the first batch wait for room apart from those behind it, which may need none.
    fn set_first_aside(&mut self, store: &mut Store, owner: Owner) {
        if let (Some(mut slot), Some(batch)) = (self.slots.pop_front(), self.batches.pop_front()) {
            if !std::mem::replace(&mut slot.was_crowded, true) {
                store.note_crowded();
            }
            self.crowd.push(owner, slot, batch);
        }
    }

    /// Makes room for those that wait for some, and puts the first one that has it before all others that came later.
    fn make_way(&mut self, store: &mut Store, now: Timestamp, slices: &mut u32, done: &mut Vec<(Slot, BatchResult)>) {
        let clear = self.crowd.make_way(slices, done, |batch, owner| store.make_way(batch, owner, now));
        if let Some((slot, batch)) = clear {
            let place = self.slots.partition_point(|other| other.number < slot.number);
            self.slots.insert(place, slot);
            self.batches.insert(place, batch);
        }
    }

    /// Tells whether room is being made for a batch, and can be at once.
    pub(crate) fn is_making_way(&self) -> bool {
        self.crowd.can_go_on()
    }

    /// Gives up all that wait; returns those who did.
    pub(crate) fn give_up(&mut self) -> impl Iterator<Item = Slot> {
        self.batches.clear();
        self.crowd.give_up().chain(self.slots.drain(..))
    }

    /// Drops the batches that nobody waits for any more.
    fn drop_given_up(&mut self) {
        self.crowd.drop_given_up();
        if self.slots.iter().any(|slot| slot.reply.is_closed()) {
            let mut wanted = self.slots.iter().map(|slot| !slot.reply.is_closed());
            self.batches.retain(|_| wanted.next().unwrap_or(true));
            self.slots.retain(|slot| !slot.reply.is_closed());
        }
    }
}

fn earliest_expiry(batch: &Batch) -> Option<Timestamp> {
    let expiry = |command: &Command| match command {
        Command::Put(put) => put.expires,
        Command::Touch { expires, .. } => *expires,
        _ => None,
    };
    batch.commands.iter().filter_map(expiry).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{NewValue, Put, Rule, Rules};
    use crate::{Config, OpenStore};
    use datacache_proto::key::Key;
    use datacache_proto::paths::Paths;
    use datacache_proto::types::Codec;

    fn touch(key: i64, expires: Option<u64>) -> Batch {
        let expires = expires.map(Timestamp::from_millis);
        Batch::of(Command::Touch { namespace: 1, key: Key::from(key), expires }, None)
    }

    fn keys(queue: &Queue) -> Vec<i64> {
        let key = |batch: &Batch| match &batch.commands[0] {
            Command::Touch { key, .. } => key.as_integer().unwrap(),
            other => panic!("{other:?} was not handed in"),
        };
        queue.batches.iter().map(key).collect()
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_dropped_and_the_rest_keeps_its_order() {
        let mut queue = Queue::default();
        let mut waiting: Vec<_> = (0..5).map(|key| Some(queue.push(touch(key, None), false))).collect();
        for given_up in [0, 3] {
            waiting[given_up] = None;
        }
        queue.drop_given_up();
        assert_eq!(keys(&queue), [1, 2, 4]);
        assert_eq!(queue.slots.iter().map(|slot| slot.number).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!((queue.first(), queue.next()), (1, 5));
    }

    fn put(key: i64) -> Batch {
        let (codec, value) = (Codec::Bytes, NewValue::Inline(vec![7].into()));
        let (namespace, key) = ("n".into(), Key::from(key).into());
        let put = Put { namespace, key, codec, value, expires: None, tags: Vec::new(), pinned: false, holder: None };
        Batch::of(Command::Put(put), None)
    }

    #[test]
    fn a_batch_whose_room_another_one_took_has_waited_once() {
        let folder = tempfile::tempdir().unwrap();
        let [store, socket, store_link, config] = ["c", "sock", "store", "f"].map(|name| folder.path().join(name));
        let mut config = Config::defaults(Paths { store, socket, store_link, config, is_default: false });
        config.rules = Rules { all: Rule { limit_entries: Some(3), ..Rule::default() }, ..Rules::none() };
        let (mut store, now) = (OpenStore::open(&config).unwrap().store, Timestamp::now());
        (0..3).for_each(|key| store.write(&mut [put(key)].into(), now, &mut Vec::new()));
        let mut queue = Queue::default();
        let _answered = queue.push(put(5), false);
        for other in [10, 11] {
            store.write(&mut queue.batches, now, &mut Vec::new());
            let owner = store.blocked_by().expect("there are three already");
            queue.set_first_aside(&mut store, owner);
            let mut slices = SLICES;
            while queue.batches.is_empty() && slices > 0 {
                queue.make_way(&mut store, now, &mut slices, &mut Vec::new());
            }
            let mut results = Vec::new();
            store.write(&mut [put(other)].into(), now, &mut results);
            assert!(matches!(results[..], [Ok(_)]), "{results:?}");
            assert_eq!(store.space().waits, 1);
        }
        assert_eq!(queue.write_to(&mut store, now).len(), 1);
        assert_eq!(store.space().waits, 1);
    }

    #[test]
    fn the_earliest_deadline_of_a_batch_is_noted() {
        let mut queue = Queue::default();
        let mut batch = touch(1, Some(30));
        batch.commands.extend(touch(2, None).commands);
        batch.commands.extend(touch(3, Some(20)).commands);
        let _answered = queue.push(batch, false);
        assert_eq!(queue.slots[0].expires, Some(Timestamp::from_millis(20)));
    }
}
