//! Checksums of a log, made right: without them nothing that a fuzzer changes would get past the first look. The layout is that
//! of `datacache_proto::log`.

use datacache_proto::log::{FRAME_HEAD, OPERATION_HEAD, SEGMENT_HEADER, SegmentHeader};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Makes the header's checksum right, where there is a whole header.
pub fn seal_header(bytes: &mut [u8]) {
    if bytes.len() >= SEGMENT_HEADER {
        let checksum = xxh3_64_with_seed(&bytes[..SEGMENT_HEADER - 8], 0);
        bytes[SEGMENT_HEADER - 8..SEGMENT_HEADER].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Makes a frame of all the bytes: length and checksums, its operations' included as far as they can be told apart.
pub fn seal_frame(bytes: &mut Vec<u8>, segment: &SegmentHeader, offset: u64) {
    bytes.resize(bytes.len().max(FRAME_HEAD).next_multiple_of(8), 0);
    let length = u32::try_from(bytes.len()).expect("inputs are small");
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    let mut at = FRAME_HEAD;
    while let Some(operation) = bytes.get_mut(at..).filter(|rest| rest.len() >= OPERATION_HEAD) {
        let length = u32::from_le_bytes(operation[8..12].try_into().expect("four bytes")) as usize;
        if !(OPERATION_HEAD..=operation.len()).contains(&length) {
            break;
        }
        let checksum = xxh3_64_with_seed(&operation[8..length], seed(segment, offset + at as u64));
        operation[..8].copy_from_slice(&checksum.to_le_bytes());
        at += length.next_multiple_of(8);
    }
    let head = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    let checksum = xxh3_64_with_seed(&bytes[16..], seed(segment, offset) ^ head);
    bytes[8..16].copy_from_slice(&checksum.to_le_bytes());
}

fn seed(segment: &SegmentHeader, offset: u64) -> u64 {
    let place = [segment.number.to_le_bytes(), offset.to_le_bytes()].concat();
    xxh3_64_with_seed(&place, segment.salt)
}
