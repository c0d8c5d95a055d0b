//! What there is of a key when a command's turn has come, the draft included; and the counting of what comes of it.

use datacache_proto::log::Kind;
use datacache_proto::recent::Location;
use datacache_proto::record::Record;
use datacache_proto::types::Digest;

use super::{Place, Turn};
use crate::store::before::Before;
use crate::store::counts::{Change, Counts};
use crate::store::error::StoreError;
use crate::store::expiring::Replaced;
use crate::store::foresight::Foreseen;
use crate::store::lookup::{Seen, seen};

impl Turn<'_> {
    /// Looks at what is there: the facts about it, what `judge` says of the record (`false` where there is none), and
    /// the key's newest operation in the log. Where the log has none, `foreseen` stands for a look into LMDB.
    pub(super) fn look(
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
    pub(super) fn counts_of(&self, place: Place<'_>, record: &Record<'_>) -> Counts {
        self.lookup.tables.counts_of(place.namespace, place.key, record)
    }

    /// Counts an entry that was there out, and in what is there now, with its blob.
    pub(super) fn count(
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
}
