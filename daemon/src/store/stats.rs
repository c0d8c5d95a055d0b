//! The store's statistics: how large it is, who reads it, and how long its own work took.

use std::collections::BTreeSet;

use datacache_proto::layout::READER_SLOTS;
use datacache_proto::log::SEGMENT_HEADER;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{FrameStats, LatencyStats, MovedAside, ReaderStats, StoreStats};

use super::error::StoreError;
use super::moved_aside::moved_aside;
use super::readers::Readers;
use super::store::Store;

impl Store {
    /// Returns sizes and counts of the store as a whole.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let read = |source| StoreError::Read { source };
        let tables = &self.lookup.tables;
        let blobs = self.memory.blobs();
        let unsynced = match self.end().segment == self.synced.segment {
            true => self.end.saturating_sub(self.synced.offset),
            false => self.end,
        };
        Ok(StoreStats {
            index_bytes: tables.used().map_err(read)?,
            unapplied_operations: self.last_seq - self.applied,
            unapplied_bytes: self.end - SEGMENT_HEADER as u64 + self.lookup.applying.as_ref().map_or(0, |s| s.length()),
            unsynced_bytes: unsynced,
            blobs: blobs.entries,
            blob_bytes: blobs.bytes,
            readers: self.readers()?.places.len() as u64,
            leases: self.memory.leases().count(),
            shortage: self.shortage(),
            moved_aside: self.moved_aside(),
        })
    }

    /// Returns what is known of the index that was moved aside, while its folder is there.
    #[must_use]
    pub fn moved_aside(&self) -> Option<MovedAside> {
        moved_aside(&self.options.path)
    }

    /// Returns who reads the index.
    ///
    /// # Errors
    /// Where that can't be told.
    pub fn readers(&self) -> Result<Readers, StoreError> {
        self.lookup.tables.readers().map_err(|source| StoreError::Read { source: source.into() })
    }

    /// Returns how many read the index, and how far behind the oldest read is. For how long it goes on is not known here.
    ///
    /// # Errors
    /// Where that can't be told.
    pub fn reader_stats(&self) -> Result<ReaderStats, StoreError> {
        let Readers { places, .. } = self.readers()?;
        let last = self.lookup.tables.env.info().last_txn_id as u64;
        let reading = || places.iter().filter_map(|place| place.reading);
        Ok(ReaderStats {
            places: places.len() as u64,
            places_max: READER_SLOTS.into(),
            processes: places.iter().map(|place| place.pid).collect::<BTreeSet<_>>().len() as u64,
            reading: reading().count() as u64,
            behind_transactions: reading().min().map_or(0, |oldest| last.saturating_sub(oldest)),
            oldest_read_ms: None,
        })
    }

    /// Returns since when the log has what the index has not; `None` where that is nothing.
    #[must_use]
    pub fn unapplied_since(&self) -> Option<Timestamp> {
        let active = self.active_since.filter(|_| self.end > SEGMENT_HEADER as u64);
        self.applying_since.into_iter().chain(active).min()
    }

    /// Returns how long the store's own work took; that of calls is not known here.
    #[must_use]
    pub fn latency(&self) -> LatencyStats {
        self.timings.latency()
    }

    /// Returns how much shared a frame of the log.
    #[must_use]
    pub fn frame_stats(&self) -> FrameStats {
        self.timings.frames()
    }
}
