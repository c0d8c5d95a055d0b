//! Eviction, slice by slice: the policy says who goes and who is kept, by the first places of the queues, and both go the way of every
//! other change, as one frame of the log.

use std::time::Instant;

use datacache_proto::key::Key;
use datacache_proto::recent::{KeyHash, Offset};
use datacache_proto::time::Timestamp;

use super::admission::Level;
use super::command::{Batch, Command, Outcome};
use super::draft::Placed;
use super::error::StoreError;
use super::line::Taken;
use super::making_way::Owner;
use super::place_walk::PlaceWalk;
use super::pool::{Pool, PoolId};
use super::queues::Queued;
use super::rules::{Rule, Rules};
use super::states::{Learned, Remembered};
use super::store::Store;
use crate::eviction::{Front, Plan, Verdict, Volume};

/// How many places are looked at in one go: as many of the longest keys fit a frame.
pub(super) const SLICE: usize = 96;

/// How many looks for a next place there are in one go: as many names of namespaces as there may be would hold up all calls.
const LOOKS: usize = 1_000;

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
    /// Tells whether what was written has to be in the index before more is evicted, and has it applied then. On a full disk that is so
    /// because what a little of it takes is reserved, and free again before the next; and just below the limit because an eviction
    /// takes room in the log at first.
    fn must_apply_first(&mut self) -> bool {
        let is_too_much = self.is_short() && self.last_seq - self.applied > UNAPPLIED_WHILE_SHORT;
        let must = is_too_much || self.limits().leaves_no_room_to_evict(self.level());
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
            self.recount(id);
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
        match done {
            Ok(true) => {
                self.pools.get_mut(id).lines.pass(&plan);
                self.note_fruits(id, &plan);
            }
            // What was planned is still there.
            Ok(false) | Err(_) => self.begin_anew(id),
        }
        done
    }

    fn plan_slice(&mut self, id: PoolId, wanted: Volume) -> Result<(Plan, Vec<Option<Looked>>), StoreError> {
        let end = self.last_seq + 1;
        let Self { pools, lookup, queues, access, .. } = self;
        let (walk, access) = (PlaceWalk { lookup, snapshot: lookup.snapshot(), queues }, access.access());
        let Pool { evictor, lines, .. } = pools.get_mut(id);
        let (mut looked, mut failure) = (Vec::new(), None);
        let mut looks = LOOKS;
        let mut next = |queue| -> Result<Front, StoreError> {
            let taken = lines.of(queue).take(end, &mut looks, |namespace, from| walk.first(namespace, queue, from))?;
            let (namespace, first) = match taken {
                Taken::Place(namespace, first) => (namespace, first),
                Taken::Nobody => return Ok(Front::Nobody),
                Taken::Later => return Ok(Front::Later),
            };
            let head = walk.look(namespace, &first, |hash| access.frequency(hash))?;
            looked.push(first.key.map(|key| Looked { namespace, key, hash: head.hash, birth: first.birth }));
            Ok(Front::Head(head))
        };
        let plan = evictor.plan(wanted, SLICE, |queue| {
            next(queue).unwrap_or_else(|error| {
                failure = Some(error);
                Front::Later
            })
        });
        match failure {
            Some(error) => Err(error),
            // Of what is gone no step is carried out.
            None => Ok((plan, looked)),
        }
    }

    /// Writes down what a plan says, and uses up what was marked; `false` where that has to wait for the next segment.
    fn carry_out(
        &mut self,
        begun: Instant,
        (plan, wanted): (&Plan, Volume),
        looked: &[Option<Looked>],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let kept = match self.is_short() || self.apply_failed() {
            false => Kept::Moves,
            true if plan.evicted.covers(wanted) => Kept::Stays,
            true => Kept::Goes,
        };
        let steps = plan.steps.iter().zip(looked);
        let steps = steps.filter_map(|((_, verdict), looked)| step(kept.instead_of(*verdict), looked.as_ref()?));
        let (commands, marks): (Vec<_>, Vec<_>) = steps.unzip();
        if commands.is_empty() {
            return Ok(true);
        }
        let batch = Batch::all(commands, None);
        let Some(outcomes) = self.write_frame(begun, &batch, now)? else { return Ok(false) };
        for (command, outcome) in batch.commands.iter().zip(outcomes) {
            if let (Command::Evict { namespace, .. }, Outcome::Evicted(true)) = (command, outcome) {
                *self.crowding.evicted.entry(*namespace).or_default() += 1;
            }
        }
        let access = self.access.access();
        marks.into_iter().for_each(|(hash, frequency)| access.lower(hash, frequency));
        Ok(true)
    }

    /// Writes a batch of the store's own as a frame; `None` where it found no room, but may find some in the next segment.
    pub(super) fn write_frame(
        &mut self,
        begun: Instant,
        batch: &Batch,
        now: Timestamp,
    ) -> Result<Option<Vec<Outcome>>, StoreError> {
        self.draft.begin(self.last_seq + 1);
        let decided = self.turn(now).batch(batch);
        let outcomes = decided.map_err(|failure| self.pass_on(failure))?;
        match self.append(begun, 1) {
            Ok(()) => Ok(Some(outcomes)),
            Err(error) if self.note_append_failed(&error) => Ok(None),
            Err(error) => Err(error),
        }
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
    ///
    /// Blocks where a namespace becomes a pool: see [`Store::remembering`].
    pub fn set_rules(&mut self, rules: Rules) -> Option<Learned> {
        let remembered = self.remembering(&rules)();
        self.take_up(rules, remembered)
    }

    /// Returns what reads what those have learned before that become pools by other rules, for another thread: it may be large.
    pub fn remembering(&self, rules: &Rules) -> impl FnOnce() -> Remembered + Send + use<> {
        let (states, newcomers) = (self.pools.states().clone(), self.pools.newcomers(rules, self.memory.namespaces()));
        move || states.remember(newcomers)
    }

    /// Does what [`Store::set_rules`] does, without a wait, where it is known what was learned before.
    pub fn take_up(&mut self, rules: Rules, remembered: Remembered) -> Option<Learned> {
        let size = self.lookup.tables.room.disk().map_or(0, |disk| disk.size);
        let limit = if size > 0 { rules.limit_on(size) } else { rules.all.limit };
        let rules = Rules { all: Rule { limit, ..rules.all }, is_limit_auto: false, ..rules };
        let left = self.pools.set_rules(rules, remembered, self.memory.namespaces());
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

#[cfg(test)]
mod tests {
    use super::super::command::{NewValue, Put};
    use super::super::testing::{NOW, put_of, store, wait};
    use super::*;

    /// The first slice after a start looked at every name that was ever given, and all calls waited.
    #[test]
    fn a_slice_looks_for_places_no_longer_than_it_may_however_many_namespaces_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let put = |number: usize| {
            let namespace = format!("n{number}").into();
            Command::Put(Put { namespace, ..put_of(NewValue::Inline(vec![1].into())) })
        };
        let names = 2 * LOOKS + 100;
        let mut results = Vec::new();
        store.write(&mut [Batch::all((0..names).map(put).collect(), None)].into(), NOW, &mut results);
        results.pop().expect("there is room").unwrap();
        let target = store.request_checkpoint();
        wait(&mut store, |store| store.applied() >= target);
        store.begin_anew(PoolId::Shared);
        let wanted = Volume { bytes: 0, entries: 10 };
        let mut left = || {
            assert!(store.evict_slice(PoolId::Shared, wanted, NOW).unwrap());
            store.space().entries
        };
        let names = names as u64;
        assert_eq!([left(), left()], [names; 2]);
        // Both queues have all names looked at.
        assert!((0..10).any(|_| left() <= names - 10));
    }
}
