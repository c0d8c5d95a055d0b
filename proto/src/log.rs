//! The framing of the log: how operations are laid out in frames and frames in segments, so that a reader can tell
//! what was written whole from everything else. Knows bytes only; files are the daemon's.
//!
//! ```text
//! segment    header (64 bytes), then frames, each at a multiple of 8
//!
//! header      0 magic u64 · 8 format u32 · 12 zero u32 · 16 number u64 · 24 store id u128 · 40 salt u64 · 48 zero u64
//!            56 checksum u64 of the 56 bytes before
//! frame       0 length u32 (with this head) · 4 operations u32 · 8 checksum u64 · 16 first seq u64 · 24 operations
//! operation   0 checksum u64 · 8 length u32 (with this head, without padding) · 12 kind u8 · 13 zero [3]
//!            16 seq u64 · 24 namespace u32 · 28 key length u32 · 32 key · body · zeros up to a multiple of 8
//! ```
//!
//! A frame is the unit of atomicity: it is there whole or not at all. Its checksum covers everything behind the
//! checksum, the operation's likewise; both are seeded with the segment's salt and number and their own offset, so that
//! a value which contains a copy of a log is never taken for one. An operation has a checksum of its own, beyond
//! what the frame needs, because the shared index points at operations: a reader fetches one key without
//! the rest of a batch that may be 8 MiB long.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The length of a segment's header; frames begin here.
pub const SEGMENT_HEADER: usize = 64;
/// The length of a frame's head.
pub const FRAME_HEAD: usize = 24;
/// The length of an operation's head.
pub const OPERATION_HEAD: usize = 32;
/// The longest frame in bytes (8 MiB).
pub const MAX_FRAME: usize = 8 << 20;
/// The most operations in a frame.
pub const MAX_OPERATIONS: usize = 16_384;

const MAGIC: u64 = u64::from_le_bytes(*b"dcache\x01L");
const FORMAT: u32 = 1;

/// The constant facts of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Its number; the first is 1.
    pub number: u64,
    /// The store it belongs to.
    pub store_id: u128,
    /// Random; seeds the checksums.
    pub salt: u64,
}

impl SegmentHeader {
    /// Returns the header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[0..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.store_id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = xxh3_64_with_seed(&bytes[..56], 0);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`LogError`] where it is cut short, damaged, or of a newer format.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        let bytes = bytes.get(..SEGMENT_HEADER).ok_or(LogError::Short)?;
        if u64_at(bytes, 0) != MAGIC || u64_at(bytes, 56) != xxh3_64_with_seed(&bytes[..56], 0) {
            return Err(LogError::Checksum);
        }
        match u32_at(bytes, 8) {
            FORMAT => Ok(Self {
                number: u64_at(bytes, 16),
                store_id: u128::from(u64_at(bytes, 24)) | u128::from(u64_at(bytes, 32)) << 64,
                salt: u64_at(bytes, 40),
            }),
            format => Err(LogError::Format { format }),
        }
    }

    /// Returns the seed of a checksum at `offset` of this segment.
    fn seed(&self, offset: u64) -> u64 {
        let mut place = [0; 16];
        place[..8].copy_from_slice(&self.number.to_le_bytes());
        place[8..].copy_from_slice(&offset.to_le_bytes());
        xxh3_64_with_seed(&place, self.salt)
    }
}

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
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        use Kind::{Delete, Lease, Put, Release, Reply, Touch, Verified};
        [Put, Delete, Touch, Lease, Release, Verified, Reply].into_iter().find(|kind| *kind as u8 == byte)
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

/// Bytes of a log that were not written whole, or not for this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// They end too early.
    #[error("the log is cut short")]
    Short,
    /// They are not what was written here.
    #[error("the log's checksum is wrong")]
    Checksum,
    /// A newer build wrote them.
    #[error("the log has format {format}, which this build does not know")]
    Format {
        /// The format.
        format: u32,
    },
    /// A field has no meaning.
    #[error("the log has a field without meaning")]
    Field,
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

    fn parse(bytes: &'a [u8]) -> Result<Self, LogError> {
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

/// A frame being built. One buffer serves frame after frame.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    bytes: Vec<u8>,
    /// Where each operation begins, from the start of the frame.
    starts: Vec<u32>,
    first_seq: u64,
}

impl FrameBuilder {
    /// Begins a new frame whose first operation has the number `first_seq`.
    pub fn begin(&mut self, first_seq: u64) {
        self.bytes.clear();
        self.bytes.resize(FRAME_HEAD, 0);
        self.starts.clear();
        self.first_seq = first_seq;
    }

    /// Returns the sequence number that the next operation gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.starts.len() as u64
    }

    /// Returns how many operations there are.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.starts.len()
    }

    /// Tells whether an operation with a key and body of `length` bytes still fits.
    #[must_use]
    pub fn has_room_for(&self, length: usize) -> bool {
        self.starts.len() < MAX_OPERATIONS && self.bytes.len() + padded(OPERATION_HEAD + length) <= MAX_FRAME
    }

    /// Appends an operation; `body` writes what the kind says. Returns where it begins in the frame.
    pub fn push(&mut self, kind: Kind, namespace: u32, key: &[u8], body: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let seq = self.next_seq();
        let start = self.bytes.len();
        self.bytes.resize(start + OPERATION_HEAD, 0);
        self.bytes.extend_from_slice(key);
        body(&mut self.bytes);
        let length = small(self.bytes.len() - start);
        self.bytes.resize(padded(self.bytes.len()), 0);
        let head = &mut self.bytes[start..start + OPERATION_HEAD];
        head[8..12].copy_from_slice(&length.to_le_bytes());
        head[12] = kind as u8;
        head[16..24].copy_from_slice(&seq.to_le_bytes());
        head[24..28].copy_from_slice(&namespace.to_le_bytes());
        head[28..32].copy_from_slice(&small(key.len()).to_le_bytes());
        self.starts.push(small(start));
        small(start)
    }

    /// Takes the operations from the `operations`th on back again: they belong to a command that was refused.
    pub fn truncate(&mut self, operations: usize) {
        if let Some(&start) = self.starts.get(operations) {
            self.bytes.truncate(start as usize);
            self.starts.truncate(operations);
        }
    }

    /// Returns the operation at `start`, as it will be read back, before any checksum is there.
    ///
    /// # Errors
    /// [`LogError::Field`] where no operation begins there.
    pub fn operation(&self, start: u32) -> Result<Operation<'_>, LogError> {
        let bytes = self.bytes.get(start as usize..).ok_or(LogError::Field)?;
        Operation::parse(bytes.get(..operation_length(bytes)?).ok_or(LogError::Field)?)
    }

    /// Returns the length of the frame as it stands.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Completes the frame for its place in a segment: fills in all checksums. Returns its bytes.
    pub fn seal(&mut self, segment: &SegmentHeader, offset: u64) -> &[u8] {
        for &start in &self.starts {
            let operation = &mut self.bytes[start as usize..];
            let length = u32_at(operation, 8) as usize;
            let seed = segment.seed(offset + u64::from(start));
            let checksum = xxh3_64_with_seed(&operation[8..length], seed);
            operation[..8].copy_from_slice(&checksum.to_le_bytes());
        }
        let length = small(self.bytes.len());
        self.bytes[0..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&small(self.starts.len()).to_le_bytes());
        self.bytes[16..24].copy_from_slice(&self.first_seq.to_le_bytes());
        let checksum = frame_checksum(&self.bytes, segment, offset);
        self.bytes[8..16].copy_from_slice(&checksum.to_le_bytes());
        &self.bytes
    }
}

/// Covers length and count too, which stand before the checksum, by making them part of the seed.
fn frame_checksum(frame: &[u8], segment: &SegmentHeader, offset: u64) -> u64 {
    xxh3_64_with_seed(&frame[16..], segment.seed(offset) ^ u64_at(frame, 0))
}

/// A frame read in place.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The sequence number of its first operation.
    pub first_seq: u64,
    /// How many operations it has.
    pub operations: u32,
    bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame at `offset` of a segment from `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// [`LogError`] where it is not a frame that was written whole at this very place.
    pub fn decode(bytes: &'a [u8], segment: &SegmentHeader, offset: u64) -> Result<Self, LogError> {
        let head = bytes.get(..FRAME_HEAD).ok_or(LogError::Short)?;
        let length = usize::try_from(u32_at(head, 0)).map_err(|_| LogError::Field)?;
        if !(FRAME_HEAD..=MAX_FRAME).contains(&length) || length % 8 != 0 {
            return Err(LogError::Field);
        }
        let bytes = bytes.get(..length).ok_or(LogError::Short)?;
        if u64_at(head, 8) != frame_checksum(bytes, segment, offset) {
            return Err(LogError::Checksum);
        }
        Ok(Self { first_seq: u64_at(head, 16), operations: u32_at(head, 4), bytes })
    }

    /// Returns the frame's length in bytes: the next one begins that much further on.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Returns its operations in their order, each with where it begins in the frame.
    pub fn iter(&self) -> impl Iterator<Item = Result<(u32, Operation<'a>), LogError>> + use<'a> {
        let bytes = self.bytes;
        let mut at = FRAME_HEAD;
        (0..self.operations).map(move |_| {
            let rest = bytes.get(at..).ok_or(LogError::Field)?;
            let length = operation_length(rest)?;
            let operation = Operation::parse(rest.get(..length).ok_or(LogError::Field)?)?;
            let start = small(at);
            at += padded(length);
            Ok((start, operation))
        })
    }
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

fn small(length: usize) -> u32 {
    u32::try_from(length).expect("frames are at most 8 MiB and a little")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were cut"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were cut"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentHeader = SegmentHeader { number: 3, store_id: 0x1234_5678_9abc, salt: 99 };

    fn frame(offset: u64) -> Vec<u8> {
        let mut builder = FrameBuilder::default();
        builder.begin(40);
        builder.push(Kind::Put, 1, b"\x01key", |out| out.extend_from_slice(b"a record"));
        builder.push(Kind::Delete, 2, b"\x01other", |_| ());
        builder.seal(&SEGMENT, offset).to_vec()
    }

    #[test]
    fn a_frame_comes_back_as_it_went_in() {
        let bytes = frame(64);
        let frame = Frame::decode(&bytes, &SEGMENT, 64).unwrap();
        assert_eq!((frame.first_seq, frame.length() % 8), (40, 0));
        let operations: Vec<_> = frame.iter().map(Result::unwrap).collect();
        assert_eq!(
            operations[0].1,
            Operation { kind: Kind::Put, seq: 40, namespace: 1, key: b"\x01key", body: b"a record" }
        );
        assert_eq!(
            operations[1].1,
            Operation { kind: Kind::Delete, seq: 41, namespace: 2, key: b"\x01other", body: b"" }
        );
    }

    #[test]
    fn an_operation_can_be_fetched_without_its_frame() {
        let bytes = frame(64);
        for (start, operation) in Frame::decode(&bytes, &SEGMENT, 64).unwrap().iter().map(Result::unwrap) {
            let fetched = Operation::decode(&bytes[start as usize..], &SEGMENT, 64 + u64::from(start)).unwrap();
            assert_eq!(fetched, operation);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_frame_is_found() {
        let bytes = frame(64);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&damaged, &SEGMENT, 64).is_err(), "bit {bit} may flip unseen");
        }
        for length in 0..bytes.len() {
            assert!(Frame::decode(&bytes[..length], &SEGMENT, 64).is_err(), "a cut at {length} goes unseen");
        }
    }

    #[test]
    fn a_frame_at_another_place_is_not_taken_for_one() {
        let bytes = frame(64);
        let foreign =
            [(SEGMENT, 72), (SegmentHeader { number: 4, ..SEGMENT }, 64), (SegmentHeader { salt: 98, ..SEGMENT }, 64)];
        for (segment, offset) in foreign {
            assert_eq!(Frame::decode(&bytes, &segment, offset).unwrap_err(), LogError::Checksum);
            let operation = Operation::decode(&bytes[FRAME_HEAD..], &segment, offset + FRAME_HEAD as u64);
            assert_eq!(operation.unwrap_err(), LogError::Checksum);
        }
    }

    #[test]
    fn a_refused_command_leaves_no_trace_in_the_frame() {
        let mut builder = FrameBuilder::default();
        builder.begin(1);
        builder.push(Kind::Delete, 1, b"\x01a", |_| ());
        let before = builder.length();
        builder.push(Kind::Delete, 1, b"\x01b", |_| ());
        builder.truncate(1);
        assert_eq!((builder.length(), builder.operations(), builder.next_seq()), (before, 1, 2));
    }

    #[test]
    fn a_header_comes_back_and_a_damaged_one_does_not() {
        let bytes = SEGMENT.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(SEGMENT));
        for at in 0..SEGMENT_HEADER {
            let mut damaged = bytes;
            damaged[at] ^= 0x10;
            assert!(SegmentHeader::decode(&damaged).is_err(), "byte {at} may change unseen");
        }
    }

    #[test]
    fn a_frame_is_full_at_its_limits() {
        let mut builder = FrameBuilder::default();
        builder.begin(1);
        assert!(!builder.has_room_for(MAX_FRAME));
        for _ in 0..MAX_OPERATIONS {
            assert!(builder.has_room_for(2));
            builder.push(Kind::Delete, 1, b"\x01a", |_| ());
        }
        assert!(!builder.has_room_for(2));
    }
}
