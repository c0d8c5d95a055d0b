//! What removes an entry: a delete, an eviction, the last lease that is given back.

use datacache_proto::log::Kind;

use super::{Place, Turn};
use crate::store::before::Before;
use crate::store::body::{LEASE, encode_lease};
use crate::store::command::{Condition, Holder, Outcome};
use crate::store::error::StoreError;
use crate::store::expiring::Replaced;

impl Turn<'_> {
    pub(super) fn delete(&mut self, place: Place<'_>, when: &Condition) -> Result<Outcome, StoreError> {
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

    pub(super) fn evict(&mut self, place: Place<'_>, birth: u64) -> Result<Outcome, StoreError> {
        let (before, _, replaces) = self.look(place, None, |_| false)?;
        let evicted = before.filter(|before| before.was_born_at(birth) && !before.pinned && !before.bound);
        let Some(before) = evicted else { return Ok(Outcome::Evicted(false)) };
        self.remove(place, before, replaces)?;
        Ok(Outcome::Evicted(true))
    }

    fn remove(&mut self, place: Place<'_>, before: Before, replaces: Option<Replaced>) -> Result<(), StoreError> {
        self.fits(place.key.len())?;
        self.draft.decide(place.decision(Kind::Delete, replaces), place.key, |_| ());
        self.memory.drop_leases(before.version);
        self.count(place.namespace, Some(before), None)
    }

    pub(super) fn release(&mut self, holder: Holder, version: u64) -> Result<Outcome, StoreError> {
        let Some((namespace, key, last)) = self.memory.give_back_lease(version, holder) else {
            return Ok(Outcome::Released(false));
        };
        let place = Place::of(namespace, &key);
        self.fits(key.len() + LEASE)?;
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
}
