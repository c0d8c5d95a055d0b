//! A segment's header, and a frame with the operations in it. The first byte tells which checksums are made right.

#![no_main]

use datacache_fuzz::segment::{seal_frame, seal_header};
use datacache_proto::log::{FRAME_HEAD, Frame, MAX_OPERATIONS, Operation, SegmentHeader};
use libfuzzer_sys::fuzz_target;

const SEGMENT: SegmentHeader = SegmentHeader { number: 3, store_id: 0x1234_5678_9abc, salt: 99 };
const OFFSET: u64 = 4096;

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if how & 2 == 2 {
        check_header(bytes, how);
        return;
    }
    if how & 1 == 1 {
        seal_frame(&mut bytes, &SEGMENT, OFFSET);
    }
    check_operation(&bytes);
    let Ok(frame) = Frame::decode(&bytes, &SEGMENT, OFFSET) else { return };
    assert!(Frame::decode(&bytes, &SEGMENT, OFFSET + 8).is_err(), "a frame of another place");
    assert!(frame.length() <= bytes.len() && frame.operations as usize <= MAX_OPERATIONS);
    for (number, operation) in (0..).zip(frame.iter()) {
        let Ok((start, operation)) = operation else { break };
        assert_eq!(operation.seq, frame.first_seq + number, "operations are numbered without a gap");
        assert!(start as usize >= FRAME_HEAD && start as usize + operation.key.len() <= frame.length());
    }
});

fn check_header(mut bytes: Vec<u8>, how: u8) {
    if how & 1 == 1 {
        seal_header(&mut bytes);
    }
    if let Ok(header) = SegmentHeader::decode(&bytes) {
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }
}

fn check_operation(bytes: &[u8]) {
    let Some(bytes) = bytes.get(FRAME_HEAD..) else { return };
    if let Ok(operation) = Operation::decode(bytes, &SEGMENT, OFFSET + FRAME_HEAD as u64) {
        assert!(operation.key.len() + operation.body.len() <= bytes.len());
    }
}
