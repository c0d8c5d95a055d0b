//! One turn of the writer: what a command does is decided here, against what is there at this moment, and written into
//! the draft of a frame. Nothing is visible to anyone before the frame is in the log.

use datacache_proto::log::{Kind, MAX_FRAME};
use datacache_proto::recent::{KeyHash, approach};
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;

use super::blob::BlobStore;
use super::command::{Batch, Command, NewValue, Outcome};
use super::damage::Damage;
use super::draft::{Decision, Draft};
use super::error::StoreError;
use super::expiring::Replaced;
use super::foresight::Foreseen;
use super::lookup::{Lookup, Snapshot};
use super::memory::Memory;
use super::pools::Pools;

mod change;
mod look;
mod put;
mod removal;

/// Everything that a decision looks at or changes.
pub(super) struct Turn<'s> {
    pub(super) lookup: &'s Lookup,
    pub(super) snapshot: Snapshot<'s>,
    pub(super) memory: &'s mut Memory,
    pub(super) pools: &'s mut Pools,
    pub(super) draft: &'s mut Draft,
    pub(super) blobs: &'s BlobStore,
    pub(super) damage: &'s mut Damage,
    pub(super) now: Timestamp,
    /// How many segments were retired, see [`Foresight`](super::foresight::Foresight).
    pub(super) segments: u64,
}

/// A key with what is derived from it.
#[derive(Clone, Copy)]
struct Place<'k> {
    namespace: u32,
    /// The encoded key.
    key: &'k [u8],
    hash: KeyHash,
}

impl<'k> Place<'k> {
    fn of(namespace: u32, key: &'k [u8]) -> Self {
        Self::with(namespace, key, None)
    }

    /// The same of a key whose hash may be known.
    fn with(namespace: u32, key: &'k [u8], hash: Option<KeyHash>) -> Self {
        Self { namespace, key, hash: hash.unwrap_or_else(|| KeyHash::of(namespace, key)) }
    }

    fn decision(&self, kind: Kind, replaces: Option<Replaced>) -> Decision {
        let Self { namespace, hash, .. } = *self;
        Decision { kind, namespace, hash, replaces, expires: None, digest: None, rows: 0, scattered: 0 }
    }
}

impl Turn<'_> {
    /// Decides a whole batch, or takes back all of it.
    pub(super) fn batch(&mut self, batch: &Batch) -> Result<Vec<Outcome>, StoreError> {
        if let Some(outcomes) = batch.call.and_then(|call| self.memory.reply(call)) {
            return Ok(outcomes);
        }
        let (draft, memory, pools) = (self.draft.mark(), self.memory.mark(), self.pools.mark());
        let outcomes = self.commands(batch);
        if outcomes.is_err() {
            self.draft.undo(draft);
            self.memory.undo(memory);
            self.pools.undo(pools);
        }
        outcomes
    }

    fn commands(&mut self, batch: &Batch) -> Result<Vec<Outcome>, StoreError> {
        self.adopt(batch)?;
        let foresight = batch.foresight.as_ref().filter(|foresight| foresight.holds(self.segments));
        let hashes = self.approach(&batch.commands);
        let mut outcomes = Vec::with_capacity(batch.commands.len());
        for (index, command) in batch.commands.iter().enumerate() {
            let hash = hashes.get(index).copied().flatten();
            outcomes.push(self.command(command, hash, foresight.and_then(|foresight| foresight.of(index)))?);
        }
        if let Some(call) = batch.call {
            let seq = self.draft.frame.next_seq();
            let reply = self.memory.keep_reply(call, seq, &outcomes);
            self.fits(16 + reply.len())?;
            self.draft.frame.push(Kind::Reply, 0, &[], |out| super::body::encode_reply(call, &reply, out));
        }
        Ok(outcomes)
    }

    /// Hashes the keys of several commands and has their slots on the way before the first is decided: to wait for one after the other
    /// was a tenth of what a large batch takes. `None` stands for a key that is not known yet.
    fn approach(&self, commands: &[Command]) -> Vec<Option<KeyHash>> {
        if commands.len() == 1 {
            return Vec::new();
        }
        let hashes: Vec<_> = commands.iter().map(|command| self.hash_of(command)).collect();
        approach(&self.lookup.index.words(), hashes.iter().copied().flatten());
        hashes
    }

    fn hash_of(&self, command: &Command) -> Option<KeyHash> {
        match command {
            Command::Put(put) => Some(KeyHash::of(self.memory.namespace(&put.namespace)?, &put.key)),
            Command::Touch { namespace, key, .. }
            | Command::Delete { namespace, key, .. }
            | Command::Evict { namespace, key, .. }
            | Command::Keep { namespace, key, .. } => Some(KeyHash::of(*namespace, key.encoded())),
            Command::Release { .. } | Command::Verified { .. } => None,
        }
    }

    /// Adopts the blob of a command that comes alone; those of several were adopted and written through before, see
    /// `adopter`, or the caller has to do that first.
    fn adopt(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for command in &batch.commands {
            let Command::Put(put) = command else { continue };
            let NewValue::Blob(incoming) = &put.value else { continue };
            match incoming.is_held() {
                true => self.blobs.check_adopted(incoming)?,
                false if batch.commands.len() == 1 => self.blobs.adopt(incoming)?,
                false => return Err(StoreError::BlobChanged),
            }
            // The file that is there is good, also for those that named the one before.
            self.damage.pardon(&incoming.digest());
        }
        Ok(())
    }

    fn command(
        &mut self,
        command: &Command,
        hash: Option<KeyHash>,
        foreseen: Option<Foreseen>,
    ) -> Result<Outcome, StoreError> {
        match command {
            Command::Put(put) => self.put(put, hash, foreseen),
            Command::Touch { namespace, key, expires } => {
                self.touch(Place::with(*namespace, key.encoded(), hash), *expires)
            }
            Command::Delete { namespace, key, when } => self.delete(Place::with(*namespace, key.encoded(), hash), when),
            Command::Release { holder, version } => self.release(*holder, *version),
            Command::Evict { namespace, key, birth } => {
                self.evict(Place::with(*namespace, key.encoded(), hash), *birth)
            }
            Command::Keep { namespace, key, birth, place } => {
                self.keep(Place::with(*namespace, key.encoded(), hash), *birth, *place)
            }
            Command::Verified { digest } => self.verified(*digest),
        }
    }

    fn verified(&mut self, digest: Digest) -> Result<Outcome, StoreError> {
        self.fits(32)?;
        self.draft.frame.push(Kind::Verified, 0, &[], |out| out.extend_from_slice(&digest.0));
        Ok(Outcome::Verified)
    }

    /// Checks that an operation with `length` bytes of key and body fits the frame.
    fn fits(&self, length: usize) -> Result<(), StoreError> {
        if self.draft.frame.has_room_for(length) {
            return Ok(());
        }
        Err(StoreError::TooLarge { size: (self.draft.frame.length() + length) as u64, limit: MAX_FRAME as u64 })
    }
}
