//! One turn of the writer: what a command does is decided here, against what is there at this moment, and written into
//! the draft of a frame. Nothing is visible to anyone before the frame is in the log.

use datacache_proto::key::Key;
use datacache_proto::layout::{DIRECTORY_NAMESPACE, MAX_NAMESPACES, is_cut};
use datacache_proto::log::{Kind, MAX_FRAME};
use datacache_proto::recent::{KeyHash, Location, approach};
use datacache_proto::record::{Birth, Record, TagsBuf, Value};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Added, Digest};

use super::before::Before;
use super::blob::BlobStore;
use super::body::{KEEP, encode_keep, encode_lease};
use super::charge::{index_key_length, moved_row, place_row};
use super::command::{Batch, Command, Condition, Holder, NewValue, Outcome, Put};
use super::counts::{Change, Counts};
use super::damage::Damage;
use super::draft::{Decision, Draft, Placed};
use super::error::StoreError;
use super::expiring::Replaced;
use super::foresight::Foreseen;
use super::lookup::{Lookup, Seen, Snapshot, seen};
use super::memory::Memory;
use super::pools::Pools;
use super::scarcity::tag_rows;
use crate::eviction::{self, Queue};

/// The most that a record has besides its key and value: its head and 64 tags.
const RECORD: usize = 64 + 64 * 256;

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
        Decision { kind, namespace, hash, replaces, expires: None, digest: None, rows: 0 }
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

    fn put(&mut self, put: &Put, hash: Option<KeyHash>, foreseen: Option<Foreseen>) -> Result<Outcome, StoreError> {
        let namespace = self.namespace(&put.namespace)?;
        let place = Place::with(namespace, &put.key, hash);
        let tags = TagsBuf::new(&put.tags);
        let value = put.value.as_value();
        self.fits(2 * put.key.len() + inline_length(&value) + RECORD)?;

        let (before, same, replaces) = self.look(place, foreseen, |record| put.has_content_of(record))?;
        let live = before.filter(|before| before.is_live(self.now));
        let same = live.filter(|_| same);
        // Equal content: bound joins the leases of that version, or leaves alone what is there for good.
        let keeps = same.filter(|before| put.holder.is_some() || !before.bound);
        let seq = self.draft.frame.next_seq();
        let bound = put.holder.is_some() && keeps.is_none_or(|before| before.bound);
        let born = before.and_then(|before| before.birth);
        let mut record = Record {
            codec: put.codec,
            bound,
            pinned: put.pinned,
            seq,
            version: keeps.map_or(seq, |before| before.version),
            birth: born.unwrap_or(Birth::at(seq)),
            created: keeps.map_or(self.now, |before| before.created),
            expires: put.expires,
            tags: tags.as_tags(),
            key: is_cut(&put.key).then_some(&put.key[..]),
            value,
        };
        let counts = self.counts_of(place, &record);
        let is_let_go = before.is_some_and(|before| before.counts.held > 0) && !record.is_held();
        let given = if born.is_none() { self.place(place, counts.charge) } else { None };
        if let Some(given) = given {
            record.birth = Birth { seq, main: given.queue == Queue::Main, note: given.note.to_bits() };
        }
        let version = record.version;
        let rows = tag_rows(&put.tags, &put.key);
        let (expires, digest) = (record.expires, record.value.digest());
        let decision = Decision { expires, digest, rows, ..place.decision(Kind::Put, replaces) };
        let start = self.draft.decide(decision, &put.key, |out| record.encode(place.hash.to_bits(), out));
        if let Some(given) = given {
            let (charge, rows) = (counts.charge, place_row(index_key_length(&put.key)));
            self.draft.place(Placed { namespace, number: seq, birth: seq, place: given, charge, rows, start });
        }
        if let Some(born) = born.filter(|_| is_let_go) {
            self.let_go(place, born.seq, counts.charge)?;
        }
        if let Some(old) = before.filter(|old| old.version != version || (old.bound && !bound)) {
            self.memory.drop_leases(old.version);
        }
        self.count(namespace, before, Some((counts, digest)))?;
        if let Some(holder) = put.holder.filter(|_| bound) {
            self.lease(place, version, holder)?;
        }
        Ok(Outcome::Added(Added { version, replaced: live.is_some() }))
    }

    /// Gives an entry another place that was held: its place may have been passed over, and is not looked at any more.
    fn let_go(&mut self, place: Place<'_>, birth: u64, charge: u64) -> Result<(), StoreError> {
        self.place(place, charge).map_or(Ok(()), |given| self.move_to(place, given, birth, charge))
    }

    fn lease(&mut self, place: Place<'_>, version: u64, holder: Holder) -> Result<(), StoreError> {
        self.fits(place.key.len() + super::body::LEASE)?;
        if self.memory.take_lease(version, place.namespace, place.key, holder) {
            self.draft.frame.push(Kind::Lease, place.namespace, place.key, |out| {
                encode_lease(version, &holder, out);
            });
        }
        Ok(())
    }

    fn touch(&mut self, place: Place<'_>, expires: Option<Timestamp>) -> Result<Outcome, StoreError> {
        let seq = self.draft.frame.next_seq();
        let (mut touched, mut digest, mut counts) = (Vec::new(), None, Counts::default());
        let (now, seed) = (self.now, place.hash.to_bits());
        let (before, live, replaces) = self.look(place, None, |record| {
            let live = !record.is_expired(now);
            if live {
                digest = record.value.digest();
                let record = Record { seq, expires, ..*record };
                counts = self.counts_of(place, &record);
                record.encode(seed, &mut touched);
            }
            live
        })?;
        let Some(before) = before.filter(|_| live) else { return Ok(Outcome::Touched(false)) };
        self.fits(place.key.len() + touched.len())?;
        let decision = Decision { expires, digest, ..place.decision(Kind::Touch, replaces) };
        self.draft.decide(decision, place.key, |out| out.extend_from_slice(&touched));
        // One that ends has a row more than one that does not.
        self.memory.count(place.namespace, Change::between(before.counts, counts));
        Ok(Outcome::Touched(true))
    }

    fn delete(&mut self, place: Place<'_>, when: &Condition) -> Result<Outcome, StoreError> {
        let (before, tagged, replaces) = self.look(place, None, |record| match when {
            Condition::Tagged(tag) => record.tags.iter().any(|text| text == tag.as_str()),
            _ => false,
        })?;
        let Some(before) = before else { return Ok(Outcome::Deleted(false)) };
        let live = before.is_live(self.now);
        let (holds, counts) = match when {
            Condition::Live => (live, true),
            Condition::Expired => (!live, true),
            Condition::Tagged(_) => (tagged && live, true),
            // What had expired anyway was gone for every reader: it goes, and is not counted.
            Condition::NotAfter(seq) => (before.seq <= *seq, live),
            Condition::Version(version) => (before.version == *version, live),
            Condition::Lost { version, digest } => {
                let names = before.version == *version && before.digest == Some(*digest);
                (names && self.damage.is_lost(digest), live)
            }
        };
        if holds {
            self.remove(place, before, replaces)?;
        }
        Ok(Outcome::Deleted(holds && counts))
    }

    fn evict(&mut self, place: Place<'_>, birth: u64) -> Result<Outcome, StoreError> {
        let (before, _, replaces) = self.look(place, None, |_| false)?;
        let evicted = before.filter(|before| before.was_born_at(birth) && !before.pinned && !before.bound);
        let Some(before) = evicted else { return Ok(Outcome::Evicted(false)) };
        self.remove(place, before, replaces)?;
        Ok(Outcome::Evicted(true))
    }

    fn keep(&mut self, place: Place<'_>, birth: u64, given: eviction::Place) -> Result<Outcome, StoreError> {
        let (before, ..) = self.look(place, None, |_| false)?;
        let has_places = self.lookup.tables.places.is_some();
        let kept = before.filter(|before| has_places && before.was_born_at(birth));
        let Some(before) = kept else { return Ok(Outcome::Kept(false)) };
        self.move_to(place, given, birth, before.counts.charge)?;
        Ok(Outcome::Kept(true))
    }

    /// Writes down that an entry has another place from now on.
    fn move_to(&mut self, place: Place<'_>, given: eviction::Place, birth: u64, charge: u64) -> Result<(), StoreError> {
        self.fits(place.key.len() + KEEP)?;
        let (namespace, number) = (place.namespace, self.draft.frame.next_seq());
        let start = self.draft.frame.push(Kind::Keep, namespace, place.key, |out| encode_keep(birth, given, out));
        let rows = place_row(index_key_length(place.key)) + moved_row();
        self.draft.place(Placed { namespace, number, birth, place: given, charge, rows, start });
        Ok(())
    }

    fn remove(&mut self, place: Place<'_>, before: Before, replaces: Option<Replaced>) -> Result<(), StoreError> {
        self.fits(place.key.len())?;
        self.draft.decide(place.decision(Kind::Delete, replaces), place.key, |_| ());
        self.memory.drop_leases(before.version);
        self.count(place.namespace, Some(before), None)
    }

    fn release(&mut self, holder: Holder, version: u64) -> Result<Outcome, StoreError> {
        let Some((namespace, key, last)) = self.memory.give_back_lease(version, holder) else {
            return Ok(Outcome::Released(false));
        };
        let place = Place::of(namespace, &key);
        self.fits(key.len() + super::body::LEASE)?;
        self.draft.frame.push(Kind::Release, namespace, &key, |out| encode_lease(version, &holder, out));
        if !last {
            return Ok(Outcome::Released(false));
        }
        let (before, _, replaces) = self.look(place, None, |_| false)?;
        let Some(before) = before.filter(|before| before.bound && before.version == version) else {
            return Ok(Outcome::Released(false));
        };
        self.remove(place, before, replaces)?;
        Ok(Outcome::Released(before.is_live(self.now)))
    }

    fn verified(&mut self, digest: Digest) -> Result<Outcome, StoreError> {
        self.fits(32)?;
        self.draft.frame.push(Kind::Verified, 0, &[], |out| out.extend_from_slice(&digest.0));
        Ok(Outcome::Verified)
    }

    /// Returns the number of a namespace; a new one is written down in the directory like any entry.
    fn namespace(&mut self, name: &str) -> Result<u32, StoreError> {
        if let Some(number) = self.memory.namespace(name) {
            return Ok(number);
        }
        let number = self.memory.next_namespace();
        if number > MAX_NAMESPACES {
            let what = datacache_proto::error::Resource::Namespaces;
            return Err(StoreError::TooMany { what, limit: MAX_NAMESPACES.into() });
        }
        let key = Key::text(name);
        let place = Place::of(DIRECTORY_NAMESPACE, key.encoded());
        let seq = self.draft.frame.next_seq();
        let bytes = number.to_le_bytes();
        let record = Record { created: self.now, ..Record::plain(seq, Value::Inline(&bytes)) };
        let seed = place.hash.to_bits();
        self.fits(key.encoded().len() + 128)?;
        let decision = place.decision(Kind::Put, None);
        self.draft.decide(decision, key.encoded(), |out| record.encode(seed, out));
        self.count(DIRECTORY_NAMESPACE, None, Some((self.counts_of(place, &record), None)))?;
        self.memory.name(name, number);
        self.pools.enter(name, number);
        Ok(number)
    }

    /// Looks at what is there: the facts about it, what `judge` says of the record (`false` where there is none), and
    /// the key's newest operation in the log. Where the log has none, `foreseen` stands for a look into LMDB.
    fn look(
        &self,
        place: Place<'_>,
        foreseen: Option<Foreseen>,
        judge: impl FnOnce(&Record<'_>) -> bool,
    ) -> Result<(Option<Before>, bool, Option<Replaced>), StoreError> {
        let Place { namespace, key, hash } = place;
        let count = |record: &Record<'_>| self.counts_of(place, record);
        if let Some((operation, replaces)) = self.draft.find(namespace, key, hash) {
            let (before, judged) = match operation.kind {
                Kind::Delete => (None, false),
                // The record's checksum is in place already; the operation's comes when the frame is sealed.
                _ => Before::of(seen(operation.body, hash), count, judge),
            };
            return Ok((before, judged, replaces));
        }
        let look = |seen: Seen<'_>, at: Option<Location>| {
            let expires = match &seen {
                Seen::Absent => Some(None),
                Seen::Damaged => None,
                Seen::Entry(record) => Some(record.expires),
            };
            let (before, judged) = Before::of(seen, count, judge);
            (before, judged, at.map(|at| Replaced { at, expires }))
        };
        match foreseen {
            None => self.lookup.see(&self.snapshot, namespace, key, hash, look),
            Some(Foreseen { before, same }) => {
                Ok(self.lookup.see_in_log(namespace, key, hash, look)?.unwrap_or((before, same, None)))
            }
        }
    }

    /// Returns what an entry counts for.
    fn counts_of(&self, place: Place<'_>, record: &Record<'_>) -> Counts {
        self.lookup.tables.counts_of(place.namespace, place.key, record)
    }

    /// Tells a new entry its place in the eviction's queues; none where the index has no queues.
    fn place(&mut self, place: Place<'_>, charge: u64) -> Option<eviction::Place> {
        self.lookup.tables.places.map(|_| self.pools.add(place.namespace, place.hash, charge))
    }

    /// Counts an entry that was there out, and in what is there now, with its blob.
    fn count(
        &mut self,
        namespace: u32,
        before: Option<Before>,
        after: Option<(Counts, Option<Digest>)>,
    ) -> Result<(), StoreError> {
        let old = before.map_or(Counts::default(), |before| before.counts);
        let (new, digest) = after.unwrap_or_default();
        self.memory.count(namespace, Change::between(old, new));
        // The new one first: a blob that stays does not go in between.
        if let Some(digest) = digest {
            self.refer(digest, 1, new.bytes)?;
        }
        if let Some(digest) = before.and_then(|before| before.digest) {
            self.refer(digest, -1, old.bytes)?;
        }
        Ok(())
    }

    fn refer(&mut self, digest: Digest, change: i64, length: u64) -> Result<(), StoreError> {
        if self.memory.is_unknown_blob(&digest) {
            let references =
                self.lookup.references(&self.snapshot, &digest).map_err(|source| StoreError::Read { source })?;
            self.memory.learn_references(digest, references);
        }
        self.memory.refer(digest, change, self.lookup.tables.counts_of_blob(length));
        Ok(())
    }

    /// Checks that an operation with `length` bytes of key and body fits the frame.
    fn fits(&self, length: usize) -> Result<(), StoreError> {
        if self.draft.frame.has_room_for(length) {
            return Ok(());
        }
        Err(StoreError::TooLarge { size: (self.draft.frame.length() + length) as u64, limit: MAX_FRAME as u64 })
    }
}

fn inline_length(value: &Value<'_>) -> usize {
    match value {
        Value::Inline(bytes) => bytes.len(),
        Value::Blob { .. } => 32,
    }
}
