//! The daemon's own look at a key: the shared index, the log, LMDB, in the order in which every reader looks.

use std::cell::{OnceCell, RefCell};
use std::ops::Range;
use std::sync::Arc;

use datacache_proto::key::Key;
use datacache_proto::layout::index_key;
use datacache_proto::log::{Kind, Operation, operation_length};
use datacache_proto::recent::{Candidate, Found, KeyHash, Location, find};
use datacache_proto::record::Record;
use datacache_proto::types::Digest;
use heed::{RoTxn, WithTls};
use tracing::error;

use super::before::Before;
use super::blob_row::BlobRow;
use super::error::StoreError;
use super::index::Index;
use super::segment::Segment;
use super::tables::Tables;
use super::trail::Trail;

/// Where the newest operation of a key is looked for.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) index: Arc<Index>,
    pub(super) tables: Arc<Tables>,
    /// The segment that is appended to.
    pub(super) active: Arc<Segment>,
    /// The one before, until the index has all of it.
    pub(super) applying: Option<Arc<Segment>>,
    /// The end of the active segment.
    pub(super) trail: Trail,
    /// The operation that was fetched last. Kept, so that a look allocates nothing.
    buffer: RefCell<Vec<u8>>,
}

/// LMDB as it stands when it is first asked.
///
/// All looks of one batch share it, since to begin a transaction costs more than to look. That is as good as one that begins after
/// each probe of the shared index: what the probe does not find was in LMDB at the last retirement of a segment, and
/// only the writer's own thread retires, never within a batch. It must not outlive the batch.
pub(super) struct Snapshot<'l> {
    tables: &'l Tables,
    txn: OnceCell<RoTxn<'l, WithTls>>,
}

impl<'l> Snapshot<'l> {
    pub(super) fn txn(&self) -> heed::Result<&RoTxn<'l, WithTls>> {
        if let Some(txn) = self.txn.get() {
            return Ok(txn);
        }
        let txn = self.tables.env.read_txn()?;
        Ok(self.txn.get_or_init(|| txn))
    }
}

/// What is there under a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen<'a> {
    /// Nothing.
    Absent,
    /// Something whose bytes can't be trusted.
    Damaged,
    /// An entry, whose time may be over.
    Entry(Record<'a>),
}

/// An operation of the log, as it was fetched.
struct Fetched {
    at: Location,
    kind: Kind,
    /// Where its body is in the buffer.
    body: Range<usize>,
}

impl Fetched {
    fn show<R>(self, buffer: &[u8], hash: KeyHash, look: impl FnOnce(Seen<'_>, Location) -> R) -> R {
        match self.kind {
            Kind::Delete => look(Seen::Absent, self.at),
            _ => look(seen(&buffer[self.body], hash), self.at),
        }
    }
}

impl Lookup {
    pub(super) fn new(index: Arc<Index>, tables: Arc<Tables>, active: Arc<Segment>) -> Self {
        Self { index, tables, active, applying: None, trail: Trail::default(), buffer: RefCell::default() }
    }

    /// Returns what the looks of one batch share.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { tables: &self.tables, txn: OnceCell::new() }
    }

    /// Shows `look` what is there under an encoded key, and where in the log its newest operation is, if it is there.
    ///
    /// `look` must not look up another key.
    pub(super) fn see<R>(
        &self,
        snapshot: &Snapshot<'_>,
        namespace: u32,
        key: &[u8],
        hash: KeyHash,
        look: impl FnOnce(Seen<'_>, Option<Location>) -> R,
    ) -> Result<R, StoreError> {
        let mut buffer = self.buffer.borrow_mut();
        match self.find_in_log(namespace, key, hash, &mut buffer)? {
            Some(found) => Ok(found.show(&buffer, hash, |seen, at| look(seen, Some(at)))),
            None => self.see_in_index(snapshot, namespace, key, hash, |seen| look(seen, None)),
        }
    }

    /// Returns what has to be known of the entry that is there under an encoded key, as of the end of the log.
    pub(super) fn before(
        &self,
        snapshot: &Snapshot<'_>,
        namespace: u32,
        key: &[u8],
        hash: KeyHash,
    ) -> Result<Option<Before>, StoreError> {
        let count = |record: &Record<'_>| self.tables.counts_of(namespace, key, record);
        self.see(snapshot, namespace, key, hash, |seen, _| Before::of(seen, count, |_| false).0)
    }

    /// Shows the same as [`Lookup::see`], of the log alone; `None` where it has no operation of the key.
    pub(super) fn see_in_log<R>(
        &self,
        namespace: u32,
        key: &[u8],
        hash: KeyHash,
        look: impl FnOnce(Seen<'_>, Option<Location>) -> R,
    ) -> Result<Option<R>, StoreError> {
        let mut buffer = self.buffer.borrow_mut();
        let found = self.find_in_log(namespace, key, hash, &mut buffer)?;
        Ok(found.map(|found| found.show(&buffer, hash, |seen, at| look(seen, Some(at)))))
    }

    fn find_in_log(
        &self,
        namespace: u32,
        key: &[u8],
        hash: KeyHash,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Fetched>, StoreError> {
        match find(&self.index.words(), hash, &mut |at: Location| self.fetch(at, namespace, key, buffer)) {
            Found::Here(fetched) => Ok(Some(fetched)),
            Found::Absent { .. } => Ok(None),
            // The writer's own thread moves the view, so it never moves under its looks.
            Found::Over | Found::Unstable | Found::Unreadable { .. } => {
                error!(namespace, "an operation that the index names can't be read");
                Err(StoreError::Damaged)
            }
        }
    }

    /// Reads the operation at `at` and tells whether it is about the key: where it is, its kind, its body in `buffer`.
    fn fetch(&self, at: Location, namespace: u32, key: &[u8], buffer: &mut Vec<u8>) -> Candidate<Fetched> {
        let Some(operation) = self.read(at, buffer) else { return Candidate::Unreadable };
        if operation.namespace != namespace || operation.key != key {
            return Candidate::Other;
        }
        let start = datacache_proto::log::OPERATION_HEAD + operation.key.len();
        Candidate::Mine(Fetched { at, kind: operation.kind, body: start..start + operation.body.len() })
    }

    /// Fetches the operation at `at` into `buffer`; `None` where it is not there as a whole.
    fn read<'b>(&self, at: Location, buffer: &'b mut Vec<u8>) -> Option<Operation<'b>> {
        let segment = self.segment(at.segment)?;
        if let Some(bytes) = self.trail.read(at)
            && let Ok(length) = operation_length(bytes)
            && let Some(bytes) = bytes.get(..length)
        {
            buffer.clear();
            buffer.extend_from_slice(bytes);
            return Operation::decode(buffer, segment.header(), at.offset.bytes()).ok();
        }
        segment.read(at, buffer).ok()
    }

    /// Returns one of the two segments that readers may be sent to.
    pub(super) fn segment(&self, number: u64) -> Option<&Segment> {
        [Some(&self.active), self.applying.as_ref()].into_iter().flatten().find(|s| s.number() == number).map(|s| &**s)
    }

    fn see_in_index<R>(
        &self,
        snapshot: &Snapshot<'_>,
        namespace: u32,
        key: &[u8],
        hash: KeyHash,
        look: impl FnOnce(Seen<'_>) -> R,
    ) -> Result<R, StoreError> {
        let read = |source| StoreError::Read { source };
        let txn = snapshot.txn().map_err(read)?;
        let row = self.tables.entries.get(txn, &index_key(namespace, key)).map_err(read)?;
        Ok(look(row.map_or(Seen::Absent, |row| seen(row, hash))))
    }

    /// Returns how many records of the index name a blob.
    pub(super) fn references(&self, snapshot: &Snapshot<'_>, digest: &Digest) -> heed::Result<u64> {
        let row = self.tables.blobs.get(snapshot.txn()?, &digest.0)?.and_then(BlobRow::decode);
        Ok(row.map_or(0, |row| row.references))
    }

    /// Returns what the operation at `at` is about.
    pub(super) fn key_at(&self, at: Location) -> Option<(u32, Key)> {
        let mut buffer = self.buffer.borrow_mut();
        let operation = self.read(at, &mut buffer)?;
        Some((operation.namespace, Key::from_encoded(operation.key).ok()?))
    }

    /// Tells where in the log the newest operation of a key is, if it is there.
    pub(super) fn locate(&self, namespace: u32, key: &[u8], hash: KeyHash) -> Option<Location> {
        let mut buffer = self.buffer.borrow_mut();
        match find(&self.index.words(), hash, &mut |at: Location| self.fetch(at, namespace, key, &mut buffer)) {
            Found::Here(Fetched { at, .. }) => Some(at),
            _ => None,
        }
    }
}

/// Reads what is there under a key whose record has these bytes.
pub(super) fn seen(record: &[u8], hash: KeyHash) -> Seen<'_> {
    match Record::decode(record, hash.to_bits()) {
        Ok(record) => Seen::Entry(record),
        Err(_) => Seen::Damaged,
    }
}
