//! What a decision has to know of the entry that is there.

use datacache_proto::record::Record;
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;

use super::lookup::Seen;

/// An entry that is there, whose time may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) seq: u64,
    pub(super) version: u64,
    pub(super) created: Timestamp,
    pub(super) expires: Option<Timestamp>,
    pub(super) bound: bool,
    pub(super) bytes: u64,
    pub(super) digest: Option<Digest>,
}

impl Before {
    /// Returns what is known of what was seen, and what `judge` says of the record: `false` where there is none.
    pub(super) fn of(seen: Seen<'_>, judge: impl FnOnce(&Record<'_>) -> bool) -> (Option<Self>, bool) {
        match seen {
            Seen::Absent => (None, false),
            Seen::Damaged => (Some(Self::unknown()), false),
            Seen::Entry(record) => (Some(Self::of_record(&record)), judge(&record)),
        }
    }

    fn of_record(record: &Record<'_>) -> Self {
        Self {
            seq: record.seq,
            version: record.version,
            created: record.created,
            expires: record.expires,
            bound: record.bound,
            bytes: record.value.len(),
            digest: record.value.digest(),
        }
    }

    /// A damaged record: it is there, nothing is known of it, it is not live, and anything may replace it. The apply thread
    /// counts it the same way.
    fn unknown() -> Self {
        let (created, expires) = (Timestamp::default(), Some(Timestamp::default()));
        Self { seq: 0, version: 0, created, expires, bound: false, bytes: 0, digest: None }
    }

    /// Tells whether the entry's time is not over at `now`.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|at| now < at)
    }
}
