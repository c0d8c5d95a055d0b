//! Room for a batch: whether there is as much as it needs, and what is done where there is not.

use std::time::{Duration, Instant};

use datacache_proto::error::FullCause;
use datacache_proto::layout::DIRECTORY_NAMESPACE;
use datacache_proto::log::Kind;
use datacache_proto::recent::KeyHash;
use datacache_proto::record::Record;
use datacache_proto::time::Timestamp;

use super::admission::{Admission, Excess, Limits, Need};
use super::before::Before;
use super::command::{Batch, Command, Outcome, Put};
use super::counts::Counts;
use super::error::StoreError;
use super::evicting::SLICE;
use super::lookup::{Seen, seen};
use super::pools::PoolId;
use super::share::{Old, Share};
use super::store::Store;
use crate::eviction::{Policy, Volume};

/// What came of an attempt to make way.
#[derive(Debug)]
pub enum Way {
    /// There is room, or none is needed.
    Clear,
    /// Something was evicted, and more has to be: come again.
    Again,
    /// There will be room once a thread of the store has got on: come again after the next `wake`.
    Wait,
    /// Nothing helps.
    Refused(StoreError),
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Store,
    Namespace(u32),
}

/// What is to be done before a batch is taken, and for whose limit.
type Judgement = (Owner, Admission);

impl Store {
    /// Tells whether a batch can't be taken yet, or never.
    pub(super) fn lacks_room(&mut self, batch: &Batch) -> bool {
        match self.judge(batch) {
            Ok((_, Admission::Fits)) | Err(_) => self.unfit(batch).is_some(),
            Ok(_) => true,
        }
    }

    /// Makes room for a batch that has none: evicts a slice, or has the log applied.
    pub fn make_way(&mut self, batch: &Batch, now: Timestamp) -> Way {
        if self.refusal(batch).is_some() {
            // It hears of that when it is tried.
            return Way::Clear;
        }
        if let Some(error) = self.unfit(batch) {
            return self.refuse(error);
        }
        self.draft.begin(self.last_seq + 1);
        match self.judge(batch) {
            // As above.
            Err(_) | Ok((_, Admission::Fits)) => Way::Clear,
            Ok((_, Admission::Wait)) => {
                self.request_checkpoint();
                Way::Wait
            }
            Ok((owner, Admission::Never(bytes))) => self.refuse(self.never_fits(owner, bytes)),
            Ok((owner, Admission::Refuse(cause))) => self.refuse(self.full(owner, cause)),
            Ok((owner, Admission::Evict(excess))) => self.evict_for(batch, owner, excess, now),
        }
    }

    fn refuse(&mut self, error: StoreError) -> Way {
        self.crowding.refused += 1;
        Way::Refused(error)
    }

    /// Notes that a batch has to wait for room.
    pub fn note_crowded(&mut self) {
        self.crowding.waits += 1;
    }

    /// Tells whether the first batch that [`Store::write`] was given has no room: see [`Store::make_way`].
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.crowding.is_blocked
    }

    fn evict_for(&mut self, batch: &Batch, owner: Owner, excess: Excess, now: Timestamp) -> Way {
        if owner == Owner::Store && self.headroom.is_short {
            // It may not be so any more.
            self.look_at_disk();
            if !self.lacks_room(batch) {
                return Way::Clear;
            }
        }
        let pool = self.choose(owner, excess.wanted);
        let Some(pool) = pool.filter(|_| self.free(owner).covers(excess.least)) else {
            return self.refuse(self.full(owner, self.cause(owner)));
        };
        let relieved = match self.sweep_first(owner, now) {
            Ok(false) => self.evict_slice(pool, excess.wanted, now),
            swept => swept,
        };
        match relieved {
            Ok(true) if self.lacks_room_after_slice(batch) => Way::Again,
            Ok(true) => Way::Clear,
            Ok(false) => Way::Wait,
            Err(error) => Way::Refused(error),
        }
    }

    fn lacks_room_after_slice(&mut self, batch: &Batch) -> bool {
        self.draft.begin(self.last_seq + 1);
        self.lacks_room(batch)
    }

    /// Removes a slice of what has expired, which goes before anything is evicted; tells whether there was anything. That is looked for
    /// only now and then: there may be many namespaces.
    fn sweep_first(&mut self, owner: Owner, now: Timestamp) -> Result<bool, StoreError> {
        /// The least time between two looks that find nothing.
        const PAUSE: Duration = Duration::from_millis(100);
        let last = self.crowding.swept;
        if last <= now && now.since(last) < PAUSE || !self.make_room()? {
            return Ok(false);
        }
        let namespace = match owner {
            Owner::Store => None,
            Owner::Namespace(namespace) => Some(namespace),
        };
        // What was removed is in the index until that is applied: it is not planned once more.
        let from = self.crowding.sweep.take().filter(|(of, _)| *of == owner).map(|(_, cursor)| cursor);
        let plan = self.plan_expired(namespace, now, from.as_ref(), SLICE)?;
        let any = !plan.commands.is_empty() && self.remove_expired(plan.commands, now)?;
        // As in a sweep beside the calls: the log's part has no place to go on from.
        let next = plan.next.filter(|next| any || from.as_ref() != Some(next));
        match next {
            Some(next) => self.crowding.sweep = Some((owner, next)),
            None if !any => self.crowding.swept = now,
            None => {}
        }
        Ok(any || self.crowding.sweep.is_some())
    }

    fn remove_expired(&mut self, commands: Vec<Command>, now: Timestamp) -> Result<bool, StoreError> {
        let batch = Batch::all(commands, None);
        let outcomes = self.write_frame(Instant::now(), &batch, now)?;
        let mut any = false;
        for (command, outcome) in batch.commands.iter().zip(outcomes) {
            if let (Command::Delete { namespace, .. }, Outcome::Deleted(true)) = (command, outcome) {
                *self.crowding.expired.entry(*namespace).or_default() += 1;
                any = true;
            }
        }
        Ok(any)
    }

    /// Returns the pool that gives room: of those that do, for the store, the one with the most of what is `wanted`.
    pub(super) fn choose(&mut self, owner: Owner, wanted: Volume) -> Option<PoolId> {
        self.forget_missing();
        let much = |free: Volume| if wanted.bytes > 0 { free.bytes } else { free.entries };
        let all = self.giving(owner).map(|(id, missing)| (id, much(self.free_in(id).less(missing))));
        all.filter(|(_, much)| *much > 0).max_by_key(|(_, much)| *much).map(|(id, _)| id)
    }

    /// Forgets what of what was looked for in vain has gone by now.
    fn forget_missing(&mut self) {
        let missing = self.pools.all().filter(|(_, pool)| pool.missing != Volume::default());
        let missing: Vec<_> = missing.map(|(id, pool)| (id, pool.missing.least(self.free_in(id)))).collect();
        missing.into_iter().for_each(|(id, missing)| self.pools.get_mut(id).missing = missing);
    }

    /// Returns the pools that may be evicted from for a limit, and what of each was looked for in vain.
    fn giving(&self, owner: Owner) -> impl Iterator<Item = (PoolId, Volume)> {
        let is_asked = move |id: &PoolId| match owner {
            Owner::Store => true,
            Owner::Namespace(namespace) => *id == PoolId::Own(namespace),
        };
        let all = self.pools.all().filter(|(_, pool)| pool.policy != Policy::None);
        all.map(|(id, pool)| (id, pool.missing))
            .filter(move |(id, _)| self.lookup.tables.places.is_some() && is_asked(id))
    }

    /// Returns what there is in a pool that may be evicted.
    pub(super) fn free_in(&self, id: PoolId) -> Volume {
        let own = |namespace| {
            let level = self.level_of(namespace);
            level.lasting.less(level.held)
        };
        match id {
            PoolId::Own(namespace) => own(namespace),
            PoolId::Shared => {
                let Counts { entries, charge, held, held_entries, .. } = self.memory.total();
                let all = Volume { bytes: charge, entries }.less(Volume { bytes: held, entries: held_entries });
                let owners = self.pools.owners().map(|(namespace, _)| namespace);
                owners.chain([DIRECTORY_NAMESPACE]).fold(all, |free, namespace| free.less(own(namespace)))
            }
        }
    }

    /// Returns what may be evicted for a limit.
    fn free(&self, owner: Owner) -> Volume {
        self.giving(owner).map(|(id, missing)| self.free_in(id).less(missing)).fold(Volume::default(), Volume::plus)
    }

    /// Tells why nothing can be evicted for a limit.
    fn cause(&self, owner: Owner) -> FullCause {
        let keeps_all = match owner {
            Owner::Namespace(namespace) => {
                self.pools.own(namespace).is_some_and(|(_, pool)| pool.policy == Policy::None)
            }
            Owner::Store => self.pools.all().all(|(_, pool)| pool.policy == Policy::None),
        };
        let is_reserve = owner == Owner::Store && self.headroom.is_short;
        match (keeps_all, is_reserve) {
            (true, _) => FullCause::Policy,
            (false, true) => FullCause::Reserve,
            (false, false) => FullCause::Held,
        }
    }

    pub(super) fn name(&self, owner: Owner) -> Option<String> {
        match owner {
            Owner::Store => None,
            Owner::Namespace(namespace) => self.pools.own(namespace).map(|(name, _)| name.to_owned()),
        }
    }

    fn full(&self, owner: Owner, cause: FullCause) -> StoreError {
        StoreError::Full { of: self.name(owner), cause }
    }

    /// Tells what a batch has to wait for: first as if all of it were new, which costs little, and then by what it replaces.
    fn judge(&mut self, batch: &Batch) -> Result<Judgement, StoreError> {
        let adds = batch.commands.iter().any(|command| matches!(command, Command::Put(_)));
        if !adds || !self.has_limits() {
            return Ok((Owner::Store, Admission::Fits));
        }
        let judged = self.judge_by(&self.shares(batch, |_, _| Ok(None))?);
        let is_done = |call| self.memory.reply(call).is_some();
        if judged.1 == Admission::Fits || batch.call.is_some_and(is_done) {
            return Ok((Owner::Store, Admission::Fits));
        }
        let shares = self.shares(batch, |namespace, put| self.replaced(namespace, put))?;
        Ok(self.judge_by(&shares))
    }

    /// Returns what a put replaces, as of the end of the draft.
    fn replaced(&self, namespace: u32, put: &Put) -> Result<Option<Old>, StoreError> {
        let (key, hash) = (&put.key[..], KeyHash::of(namespace, &put.key));
        let count = |record: &Record<'_>| self.lookup.tables.counts_of(namespace, key, record);
        let look = |seen: Seen<'_>| Before::of(seen, count, |record| put.has_content_of(record));
        let (before, same) = match self.draft.find(namespace, key, hash) {
            Some((operation, _)) if operation.kind == Kind::Delete => (None, false),
            Some((operation, _)) => look(seen(operation.body, hash)),
            None => self.lookup.see(&self.lookup.snapshot(), namespace, key, hash, |seen, _| look(seen))?,
        };
        Ok(before.map(|before| Old {
            charge: before.counts.charge,
            is_held: before.pinned || before.bound,
            is_same_for_good: same && !before.bound,
        }))
    }

    fn has_limits(&self) -> bool {
        let is_limited = |limits: &Limits| limits.bytes.is_some() || limits.entries.is_some();
        self.lookup.tables.places.is_some()
            && (is_limited(&self.limits()) || self.pools.owners().any(|(_, pool)| is_limited(&pool.limits)))
    }

    fn judge_by(&self, shares: &[Share]) -> Judgement {
        for share in shares {
            let Some((_, pool)) = self.pools.own(share.namespace) else { continue };
            let admission = pool.limits.admit(self.level_of(share.namespace), share.own);
            if admission != Admission::Fits {
                return (Owner::Namespace(share.namespace), admission);
            }
        }
        let sum = |of: fn(&Share) -> u64| shares.iter().map(of).sum::<u64>();
        let need = Need {
            bytes: sum(|share| share.all),
            entries: sum(|share| share.own.entries),
            held: shares.iter().map(|share| share.own.held).fold(Volume::default(), Volume::plus),
            passing: sum(|share| share.passing),
        };
        (Owner::Store, self.limits().admit(self.level(), need))
    }
}
