//! Room for a batch: whether there is as much as it needs, and what is done where there is not.

use std::time::{Duration, Instant};

use datacache_proto::error::FullCause;
use datacache_proto::layout::DIRECTORY_NAMESPACE;
use datacache_proto::time::Timestamp;

use super::admission::{Admission, Excess, Limits, Need};
use super::command::{Batch, Command, Outcome};
use super::counts::Counts;
use super::error::StoreError;
use super::evicting::SLICE;
use super::pool::PoolId;
use super::share::{NEW_NAMESPACE, Share};
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
    /// Nothing was done: it is another limit by now that it has no room below.
    Elsewhere(Owner),
    /// Nothing helps.
    Refused(StoreError),
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The store's.
    Store,
    /// That of the namespace with this number.
    Namespace(u32),
}

/// What is to be done before a batch is taken, and for whose limit.
type Judgement = (Owner, Admission);

impl Store {
    /// Returns below whose limit a batch has no room yet, or never.
    pub(super) fn lacks_room(&mut self, batch: &Batch, now: Timestamp) -> Option<Owner> {
        match self.judge(batch, now) {
            Ok((_, Admission::Fits)) | Err(_) => self.unfit(batch, now).map(|_| Owner::Namespace(NEW_NAMESPACE)),
            Ok((owner, _)) => Some(owner),
        }
    }

    /// Makes room for a batch that has none below the limit of `owner`: evicts a slice, or has the log applied.
    pub fn make_way(&mut self, batch: &Batch, owner: Owner, now: Timestamp) -> Way {
        if self.refusal(batch).is_some() {
            // It hears of that when it is tried.
            return Way::Clear;
        }
        if let Some(error) = self.unfit(batch, now) {
            return self.refuse(error);
        }
        self.draft.begin(self.last_seq + 1);
        match self.judge(batch, now) {
            // As above.
            Err(_) | Ok((_, Admission::Fits)) => Way::Clear,
            Ok((other, _)) if other != owner => Way::Elsewhere(other),
            Ok((_, Admission::Wait)) => {
                self.request_checkpoint();
                Way::Wait
            }
            Ok((_, Admission::Never(bytes))) => self.refuse(self.never_fits(owner, bytes)),
            Ok((_, Admission::Refuse(FullCause::Reserve))) => self.refuse_for_others(batch, now),
            Ok((_, Admission::Refuse(cause))) => self.refuse(self.full(owner, cause)),
            Ok((_, Admission::Evict(excess))) => self.evict_for(batch, owner, excess, now),
        }
    }

    fn refuse(&mut self, error: StoreError) -> Way {
        self.crowding.refused += 1;
        Way::Refused(error)
    }

    /// Refuses a batch that others on the disk leave too little for, if they still do.
    fn refuse_for_others(&mut self, batch: &Batch, now: Timestamp) -> Way {
        self.look_at_disk();
        match self.judge(batch, now) {
            Ok((owner, Admission::Refuse(cause))) => self.refuse(self.full(owner, cause)),
            _ => Way::Again,
        }
    }

    /// Notes that a batch has to wait for room.
    pub fn note_crowded(&mut self) {
        self.crowding.waits += 1;
    }

    /// Returns below whose limit the first batch that [`Store::write`] was given has no room, if it has none: see [`Store::make_way`].
    #[must_use]
    pub fn blocked_by(&self) -> Option<Owner> {
        self.crowding.blocked_by
    }

    fn evict_for(&mut self, batch: &Batch, owner: Owner, excess: Excess, now: Timestamp) -> Way {
        if self.is_for_others(owner, excess) {
            // It may not be so any more.
            self.look_at_disk();
            if self.lacks_room(batch, now).is_none() {
                return Way::Clear;
            }
        }
        let is_pages = owner == Owner::Store && excess.least.entries == 0;
        if is_pages && self.packs_for_call(excess.least.bytes) {
            return Way::Wait;
        }
        let pool = self.choose(owner, excess.wanted);
        let Some(pool) = pool.filter(|_| self.free(owner).covers(excess.least)) else {
            if excess.least == Volume::default() {
                // There is room once what goes by itself has gone, of which there is some.
                self.request_checkpoint();
                return Way::Wait;
            }
            if is_pages && self.pack_first() {
                // There may be room although no entry can go.
                return Way::Wait;
            }
            return self.refuse(self.full(owner, self.cause(owner, excess)));
        };
        let relieved = match self.sweep_first(owner, now) {
            Ok(false) => self.evict_slice(pool, excess.wanted, now),
            swept => swept,
        };
        match relieved {
            Ok(true) if self.lacks_room_after_slice(batch, now) => Way::Again,
            Ok(true) => Way::Clear,
            Ok(false) => Way::Wait,
            Err(error) => Way::Refused(error),
        }
    }

    fn lacks_room_after_slice(&mut self, batch: &Batch, now: Timestamp) -> bool {
        self.draft.begin(self.last_seq + 1);
        self.lacks_room(batch, now).is_some()
    }

    /// Removes a slice of what has expired, which goes before anything is evicted; tells whether there was anything. That is looked for
    /// only now and then, and by as many looks as a slice has: there may be many namespaces, and nothing waits until all were looked at.
    pub(super) fn sweep_first(&mut self, owner: Owner, now: Timestamp) -> Result<bool, StoreError> {
        /// The least time between two looks that find nothing.
        const PAUSE: Duration = Duration::from_millis(100);
        let sweep = self.crowding.sweeps.entry(owner).or_default();
        let last = sweep.ended;
        if last <= now && now.since(last) < PAUSE || !self.make_room()? {
            return Ok(false);
        }
        let namespace = match owner {
            Owner::Store => None,
            Owner::Namespace(namespace) => Some(namespace),
        };
        // What was removed is in the index until that is applied: it is not planned once more.
        let from = self.crowding.sweeps.get_mut(&owner).and_then(|sweep| sweep.next.take());
        let plan = self.plan_expired(namespace, now, from.as_ref(), SLICE)?;
        let found = !plan.commands.is_empty();
        let any = found && self.remove_expired(plan.commands, now)?;
        // As in a sweep beside the calls: the log's part has no place to go on from.
        let next = plan.next.filter(|next| any || from.as_ref() != Some(next));
        let sweep = self.crowding.sweeps.entry(owner).or_default();
        if !any && next.is_none() {
            sweep.ended = now;
        }
        let goes_on = any || found && next.is_some();
        sweep.next = next;
        Ok(goes_on)
    }

    fn remove_expired(&mut self, commands: Vec<Command>, now: Timestamp) -> Result<bool, StoreError> {
        let batch = Batch::all(commands, None);
        let Some(outcomes) = self.write_frame(Instant::now(), &batch, now)? else { return Ok(false) };
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
    fn cause(&self, owner: Owner, excess: Excess) -> FullCause {
        if self.is_for_others(owner, excess) {
            return FullCause::Reserve;
        }
        let keeps_all = match owner {
            Owner::Namespace(namespace) => {
                self.pools.own(namespace).is_some_and(|(_, pool)| pool.policy == Policy::None)
            }
            Owner::Store => self.pools.all().all(|(_, pool)| pool.policy == Policy::None),
        };
        if keeps_all { FullCause::Policy } else { FullCause::Held }
    }

    /// Tells whether it is for others on the disk that something is to be evicted, and not for a limit.
    fn is_for_others(&self, owner: Owner, excess: Excess) -> bool {
        owner == Owner::Store && excess.wanted.bytes > 0 && self.gives_way()
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
    fn judge(&mut self, batch: &Batch, now: Timestamp) -> Result<Judgement, StoreError> {
        let adds = batch.commands.iter().any(|command| matches!(command, Command::Put(_)));
        if !adds || !self.has_limits() {
            return Ok((Owner::Store, Admission::Fits));
        }
        let judged = self.judge_by(&self.shares_at_most(batch));
        let is_done = |call| self.memory.reply(call).is_some();
        if judged.1 == Admission::Fits || batch.call.is_some_and(is_done) {
            return Ok((Owner::Store, Admission::Fits));
        }
        Ok(self.judge_by(&self.shares(batch, now)?))
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
            swelling: self.swelling_with(sum(|share| share.scattered)),
        };
        (Owner::Store, self.admit_to_store(need))
    }

    /// Judges by what the store may take: a value that only others on the disk keep out may fit later.
    fn admit_to_store(&self, need: Need) -> Admission {
        match self.limits().admit(self.level(), need) {
            Admission::Never(_) => {
                let never = self.pools.limits_of_all(None).never_fits(need.bytes);
                never.map_or(Admission::Refuse(FullCause::Reserve), Admission::Never)
            }
            admission => admission,
        }
    }
}
