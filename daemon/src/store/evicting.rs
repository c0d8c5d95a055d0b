//! Eviction, slice by slice: the policy says who goes and who is kept, by the first places of the queues, and both go the way of every
//! other change, as one frame of the log.

use std::time::Instant;

use datacache_proto::key::Key;
use datacache_proto::layout::DIRECTORY_NAMESPACE;
use datacache_proto::recent::{KeyHash, Offset};
use datacache_proto::time::Timestamp;

use super::admission::Level;
use super::command::{Batch, Command, Outcome};
use super::draft::Placed;
use super::error::StoreError;
use super::making_way::Owner;
use super::place_walk::PlaceWalk;
use super::placing::Places;
use super::pools::{Pool, PoolId};
use super::queues::Queued;
use super::rules::{Rule, Rules};
use super::states::Learned;
use super::store::Store;
use crate::eviction::{Ending, Head, Plan, Queue, Verdict, Volume};

/// How many places are looked at in one go: as many of the longest keys fit a frame.
pub(super) const SLICE: usize = 96;

/// As many operations may wait to be applied while more is evicted on a disk that is full.
const UNAPPLIED_WHILE_SHORT: u64 = 400;

/// A place that a plan looked at.
#[derive(Debug)]
struct Looked {
    namespace: u32,
    key: Key,
    hash: KeyHash,
    birth: u64,
}

/// What becomes of those that the policy keeps. To give them other places takes room, which may be what there is none of.
#[derive(Clone, Copy, Debug)]
enum Kept {
    /// They are given other places.
    Moves,
    /// They stay where they are, for enough goes without them: they are met again when the queues give out.
    Stays,
    /// They go as well.
    Goes,
}

impl Kept {
    fn instead_of(self, verdict: Verdict) -> Verdict {
        match (self, verdict) {
            (Self::Stays, Verdict::Keep { .. }) => Verdict::Drop,
            (Self::Goes, Verdict::Keep { .. }) => Verdict::Evict,
            _ => verdict,
        }
    }
}

impl Store {
    /// Tells whether what was written has to be in the index before more is evicted, and has it applied then: what a little of it
    /// takes is reserved, and free again before the next.
    fn must_apply_first(&mut self) -> bool {
        let must = self.is_short() && self.last_seq - self.applied > UNAPPLIED_WHILE_SHORT;
        if must {
            self.request_checkpoint();
        }
        must
    }

    /// Evicts from a pool until `wanted` is gone, after a look at a bounded number of places; `false` where that has to wait for a
    /// segment to be applied.
    pub(super) fn evict_slice(&mut self, id: PoolId, wanted: Volume, now: Timestamp) -> Result<bool, StoreError> {
        if !self.make_room()? || self.must_apply_first() {
            return Ok(false);
        }
        if self.has_lost_count(id) {
            // What is held and was passed over does not count: where there is any, all of it has to be passed over once more.
            if self.free_in(id) != self.standing_in(id) { self.begin_anew(id) } else { self.count_places(id) }
        }
        let begun = Instant::now();
        let (plan, looked) = match self.plan_slice(id, wanted) {
            Ok(planned) => planned,
            Err(error) => {
                self.begin_anew(id);
                return Err(self.pass_on(error));
            }
        };
        let done = self.carry_out(begun, (&plan, wanted), &looked, now);
        if done.is_err() {
            self.begin_anew(id);
        } else {
            self.note_fruits(id, &plan);
        }
        done.map(|()| true)
    }

    fn plan_slice(&mut self, id: PoolId, wanted: Volume) -> Result<(Plan, Vec<Option<Looked>>), StoreError> {
        let end = self.last_seq + 1;
        let Self { pools, lookup, queues, access, .. } = self;
        let (walk, access) = (PlaceWalk { lookup, snapshot: lookup.snapshot(), queues }, access.access());
        let Pool { evictor, lines, .. } = pools.get_mut(id);
        let (mut looked, mut failure) = (Vec::new(), None);
        let mut next = |queue| -> Result<Option<Head>, StoreError> {
            let taken = lines.of(queue).take(end, |namespace, from| walk.first(namespace, queue, from))?;
            let Some((namespace, first)) = taken else { return Ok(None) };
            let head = walk.look(namespace, &first, |hash| access.frequency(hash))?;
            looked.push(first.key.map(|key| Looked { namespace, key, hash: head.hash, birth: first.birth }));
            Ok(Some(head))
        };
        let plan = evictor.plan(wanted, SLICE, |queue| {
            next(queue).unwrap_or_else(|error| {
                failure = Some(error);
                None
            })
        });
        match failure {
            Some(error) => Err(error),
            // Of what is gone no step is carried out.
            None => Ok((plan, looked)),
        }
    }

    /// Tells whether a pool's sums are far above what there is: an entry that is deleted takes its place along unseen.
    fn has_lost_count(&mut self, id: PoolId) -> bool {
        let (real, counted) = (self.standing_in(id).entries, self.pools.get_mut(id).evictor.standing().entries);
        counted > real + real / 16 + SLICE as u64
    }

    /// Takes in whether a plan led to anything. If the queues gave out and nobody went, the sums may be wrong, and then places may have
    /// been passed over that were dealt with in vain; and if neither is so, what is left is not looked for again before there is more.
    fn note_fruits(&mut self, id: PoolId, plan: &Plan) {
        let pool = self.pools.get_mut(id);
        if plan.steps.iter().any(|(_, verdict)| *verdict == Verdict::Evict) {
            (pool.fruitless, pool.has_learned) = (0, true);
            return;
        }
        if plan.ending != Ending::Nothing {
            return;
        }
        if !plan.steps.is_empty() {
            // Places of what is gone were met that were not counted any more: what is behind them is to be seen.
            return self.count_places(id);
        }
        pool.fruitless += 1;
        match pool.fruitless {
            1 => self.count_places(id),
            2 => self.begin_anew(id),
            _ => {
                pool.fruitless = 0;
                self.pools.get_mut(id).missing = self.free_in(id);
            }
        }
    }

    /// Writes down what a plan says, and uses up what was marked.
    fn carry_out(
        &mut self,
        begun: Instant,
        (plan, wanted): (&Plan, Volume),
        looked: &[Option<Looked>],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let kept = match self.is_short() || self.apply_failed() {
            false => Kept::Moves,
            true if plan.evicted.covers(wanted) => Kept::Stays,
            true => Kept::Goes,
        };
        let steps = plan.steps.iter().zip(looked);
        let steps = steps.filter_map(|((_, verdict), looked)| step(kept.instead_of(*verdict), looked.as_ref()?));
        let (commands, marks): (Vec<_>, Vec<_>) = steps.unzip();
        if commands.is_empty() {
            return Ok(());
        }
        let batch = Batch::all(commands, None);
        let outcomes = self.write_frame(begun, &batch, now)?;
        for (command, outcome) in batch.commands.iter().zip(outcomes) {
            if let (Command::Evict { namespace, .. }, Outcome::Evicted(true)) = (command, outcome) {
                *self.crowding.evicted.entry(*namespace).or_default() += 1;
            }
        }
        let access = self.access.access();
        marks.into_iter().for_each(|(hash, frequency)| access.lower(hash, frequency));
        Ok(())
    }

    /// Writes a batch of the store's own as a frame.
    pub(super) fn write_frame(
        &mut self,
        begun: Instant,
        batch: &Batch,
        now: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.draft.begin(self.last_seq + 1);
        let decided = self.turn(now).batch(batch);
        let outcomes = decided.map_err(|failure| self.pass_on(failure))?;
        if let Err(error) = self.append(begun, 1) {
            self.note_append_failed(&error);
            return Err(error);
        }
        Ok(outcomes)
    }

    /// Takes in the places that the frame at the end of the log gives. The end is still that of the frame before.
    pub(super) fn queue_places(&mut self) {
        let Self { draft, queues, end, .. } = self;
        for &Placed { namespace, number, birth, place, charge, start, .. } in draft.places() {
            let offset = Offset::from_bytes(*end + u64::from(start));
            let offset = offset.expect("operations are aligned, segments below 32 GiB");
            queues.push(namespace, place.queue, Queued { number, birth, charge, offset, note: place.note });
        }
    }

    /// Evicts a slice of what is above a high mark, beside the calls; tells whether there is more to do at once.
    ///
    /// # Errors
    /// Where the index can't be read, or the log not be written.
    pub fn evict_surplus(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        if self.gives_way() {
            self.look_at_disk();
        }
        if self.poisoned {
            return Ok(false);
        }
        let Some((id, wanted)) = self.surplus() else { return Ok(false) };
        self.evict_slice(id, wanted, now)
    }

    /// Returns what to evict from which pool to be below all marks; `None` where nothing is to be, or can be.
    pub fn has_surplus(&mut self) -> bool {
        self.surplus().is_some()
    }

    fn surplus(&mut self) -> Option<(PoolId, Volume)> {
        self.sparseness.is_waited_for = false;
        let owners: Vec<_> = self.pools.owners().map(|(namespace, pool)| (namespace, pool.limits)).collect();
        for (namespace, limits) in owners {
            let level = self.level_of(namespace);
            let pool = self.pools.get_mut(PoolId::Own(namespace));
            let surplus = limits.surplus(level, pool.is_relieving);
            pool.is_relieving = surplus != Volume::default();
            if pool.is_relieving
                && let Some(id) = self.choose(Owner::Namespace(namespace), surplus)
            {
                return Some((id, surplus));
            }
        }
        let surplus = self.limits().surplus(self.level(), self.crowding.is_relieving);
        self.crowding.is_relieving = surplus != Volume::default();
        self.sparseness.is_waited_for = self.crowding.is_relieving && surplus.entries == 0 && self.pack_first();
        let evicts = self.crowding.is_relieving && !self.sparseness.is_waited_for;
        let id = if evicts { self.choose(Owner::Store, surplus) } else { None };
        id.map(|id| (id, surplus))
    }

    /// Has the log applied where it takes a large part of what the store may.
    pub(super) fn keep_log_short(&mut self) {
        let level = Level { passing: self.log_bytes(), ..Level::default() };
        self.checkpoint |= self.limits().is_passing_much(level);
    }

    /// Takes up other limits and policies. They hold from now on; what is too much goes bit by bit. Returns what policies have learned whose
    /// namespaces are no pools any more, to be written down; `None` where that is nothing.
    pub fn set_rules(&mut self, rules: Rules) -> Option<Learned> {
        let size = self.lookup.tables.room.disk().map_or(0, |disk| disk.size);
        let limit = if size > 0 { rules.limit_on(size) } else { rules.all.limit };
        let rules = Rules { all: Rule { limit, ..rules.all }, is_limit_auto: false, ..rules };
        let left = self.pools.set_rules(rules, self.memory.namespaces());
        self.know_places();
        self.look_at_disk();
        (!left.is_empty()).then(|| Learned::new(self.pools.states().clone(), left))
    }

    /// Returns what the next policy has learned since it was last asked, to be written down; `None` once it was that of all of them. One at
    /// a time: the copy of a large one takes the owner's thread some milliseconds, and whoever writes it 64 MiB and more.
    pub fn learned(&mut self) -> Option<Learned> {
        let last = self.crowding.kept;
        let next = self.pools.all().find(|(id, pool)| Some(*id) > last && pool.has_learned).map(|(id, _)| id);
        self.crowding.kept = next;
        let pool = self.pools.get_mut(next?);
        pool.has_learned = false;
        let evictor = pool.evictor.clone();
        Some(Learned::new(self.pools.states().clone(), vec![(next?, evictor)]))
    }

    /// Writes down what all policies have learned. Blocks.
    pub(super) fn keep_learned(&mut self) {
        self.crowding.kept = None;
        std::iter::from_fn(|| self.learned()).for_each(Learned::keep);
    }

    /// Sees to it that no pool thinks that fewer entries stand in its queues than there are: what is beyond would never be looked at.
    pub(super) fn know_places(&mut self) {
        let pools: Vec<_> = self.pools.all().map(|(id, pool)| (id, pool.evictor.standing())).collect();
        for (id, standing) in pools {
            if !standing.covers(self.standing_in(id)) {
                self.begin_anew(id);
            }
        }
    }

    /// Has a pool begin with its first places once more.
    pub(super) fn begin_anew(&mut self, id: PoolId) {
        self.count_places(id);
        let pool = self.pools.get_mut(id);
        pool.missing = Volume::default();
        pool.lines.rewind();
    }

    /// Puts a pool's sums right, as far as that can be told: how many stand in which queue is only known of all pools together, and of
    /// one of several by its own sums.
    fn count_places(&mut self, id: PoolId) {
        let all = self.standing_in(id);
        let [small, main] = self.lengths(id);
        let part = |number: u64| {
            let part = u128::from(number) * u128::from(small) / u128::from((small + main).max(1));
            u64::try_from(part).unwrap_or(number)
        };
        let small = Volume { bytes: part(all.bytes), entries: part(all.entries) };
        // Nobody: a queue that is taken for empty is not looked at, and one that is empty is found to be.
        let one = Volume { bytes: 0, entries: 1 };
        self.pools.get_mut(id).evictor.correct(small.plus(one), all.less(small).plus(one));
    }

    /// Returns in what proportion the entries of a pool stand in its queues.
    fn lengths(&mut self, id: PoolId) -> [u64; 2] {
        let queues = [Queue::Small, Queue::Main];
        let counted = queues.map(|queue| self.pools.get_mut(id).evictor.volume(queue).entries);
        let is_alone = self.pools.owners().next().is_none();
        if is_alone || counted.contains(&0) { queues.map(|queue| self.length(queue)) } else { counted }
    }

    /// Returns how many stand in a queue of all pools; what can't be looked at is none.
    fn length(&self, queue: Queue) -> u64 {
        let tables = &self.lookup.tables;
        let count = |places: Places| -> heed::Result<u64> { places.of(queue).len(&*tables.env.read_txn()?) };
        tables.places.and_then(|places| count(places).ok()).unwrap_or(0) + self.queues.length(queue)
    }

    /// Returns what the entries of a pool are.
    fn standing_in(&self, id: PoolId) -> Volume {
        let own = |namespace| self.level_of(namespace).lasting;
        match id {
            PoolId::Own(namespace) => own(namespace),
            PoolId::Shared => {
                let all = self.memory.total();
                let others = self.pools.owners().map(|(namespace, _)| own(namespace));
                let others = others.fold(own(DIRECTORY_NAMESPACE), Volume::plus);
                Volume { bytes: all.charge, entries: all.entries }.less(others)
            }
        }
    }
}

/// Returns what a verdict comes to: a command, and how often the key counts as read from now on.
fn step(verdict: Verdict, looked: &Looked) -> Option<(Command, (KeyHash, u8))> {
    let &Looked { namespace, ref key, hash, birth } = looked;
    let key = key.clone();
    match verdict {
        Verdict::Evict => Some((Command::Evict { namespace, key, birth }, (hash, 0))),
        Verdict::Keep { place, frequency } => Some((Command::Keep { namespace, key, birth, place }, (hash, frequency))),
        Verdict::Pass | Verdict::Drop => None,
    }
}
