//! What changes about an entry that stays: its end, or its place in the eviction's queues.

use datacache_proto::log::Kind;
use datacache_proto::record::Record;
use datacache_proto::time::Timestamp;

use super::{Place, Turn};
use crate::eviction;
use crate::store::body::{KEEP, encode_keep};
use crate::store::charge::{index_key_length, moved_row, place_row};
use crate::store::command::Outcome;
use crate::store::counts::{Change, Counts};
use crate::store::draft::{Decision, Placed};
use crate::store::error::StoreError;
use crate::store::swelling::scattered;

impl Turn<'_> {
    pub(super) fn touch(&mut self, place: Place<'_>, expires: Option<Timestamp>) -> Result<Outcome, StoreError> {
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
        let scattered = scattered(0, expires.is_some(), false);
        let decision = Decision { expires, digest, scattered, ..place.decision(Kind::Touch, replaces) };
        self.draft.decide(decision, place.key, |out| out.extend_from_slice(&touched));
        // One that ends has a row more than one that does not.
        self.memory.count(place.namespace, Change::between(before.counts, counts));
        Ok(Outcome::Touched(true))
    }

    pub(super) fn keep(&mut self, place: Place<'_>, birth: u64, given: eviction::Place) -> Result<Outcome, StoreError> {
        let (before, ..) = self.look(place, None, |_| false)?;
        let has_places = self.lookup.tables.places.is_some();
        let kept = before.filter(|before| has_places && before.was_born_at(birth));
        let Some(before) = kept else { return Ok(Outcome::Kept(false)) };
        self.move_to(place, given, birth, before.counts.charge)?;
        Ok(Outcome::Kept(true))
    }

    /// Writes down that an entry has another place from now on.
    pub(super) fn move_to(
        &mut self,
        place: Place<'_>,
        given: eviction::Place,
        birth: u64,
        charge: u64,
    ) -> Result<(), StoreError> {
        self.fits(place.key.len() + KEEP)?;
        let (namespace, number) = (place.namespace, self.draft.frame.next_seq());
        let start = self.draft.frame.push(Kind::Keep, namespace, place.key, |out| encode_keep(birth, given, out));
        self.draft.scatter();
        let rows = place_row(index_key_length(place.key)) + moved_row();
        self.draft.place(Placed { namespace, number, birth, place: given, charge, rows, start });
        Ok(())
    }

    /// Tells a new entry its place in the eviction's queues; none where the index has no queues.
    pub(super) fn place(&mut self, place: Place<'_>, charge: u64) -> Option<eviction::Place> {
        self.lookup.tables.places.map(|_| self.pools.add(place.namespace, place.hash, charge))
    }
}
