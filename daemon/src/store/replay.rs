//! Reading a segment into the index: the same for the segment that was just rotated out and for what a daemon left
//! behind when it died.

use std::io;

use datacache_proto::layout::segment_name;
use datacache_proto::log::{Frame, Kind, LogError, Operation, SEGMENT_HEADER};
use datacache_proto::recent::KeyHash;
use datacache_proto::record::{Record, Value};
use heed::MdbError;
use tracing::{error, info, warn};

use super::apply::{Committed, Slice};
use super::blob::BlobStore;
use super::error::{StoreError, is_full};
use super::failpoint::failpoint;
use super::salvage::next_frame;
use super::segment::{ReadError, Segment};
use super::tables::Tables;

/// How many operations a transaction has, as far as whole frames allow and with few tags, while the store is in use. LMDB gives the page buffers of its
/// largest transaction back only when it is closed: 65,536 operations at once left 227 MB of private memory, 2,000 leave 19 MB
/// and 1,000 leave 14, at the same rate (random keys, 10^6 entries).
pub(super) const SLICE: usize = 1_000;

/// The same at least, however little room there is.
pub(super) const LEAST_SLICE: usize = 16;

/// Why a segment was not applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    /// The index refused.
    #[error("failed to write the index")]
    Index {
        #[from]
        source: heed::Error,
    },
    /// A blob that the index is about to name could not be made durable, or looked at.
    #[error("failed to reach a blob")]
    Blob { source: io::Error },
    /// The segment could not be read.
    #[error("failed to read segment {}", segment_name(*.segment))]
    Segment { segment: u64, source: ReadError },
}

/// How segments are read into the index.
pub(super) struct Replay<'r> {
    pub(super) tables: &'r Tables,
    pub(super) blobs: &'r BlobStore,
    /// Whether a power cut may have taken blobs that the log names: after another boot.
    pub(super) check_blobs: bool,
    /// Whether what stands behind a damaged frame is good: within a boot.
    pub(super) salvage: bool,
    /// How many operations a transaction has, as far as whole frames allow.
    pub(super) slice: usize,
}

impl Replay<'_> {
    /// Applies the frames of `segment` that follow what the index has; `committed` hears of each transaction.
    ///
    /// With `end`, everything before it must be readable; without, the segment ends at the first frame that was not
    /// written whole or does not follow, unless what is behind it is to be salvaged. Afterwards the index starts at `first_segment`.
    pub(super) fn segment(
        &self,
        segment: &Segment,
        end: Option<u64>,
        first_segment: u64,
        mut committed: impl FnMut(Committed),
    ) -> Result<(), ReplayError> {
        let number = segment.number();
        let (mut at, mut buffer) = (SEGMENT_HEADER as u64, Vec::new());
        let mut slice = Slice::begin(self.tables)?;
        while end.is_none_or(|end| at < end) {
            let frame = match segment.read_frame(at, &mut buffer) {
                Ok(frame) => frame,
                Err(ReadError::Bytes { source }) if end.is_none() => {
                    match self.next_frame(segment, at, slice.applied())? {
                        Some(next) => {
                            at = next;
                            continue;
                        }
                        None => {
                            report_end(number, at, source);
                            break;
                        }
                    }
                }
                Err(source) => return Err(ReplayError::Segment { segment: number, source }),
            };
            at += frame.length() as u64;
            let last = frame.first_seq + u64::from(frame.operations) - 1;
            if last <= slice.applied() {
                continue;
            }
            if self.salvage && frame.first_seq > slice.applied() + 1 {
                let lost = frame.first_seq - slice.applied() - 1;
                error!(
                    segment = number,
                    lost, "the log is damaged: operations are lost; their keys are as they were before"
                );
                slice.skip_to(frame.first_seq);
            }
            if frame.first_seq != slice.applied() + 1 {
                warn!(segment = number, "the log has a gap; what is behind it is dropped");
                break;
            }
            if slice.weight() > 0 && slice.weight() + frame.operations as usize > self.slice {
                committed(self.commit(slice, number)?);
                failpoint!(SegmentHalfApplied);
                slice = Slice::begin(self.tables)?;
            }
            self.frame(&frame, &mut slice, number)?;
        }
        committed(self.commit(slice, first_segment)?);
        Ok(())
    }

    fn next_frame(&self, segment: &Segment, at: u64, applied: u64) -> Result<Option<u64>, ReplayError> {
        let found = if self.salvage { next_frame(segment, at, applied) } else { Ok(None) };
        found.map_err(|source| ReplayError::Segment { segment: segment.number(), source: source.into() })
    }

    fn frame(&self, frame: &Frame<'_>, slice: &mut Slice<'_>, segment: u64) -> Result<(), ReplayError> {
        for operation in frame.iter() {
            let (_, operation) = operation.map_err(|source| ReplayError::Segment { segment, source: source.into() })?;
            if self.check_blobs && !self.has_its_blob(&operation)? {
                warn!(seq = operation.seq, "a value was lost with the power; its entry is dropped");
                slice.apply_as_delete(&operation)?;
            } else {
                slice.apply(&operation)?;
            }
        }
        Ok(())
    }

    /// Tells callers why a segment was not applied.
    pub(super) fn told(&self, error: ReplayError) -> StoreError {
        let folder = || self.blobs.folder().to_owned();
        match error {
            ReplayError::Index { source: heed::Error::Io(source) } if self.tables.room.was_missing(&source) => {
                StoreError::NoSpace { folder: folder() }
            }
            ReplayError::Blob { source } if is_full(&source) => StoreError::NoSpace { folder: folder() },
            ReplayError::Index { source: heed::Error::Mdb(MdbError::MapFull) } => {
                StoreError::IndexFull { limit: self.tables.env.info().map_size as u64 }
            }
            ReplayError::Index { source: heed::Error::Mdb(error) } => {
                StoreError::ApplyFailed { errno: Some(error.to_err_code()) }
            }
            ReplayError::Index { source: heed::Error::Io(source) }
            | ReplayError::Blob { source }
            | ReplayError::Segment { source: ReadError::Io { source }, .. } => {
                StoreError::ApplyFailed { errno: source.raw_os_error() }
            }
            ReplayError::Index { .. } | ReplayError::Segment { .. } => StoreError::ApplyFailed { errno: None },
        }
    }

    fn has_its_blob(&self, operation: &Operation<'_>) -> Result<bool, ReplayError> {
        if !matches!(operation.kind, Kind::Put | Kind::Touch) {
            return Ok(true);
        }
        let seed = KeyHash::of(operation.namespace, operation.key).to_bits();
        match Record::decode(operation.body, seed).map(|record| record.value) {
            Ok(Value::Blob { length, digest }) => {
                self.blobs.is_sound(&digest, length).map_err(|source| ReplayError::Blob { source })
            }
            _ => Ok(true),
        }
    }

    fn commit(&self, slice: Slice<'_>, first_segment: u64) -> Result<Committed, ReplayError> {
        // IMPORTANT: before the commit. An index on the disk that names a blob which is not is what a power cut would leave.
        self.blobs.sync(slice.named()).map_err(|source| ReplayError::Blob { source })?;
        failpoint!(SliceReady);
        let committed = slice.commit(first_segment, first_segment + 1)?;
        failpoint!(SliceCommitted);
        Ok(committed)
    }
}

fn report_end(segment: u64, at: u64, source: LogError) {
    if source == LogError::Checksum {
        info!(segment, at, "the last write to the log was cut short");
    }
}
