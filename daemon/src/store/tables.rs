//! The index: LMDB's tables, their opening, and the numbers about the store. How keys are laid out is in `table_keys`, how the file is
//! mapped in `environment`.
//! Knows nothing of the log; who may write here is the apply thread's (and recovery's) affair.
//!
//! | table | key | row |
//! | --- | --- | --- |
//! | entries, the main one | namespace (u32 BE) ‖ key | record |
//! | `by_expiry` | namespace ‖ expires (u64 BE) ‖ version (u64 BE) | index key |
//! | `by_tag` | namespace ‖ tag ‖ 0 ‖ version | index key |
//! | `blobs` | SHA-256 | references u64, length u64, verified u8 |
//! | `leases` | version ‖ scope ‖ boot ‖ pid ‖ start | namespace u32, key |
//! | `replies` | client | see `replies` |
//! | `counters` | namespace, or `u32::MAX` for all blobs | entries u64, bytes u64, charge u64, held u64, held entries u64 |
//! | `meta` | name | number |
//! | `small`, `main` | namespace ‖ number (u64 BE) | note u8, birth u64, charge u64, index key |
//! | `moved` | birth (u64 BE) | queue u8, key of the place |
//!
//! Rows are little-endian; what LMDB has to sort is big-endian. Rows of expiry and tag carry numbers that grow, so that new ones
//! land on few pages: a page touched at random costs a copy. So do those of places, see `placing`. Why the entries are in the main table, and what else is there, is in
//! [`datacache_proto::layout`].

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;

use datacache_proto::layout::{self, LAYOUT};
use heed::types::Bytes;
use heed::{Database, Env, RoRange, RoTxn, RwTxn};
use tracing::debug;

use super::counts::Counts;
use super::environment::{make_lock_file, open_env};
use super::error::{OpenError, StoreError, is_full};
use super::placing::Places;
use super::readers::{self, Readers};
use super::room::{HEAD, Room};
use super::shared::allocate;
use super::table_keys::namespace_of;

/// What the table of entries was called up to layout 2.
const ENTRIES_OF_2: &str = "entries";
/// The table that layout 1 had too many.
const BY_SEQ_OF_1: &str = "by_seq";

/// A table: bytes to bytes, the typing is done by the functions below.
pub(super) type Table = Database<Bytes, Bytes>;

/// The open index.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) env: Env,
    layout: u32,
    /// IMPORTANT: has the names of the others too. [`Tables::all_entries`] walks the entries alone.
    pub(super) entries: Table,
    pub(super) by_expiry: Table,
    pub(super) by_tag: Table,
    pub(super) blobs: Table,
    pub(super) leases: Table,
    pub(super) replies: Table,
    pub(super) counters: Table,
    pub(super) meta: Table,
    /// `None` in an older layout: nothing is evicted there, and nothing charged.
    pub(super) places: Option<Places>,
    /// Room for all of these.
    pub(super) room: Room,
    /// IMPORTANT: last, so that it is closed after the environment. LMDB knows who else is there by a POSIX lock on this file,
    /// which the process loses when it closes any descriptor of it; the next client would begin the table of readers anew.
    lock_file: File,
}

/// An index that can't be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum TablesError {
    /// LMDB refused.
    #[error("failed to open the index")]
    Lmdb {
        #[from]
        source: heed::Error,
    },
    /// Its lock file can't be made as clients need it.
    #[error("failed to allocate the lock file of the index")]
    LockFile { source: io::Error },
    /// Its file can't be opened a second time.
    #[error("failed to open the file of the index")]
    Room { source: io::Error },
    /// A build with another layout made it.
    #[error("the index has layout {found}")]
    Layout { found: u64 },
}

/// The numbers that the index keeps about the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meta {
    /// The layout of everything in the folder.
    Layout,
    /// The lower half of the store's random identity.
    StoreIdLow,
    /// The upper half of it.
    StoreIdHigh,
    /// The last sequence number whose operation is in the index.
    Applied,
    /// Segments below it are garbage, whatever they hold.
    FirstSegment,
    /// Above every segment number that was ever used, as far as the index knows.
    NextSegment,
}

impl Meta {
    pub(super) const fn name(self) -> &'static [u8] {
        match self {
            Self::Layout => layout::meta::LAYOUT,
            Self::StoreIdLow => layout::meta::STORE_ID_LOW,
            Self::StoreIdHigh => layout::meta::STORE_ID_HIGH,
            Self::Applied => b"applied",
            Self::FirstSegment => b"first_segment",
            Self::NextSegment => b"next_segment",
        }
    }
}

impl Tables {
    /// Opens the index in `folder`, making it where it is new.
    ///
    /// In layout 2 the entries had a table of their own, which is used then; up to layout 3 there were no places, and are none then. An index of an unknown layout is left as it is.
    pub(super) fn open(folder: &Path) -> Result<Self, TablesError> {
        let lock_file = make_lock_file(folder).map_err(|source| TablesError::LockFile { source })?;
        let env = open_env(folder)?;
        let allocated = lock_file.metadata().and_then(|metadata| allocate(&lock_file, metadata.len()));
        allocated.map_err(|source| TablesError::LockFile { source })?;
        let mut txn = env.write_txn()?;
        // IMPORTANT: before anything is made.
        let (layout, entries) = entries_of(layout_of(&env, &txn)?)?;
        let mut table = |name| env.create_database(&mut txn, name);
        let tables = Self {
            layout,
            entries: table(entries)?,
            by_expiry: table(Some(layout::tables::BY_EXPIRY))?,
            by_tag: table(Some(layout::tables::BY_TAG))?,
            blobs: table(Some(layout::tables::BLOBS))?,
            leases: table(Some(layout::tables::LEASES))?,
            replies: table(Some(layout::tables::REPLIES))?,
            counters: table(Some(layout::tables::COUNTERS))?,
            meta: table(Some(layout::tables::META))?,
            places: if layout < LAYOUT { None } else { Some(Places::make(table)?) },
            room: Room::open(folder).map_err(|source| TablesError::Room { source })?,
            env: env.clone(),
            lock_file,
        };
        if tables.meta(&txn, Meta::Layout)? == Some(1) {
            tables.upgrade_from_1(&mut txn)?;
        }
        txn.commit()?;
        Ok(tables)
    }

    /// Opens the index of a generation of the store in `path`.
    pub(super) fn open_in(path: &Path, generation: &Path) -> Result<Self, OpenError> {
        Self::open(generation).map_err(|error| match error {
            TablesError::Lmdb { source: heed::Error::Io(source) } | TablesError::LockFile { source }
                if is_full(&source) =>
            {
                OpenError::NoSpace { path: path.to_owned() }
            }
            TablesError::Lmdb { source } => OpenError::Index { action: "open", path: path.to_owned(), source },
            TablesError::LockFile { source } => {
                OpenError::Io { action: "allocate the lock file of", path: path.to_owned(), source }
            }
            TablesError::Room { source } => {
                OpenError::Io { action: "make room for the index of", path: path.to_owned(), source }
            }
            TablesError::Layout { found } => {
                let found = u32::try_from(found).unwrap_or(u32::MAX);
                OpenError::Layout { path: path.to_owned(), found, known: LAYOUT }
            }
        })
    }

    /// Layout 1 had a table of entries by their sequence numbers, which cost half of all that was written, and which only
    /// `clear` read.
    fn upgrade_from_1(&self, txn: &mut RwTxn<'_>) -> heed::Result<()> {
        if let Some(by_seq) = self.env.open_database::<Bytes, Bytes>(txn, Some(BY_SEQ_OF_1))? {
            by_seq.clear(txn)?;
        }
        self.set_meta(txn, Meta::Layout, 2)
    }

    /// Tells whether it has an older layout, which is used as it is. Clients don't look into it.
    pub(super) fn is_older(&self) -> bool {
        self.layout < LAYOUT
    }

    /// Walks all entries, in the order of their keys.
    pub(super) fn all_entries<'t>(&self, txn: &'t RoTxn<'_>) -> heed::Result<RoRange<'t, Bytes, Bytes>> {
        self.entries.range(txn, &(Bound::Unbounded, Bound::Excluded(layout::tables::END_OF_ENTRIES)))
    }

    /// Closes the index; waits for others that still have it.
    pub(super) fn close(self) {
        let Self { env, lock_file, .. } = self;
        env.prepare_for_closing().wait();
        // IMPORTANT: after LMDB has closed. Closing any descriptor of the file drops the locks by which LMDB tells that this
        // process lives.
        drop(lock_file);
    }

    /// Reads a number about the store; `None` where it was never written.
    pub(super) fn meta(&self, txn: &RoTxn<'_>, meta: Meta) -> heed::Result<Option<u64>> {
        Ok(self.meta.get(txn, meta.name())?.and_then(|row| Some(u64::from_le_bytes(row.try_into().ok()?))))
    }

    /// Writes a number about the store.
    pub(super) fn set_meta(&self, txn: &mut RwTxn<'_>, meta: Meta, value: u64) -> heed::Result<()> {
        self.meta.put(txn, meta.name(), &value.to_le_bytes())
    }

    /// Returns the counters of every namespace that has any, and of all blobs.
    pub(super) fn all_counts(&self, txn: &RoTxn<'_>) -> heed::Result<Vec<(u32, Counts)>> {
        let mut all = Vec::new();
        for row in self.counters.iter(txn)? {
            let (key, row) = row?;
            all.extend(namespace_of(key).zip(Counts::decode(row)));
        }
        Ok(all)
    }
}

impl Tables {
    /// Returns the record under an index key; none under one that damage has made empty, which LMDB takes for a mistake of the caller.
    pub(super) fn entry<'t>(&self, txn: &'t RoTxn<'_>, index_key: &[u8]) -> heed::Result<Option<&'t [u8]>> {
        if index_key.is_empty() { Ok(None) } else { self.entries.get(txn, index_key) }
    }

    /// Returns who reads, and how long the index's file is by now. Waits for none of them.
    pub(super) fn readers(&self) -> io::Result<Readers> {
        Ok(Readers { places: readers::places(&self.lock_file)?, length: self.room.end()? })
    }

    /// Returns how many bytes of the index's pages are in use. heed's own count looks at each row of the main table for a table's name.
    pub(super) fn used(&self) -> heed::Result<u64> {
        let Self { entries, by_expiry, by_tag, blobs, leases, replies, counters, meta, .. } = self;
        let places = self.places.iter().flat_map(Places::tables);
        let txn = self.env.read_txn()?;
        let mut used = 0;
        let all = [entries, by_expiry, by_tag, blobs, leases, replies, counters, meta];
        for table in all.into_iter().copied().chain(places) {
            let stat = table.stat(&txn)?;
            used += (stat.branch_pages + stat.leaf_pages + stat.overflow_pages) as u64 * u64::from(stat.page_size);
        }
        Ok(used)
    }

    /// Sees to it that there is room for what becomes of a log of `backlog` bytes, and for what makes the store in `folder` smaller
    /// again; returns what is short, if anything is. What can't be looked at counts as enough: who needs it will see.
    pub(super) fn make_room(&self, backlog: u64, folder: &Path) -> Option<StoreError> {
        let (used, end) = self.used().ok().zip(self.room.end().ok())?;
        let needed = self.room.reserve(used).ok()? + 2 * backlog;
        let missing = needed.saturating_sub(end.saturating_sub(used));
        let limit = self.env.info().map_size as u64;
        if end + missing > limit {
            return Some(StoreError::IndexFull { limit });
        }
        let full = self.room.ensure(missing).is_err_and(|error| is_full(&error));
        full.then(|| StoreError::NoSpace { folder: folder.to_owned() })
    }

    /// Leaves what is reserved for the index as it is now, and for the log of the next start, or as much as there is to be had. What
    /// was taken for a log that is applied is given back.
    pub(super) fn leave_room(&self) {
        let leave = || {
            // IMPORTANT: whoever else writes to LMDB waits, or we do.
            let txn = self.env.write_txn()?;
            let reserve = self.room.reserve(self.used()?).map_err(heed::Error::Io)?;
            self.room.leave(reserve + 2 * HEAD).map_err(heed::Error::Io)?;
            txn.abort();
            Ok::<_, heed::Error>(())
        };
        if let Err(error) = leave() {
            debug!(error = &error as &dyn std::error::Error, "what is reserved is not all there");
        }
    }
}

/// Returns the layout that an index is used in, by the number that was found in it, and which table has its entries.
fn entries_of(found: Option<u64>) -> Result<(u32, Option<&'static str>), TablesError> {
    match found.map(|found| u32::try_from(found).map_err(|_| found)) {
        None | Some(Ok(LAYOUT)) => Ok((LAYOUT, layout::tables::ENTRIES)),
        Some(Ok(1 | 2)) => Ok((2, Some(ENTRIES_OF_2))),
        Some(Ok(3)) => Ok((3, layout::tables::ENTRIES)),
        Some(Ok(found)) => Err(TablesError::Layout { found: found.into() }),
        Some(Err(found)) => Err(TablesError::Layout { found }),
    }
}

/// Returns the number of the layout that an index has, `None` in a new one.
fn layout_of(env: &Env, txn: &RoTxn<'_>) -> heed::Result<Option<u64>> {
    let Some(meta) = env.open_database::<Bytes, Bytes>(txn, Some(layout::tables::META))? else { return Ok(None) };
    let row = meta.get(txn, Meta::Layout.name())?;
    Ok(row.and_then(|row| Some(u64::from_le_bytes(row.try_into().ok()?))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::layout::LOCK_FILE;

    /// Once the lock file was allocated through a descriptor that was closed while the environment was open. With it went the
    /// lock by which LMDB knows that it is in use, and the next process to open it began its table of readers anew.
    #[test]
    fn other_processes_see_that_the_index_is_in_use() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        let metadata = std::fs::metadata(folder.path().join(LOCK_FILE)).unwrap();
        assert!(metadata.blocks() * 512 >= metadata.len(), "a hole is a SIGBUS for a client on a full disk");
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let (me, file) = (format!(" {} ", std::process::id()), format!(":{} ", metadata.ino()));
        let is_held = |line: &str| line.contains("POSIX") && line.contains(&me) && line.contains(&file);
        assert!(locks.lines().any(is_held), "{locks}");
        drop(tables);
    }

    #[test]
    fn a_walk_over_all_entries_ends_before_the_names_of_tables() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        let mut txn = tables.env.write_txn().unwrap();
        let keys = [0, 1, layout::MAX_NAMESPACES].map(|namespace| layout::index_key(namespace, &[0xff; 300]).to_vec());
        for key in &keys {
            tables.entries.put(&mut txn, key, b"row").unwrap();
        }
        let walked: Vec<_> = tables.all_entries(&txn).unwrap().map(|row| row.unwrap().0.to_vec()).collect();
        assert_eq!(walked, keys);
        assert_eq!(tables.entries.len(&txn).unwrap(), 3 + u64::from(layout::tables::COUNT));
    }

    #[test]
    fn the_index_keeps_its_numbers_over_a_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        let mut txn = tables.env.write_txn().unwrap();
        tables.set_meta(&mut txn, Meta::Applied, 7).unwrap();
        txn.commit().unwrap();
        tables.close();
        let tables = Tables::open(folder.path()).unwrap();
        let txn = tables.env.read_txn().unwrap();
        assert_eq!(tables.meta(&txn, Meta::Applied).unwrap(), Some(7));
        assert_eq!(tables.meta(&txn, Meta::Layout).unwrap(), None);
    }
}
