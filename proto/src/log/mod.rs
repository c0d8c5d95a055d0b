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

mod frame;
mod header;
mod operation;

pub use frame::{Frame, FrameBuilder};
pub use header::SegmentHeader;
pub use operation::{Kind, Operation, operation_length};

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
