//! How much the store takes and may take, as the writer knows it at any moment, and as it is told to others.

use std::io;

use datacache_proto::layout::DIRECTORY_NAMESPACE;
use datacache_proto::log::SEGMENT_HEADER;
use datacache_proto::types::{NamespaceSpace, ReserveStats, SpaceStats};
use tracing::warn;

use super::admission::{Level, Limits};
use super::counts::Counts;
use super::headroom::Headroom;
use super::index_size::IndexSize;
use super::store::Store;
use super::usage::Usage;
use crate::eviction::Volume;

impl Store {
    /// Returns how much of the disk the store takes.
    #[must_use]
    pub fn usage(&self) -> Usage {
        // What can't be measured is as it was when it could be.
        let index = self.lookup.tables.used().unwrap_or_else(|_| self.index_size.pages());
        self.usage_with(index)
    }

    /// Returns how much of the disk the store takes with an index of so many bytes.
    fn usage_with(&self, index: u64) -> Usage {
        let (blobs, leaving) = (self.memory.blobs().charge, self.memory.leaving().bytes());
        Usage { index, log: self.log_bytes(), blobs, leaving }
    }

    /// Returns how much of the log the index does not have yet.
    pub(super) fn log_bytes(&self) -> u64 {
        let applying = self.lookup.applying.as_ref().map_or(0, |_| self.applying_end.offset - SEGMENT_HEADER as u64);
        self.end - SEGMENT_HEADER as u64 + applying + self.draft.frame.length() as u64
    }

    /// Returns what all entries are and take. The directory of namespaces has none.
    fn all_entries(&self) -> Counts {
        let all = self.memory.total();
        Counts { entries: all.entries - self.memory.counts(DIRECTORY_NAMESPACE).entries.min(all.entries), ..all }
    }

    /// Returns how full the store is.
    pub(super) fn level(&self) -> Level {
        let (rows, all) = (self.memory.rows(), self.all_entries());
        let usage = self.usage_with(self.index_size.now(rows));
        let lasting = Volume { bytes: usage.index + usage.blobs, entries: all.entries };
        let (passing, swelling) = match self.is_passing() {
            true => (usage.passing(), self.index_size.more(rows, self.draft.scattered())),
            false => (0, 0),
        };
        Level { lasting, passing, swelling, held: held(all) }
    }

    /// Returns by how much the index swells with so many rows more among others.
    pub(super) fn swelling_with(&self, scattered: u64) -> u64 {
        let (rows, drafted) = (self.memory.rows(), self.draft.scattered());
        self.index_size.more(rows, drafted + scattered).saturating_sub(self.index_size.more(rows, drafted))
    }

    /// Tells whether anything of what is about to go is on its way: else it is not to be waited for.
    fn is_passing(&self) -> bool {
        // Of a frame that is being decided on what has room is appended, before the first batch waits that has none.
        let is_written = self.end > SEGMENT_HEADER as u64 || self.draft.frame.operations() > 0;
        let has_log = is_written || self.lookup.applying.is_some();
        // Not for files that are set aside: the thread that removes them may be hashing one for minutes.
        let is_removing = !self.dropped.is_empty() || !self.dropped_later.is_empty();
        (has_log && !self.apply_failed()) || is_removing
    }

    /// Returns how full a namespace is.
    pub(super) fn level_of(&self, namespace: u32) -> Level {
        let counts = self.memory.counts(namespace);
        let lasting = Volume { bytes: counts.charge, entries: counts.entries };
        Level { lasting, held: held(counts), ..Level::default() }
    }

    /// Returns the store's limits as they are at this moment.
    pub(super) fn limits(&self) -> Limits {
        self.pools.limits_of_all(self.headroom.ceiling)
    }

    /// Tells whether others on the disk leave the store less than its limit.
    pub(super) fn gives_way(&self) -> bool {
        let limit = self.pools.rules().all.limit;
        self.headroom.ceiling.is_some_and(|ceiling| limit.is_none_or(|limit| ceiling < limit))
    }

    /// Looks how much room others leave on the filesystem.
    pub fn look_at_disk(&mut self) {
        self.headroom = self.headroom_now();
    }

    /// Returns that as it is now, or as it was last where it can't be told.
    pub(super) fn headroom_now(&self) -> Headroom {
        let usage = self.usage();
        let (reserve, stays) = (self.pools.rules().reserve, usage.total() - usage.leaving);
        let looked = self.lookup.tables.room.disk().and_then(|disk| Ok((disk, self.spare()?)));
        looked.map(|(disk, spare)| Headroom::of(reserve, disk, stays, spare)).unwrap_or_else(|error| {
            warn!(%error, "how much room the filesystem has can't be told");
            self.headroom
        })
    }

    /// Returns how much of the filesystem the store has and does not use, or will not soon.
    pub(super) fn spare(&self) -> io::Result<u64> {
        let usage = self.usage();
        let former = self.former.upgrade().map_or(Ok(0), |former| former.room.end())?;
        Ok(self.lookup.tables.room.end()?.saturating_sub(usage.index) + usage.leaving + former)
    }

    /// Has the index measured, and `note` take that in.
    pub(super) fn measure(&mut self, note: impl FnOnce(&mut IndexSize, u64)) {
        match self.lookup.tables.used() {
            Ok(pages) => note(&mut self.index_size, pages),
            Err(error) => warn!(%error, "the size of the index can't be told"),
        }
        self.look_at_disk();
    }

    /// Returns how much of the disk the store takes, and how much it may.
    #[must_use]
    pub fn space(&self) -> SpaceStats {
        let (usage, all, rules) = (self.usage(), self.all_entries(), self.pools.rules());
        let (Headroom { reserve, free, .. }, limits) = (self.headroom, self.limits());
        SpaceStats {
            bytes: usage.total(),
            index_bytes: usage.index,
            log_bytes: usage.log,
            blob_bytes: usage.blobs + usage.leaving,
            spare_bytes: self.spare().map_or(0, |spare| spare.saturating_sub(usage.leaving)),
            entries: all.entries,
            held_bytes: all.held,
            held_entries: all.held_entries,
            limit: limits.bytes.map(|marks| marks.limit),
            limit_entries: rules.all.limit_entries,
            held_limit: limits.held,
            held_limit_entries: limits.held_entries,
            policy: self.pools.policy().to_string(),
            reserve: ReserveStats { bytes: reserve, free },
            waits: self.crowding.waits,
            refused: self.crowding.refused,
        }
    }

    /// Returns how much a namespace takes, and how much it may.
    #[must_use]
    pub fn namespace_space(&self, namespace: u32) -> NamespaceSpace {
        let Counts { charge, held, .. } = self.memory.counts(namespace);
        let own = self.pools.own(namespace).map(|(_, pool)| pool);
        NamespaceSpace {
            bytes: charge,
            held_bytes: held,
            limit: own.and_then(|pool| pool.limits.bytes).map(|marks| marks.limit),
            limit_entries: own.and_then(|pool| pool.limits.entries).map(|marks| marks.limit),
            policy: own.map_or(self.pools.policy(), |pool| pool.policy).to_string(),
        }
    }

    /// Returns how many entries of a namespace had expired and were removed to make room for others, since the store was opened.
    #[must_use]
    pub fn expired_for_room(&self, namespace: u32) -> u64 {
        self.crowding.expired.get(&namespace).copied().unwrap_or(0)
    }

    /// Returns how many entries of a namespace were evicted since the store was opened.
    #[must_use]
    pub fn evicted(&self, namespace: u32) -> u64 {
        self.crowding.evicted.get(&namespace).copied().unwrap_or(0)
    }
}

/// Returns how much of what is counted is never evicted.
fn held(counts: Counts) -> Volume {
    Volume { bytes: counts.held, entries: counts.held_entries }
}
