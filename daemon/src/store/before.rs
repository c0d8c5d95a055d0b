//! What a decision has to know of the entry that is there.

use datacache_proto::record::{Birth, Record};
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;

use super::counts::Counts;
use super::lookup::Seen;

/// An entry that is there, whose time may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) seq: u64,
    pub(super) version: u64,
    pub(super) created: Timestamp,
    pub(super) expires: Option<Timestamp>,
    pub(super) bound: bool,
    pub(super) pinned: bool,
    /// `None` where the record is damaged.
    pub(super) birth: Option<Birth>,
    /// What it counts for.
    pub(super) counts: Counts,
    pub(super) digest: Option<Digest>,
}

impl Before {
    /// Returns what is known of what was seen, and what `judge` says of the record: `false` where there is none. `count` tells
    /// what a record counts for.
    pub(super) fn of(
        seen: Seen<'_>,
        count: impl FnOnce(&Record<'_>) -> Counts,
        judge: impl FnOnce(&Record<'_>) -> bool,
    ) -> (Option<Self>, bool) {
        match seen {
            Seen::Absent => (None, false),
            Seen::Damaged => (Some(Self::unknown()), false),
            Seen::Entry(record) => (Some(Self::of_record(&record, count(&record))), judge(&record)),
        }
    }

    fn of_record(record: &Record<'_>, counts: Counts) -> Self {
        Self {
            seq: record.seq,
            version: record.version,
            created: record.created,
            expires: record.expires,
            bound: record.bound,
            pinned: record.pinned,
            birth: Some(record.birth),
            counts,
            digest: record.value.digest(),
        }
    }

    /// A damaged record: it is there, nothing is known of it, it is not live, and anything may replace it. The apply thread
    /// counts it the same way.
    fn unknown() -> Self {
        let (created, expires) = (Timestamp::default(), Some(Timestamp::default()));
        let (bound, pinned, birth, counts) = (false, false, None, Counts::of_damaged());
        Self { seq: 0, version: 0, created, expires, bound, pinned, birth, counts, digest: None }
    }

    /// Tells whether it is the entry that was born so, or what has replaced that while it was there.
    pub(super) fn was_born_at(&self, birth: u64) -> bool {
        self.birth.is_some_and(|own| own.seq == birth)
    }

    /// Tells whether the entry's time is not over at `now`.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|at| now < at)
    }
}
