//! What an addition decides: the entry that there is from then on, with its place, its leases, and its namespace if that is new.

use datacache_proto::error::Resource;
use datacache_proto::key::Key;
use datacache_proto::layout::{DIRECTORY_NAMESPACE, MAX_NAMESPACES, is_cut};
use datacache_proto::log::Kind;
use datacache_proto::recent::KeyHash;
use datacache_proto::record::{Birth, Record, TagsBuf, Value};
use datacache_proto::types::Added;

use super::{Place, Turn};
use crate::eviction::Queue;
use crate::store::body::{LEASE, encode_lease};
use crate::store::charge::{index_key_length, place_row};
use crate::store::command::{Holder, Outcome, Put};
use crate::store::draft::{Decision, Placed};
use crate::store::error::StoreError;
use crate::store::foresight::Foreseen;
use crate::store::scarcity::tag_rows;
use crate::store::swelling::scattered;

/// The most that a record has besides its key and value: its head and 64 tags.
const RECORD: usize = 64 + 64 * 256;

impl Turn<'_> {
    pub(super) fn put(
        &mut self,
        put: &Put,
        hash: Option<KeyHash>,
        foreseen: Option<Foreseen>,
    ) -> Result<Outcome, StoreError> {
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
        let is_more = before.is_none_or(|before| before.counts.charge < counts.charge);
        let scattered = scattered(put.tags.len(), expires.is_some(), is_more);
        let decision = Decision { expires, digest, rows, scattered, ..place.decision(Kind::Put, replaces) };
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
        self.fits(place.key.len() + LEASE)?;
        if self.memory.take_lease(version, place.namespace, place.key, holder) {
            self.draft.frame.push(Kind::Lease, place.namespace, place.key, |out| {
                encode_lease(version, &holder, out);
            });
        }
        Ok(())
    }

    /// Returns the number of a namespace; a new one is written down in the directory like any entry.
    fn namespace(&mut self, name: &str) -> Result<u32, StoreError> {
        if let Some(number) = self.memory.namespace(name) {
            return Ok(number);
        }
        let number = self.memory.next_namespace();
        if number > MAX_NAMESPACES {
            let what = Resource::Namespaces;
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
}

fn inline_length(value: &Value<'_>) -> usize {
    match value {
        Value::Inline(bytes) => bytes.len(),
        Value::Blob { .. } => 32,
    }
}
