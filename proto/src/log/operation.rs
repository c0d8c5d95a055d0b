//! One change of the store, as the log has it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{LogError, MAX_FRAME, OPERATION_HEAD, SegmentHeader, u32_at, u64_at};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Stores a record under a key. Body: the record.
    Put = 1,
    /// Removes the entry of a key: a tombstone. No body.
    Delete = 2,
    /// Stores a record of the same content with another expiry. Body: the record.
    Touch = 3,
    /// Binds a version of an entry to a scope. Body: version, scope, boot, pid, start.
    Lease = 4,
    /// Ends a scope's lease of a version. Body: version, scope.
    Release = 5,
    /// Notes that a blob has the content its name says. Body: its SHA-256. No key.
    Verified = 6,
    /// Keeps the reply of a call. Body: client, number, reply. No key.
    Reply = 7,
    /// Gives an entry another place in the eviction's queues, if it still has that birth. Body: birth, queue, note.
    Keep = 8,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        use Kind::{Delete, Keep, Lease, Put, Release, Reply, Touch, Verified};
        [Put, Delete, Touch, Lease, Release, Verified, Reply, Keep].into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Tells whether it decides what a reader of its key finds, and so has a slot in the shared index.
    #[must_use]
    pub fn decides(self) -> bool {
        matches!(self, Self::Put | Self::Delete | Self::Touch)
    }
}

/// An operation read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation<'a> {
    /// What it does.
    pub kind: Kind,
    /// Its sequence number; the operations of a store are numbered without a gap.
    pub seq: u64,
    /// The namespace's number.
    pub namespace: u32,
    /// The encoded key; empty where the kind has none.
    pub key: &'a [u8],
    /// What the kind says.
    pub body: &'a [u8],
}

/// Returns the length of the operation that `head` begins, so that a reader knows how much to fetch.
///
/// # Errors
/// Where `head` is shorter than [`OPERATION_HEAD`] or tells an impossible length.
pub fn operation_length(head: &[u8]) -> Result<usize, LogError> {
    let head = head.get(..OPERATION_HEAD).ok_or(LogError::Short)?;
    let length = usize::try_from(u32_at(head, 8)).map_err(|_| LogError::Field)?;
    if (OPERATION_HEAD..=MAX_FRAME).contains(&length) { Ok(length) } else { Err(LogError::Field) }
}

impl<'a> Operation<'a> {
    /// Reads the operation at `offset` of a segment from `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// [`LogError`] where it is not an operation that was written whole at this very place.
    pub fn decode(bytes: &'a [u8], segment: &SegmentHeader, offset: u64) -> Result<Self, LogError> {
        let bytes = bytes.get(..operation_length(bytes)?).ok_or(LogError::Short)?;
        if u64_at(bytes, 0) != xxh3_64_with_seed(&bytes[8..], segment.seed(offset)) {
            return Err(LogError::Checksum);
        }
        Self::parse(bytes)
    }

    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, LogError> {
        let key_length = usize::try_from(u32_at(bytes, 28)).map_err(|_| LogError::Field)?;
        let (key, body) = bytes[OPERATION_HEAD..].split_at_checked(key_length).ok_or(LogError::Field)?;
        Ok(Self {
            kind: Kind::from_byte(bytes[12]).ok_or(LogError::Field)?,
            seq: u64_at(bytes, 16),
            namespace: u32_at(bytes, 24),
            key,
            body,
        })
    }
}
