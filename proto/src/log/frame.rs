//! Operations that are there together or not at all: building frames and reading them.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    FRAME_HEAD, Kind, LogError, MAX_FRAME, MAX_OPERATIONS, OPERATION_HEAD, Operation, SegmentHeader, operation_length,
    padded, small, u32_at, u64_at,
};

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
        let (first_seq, operations) = (u64_at(head, 16), u32_at(head, 4));
        // Of none, or of so many, is no frame that was ever sealed.
        let is_filled = (1..=MAX_OPERATIONS).contains(&(operations as usize));
        if !is_filled || first_seq.checked_add(u64::from(operations)).is_none() {
            return Err(LogError::Field);
        }
        Ok(Self { first_seq, operations, bytes })
    }

    /// Returns the frame's length in bytes: the next one begins that much further on.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Returns its operations in their order, each with where it begins in the frame. They are numbered from
    /// [`Frame::first_seq`] on; one that is not is an error.
    pub fn iter(&self) -> impl Iterator<Item = Result<(u32, Operation<'a>), LogError>> + use<'a> {
        let (bytes, first_seq) = (self.bytes, self.first_seq);
        let mut at = FRAME_HEAD;
        (0..self.operations).map(move |number| {
            let rest = bytes.get(at..).ok_or(LogError::Field)?;
            let length = operation_length(rest)?;
            let operation = Operation::parse(rest.get(..length).ok_or(LogError::Field)?)?;
            if operation.seq != first_seq + u64::from(number) {
                return Err(LogError::Field);
            }
            let start = small(at);
            at += padded(length);
            Ok((start, operation))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentHeader = SegmentHeader { number: 3, store_id: 0x1234_5678_9abc, salt: 99 };

    fn builder(first_seq: u64, operations: usize) -> FrameBuilder {
        let mut builder = FrameBuilder::default();
        builder.begin(first_seq);
        for _ in 0..operations {
            builder.push(Kind::Delete, 1, b"\x01k", |_| ());
        }
        builder
    }

    /// Who reads a frame counts with the number of its last operation.
    #[test]
    fn a_frame_whose_operations_can_not_be_counted_is_none() {
        let decoded = |first_seq, operations| {
            let mut builder = builder(first_seq, operations);
            Frame::decode(builder.seal(&SEGMENT, 64), &SEGMENT, 64).map(|frame| frame.operations)
        };
        assert_eq!((decoded(1, 1), decoded(u64::MAX - 1, 1)), (Ok(1), Ok(1)));
        assert_eq!(decoded(0, 0), Err(LogError::Field));
        assert_eq!(decoded(1, MAX_OPERATIONS + 1), Err(LogError::Field));
        let mut last = builder(u64::MAX - 1, 1);
        last.first_seq = u64::MAX;
        assert_eq!(Frame::decode(last.seal(&SEGMENT, 64), &SEGMENT, 64).unwrap_err(), LogError::Field);
    }

    #[test]
    fn an_operation_that_does_not_follow_the_one_before_is_an_error() {
        let mut builder = builder(40, 2);
        builder.first_seq = 41;
        let frame = Frame::decode(builder.seal(&SEGMENT, 64), &SEGMENT, 64).unwrap();
        assert_eq!(frame.iter().next(), Some(Err(LogError::Field)));
    }
}
