//! The next whole frame behind one that is damaged. Within a boot nothing of the log is lost but by damage: what stands behind it was
//! acknowledged, and is as good as ever. After another boot a frame behind a gap may be one that an earlier one was lost before, and
//! must not be there without it.

use std::io;

use datacache_proto::log::{FRAME_HEAD, Frame, MAX_OPERATIONS};

use super::segment::Segment;

/// How far ahead of what is applied a frame's number may be: as many operations as two segments ever hold.
const FAR: u64 = 1 << 24;

/// Returns where the next frame begins that was written whole, behind `damaged`, the place of one that is not; its operations follow
/// `applied`, with a gap or without.
pub(super) fn next_frame(segment: &Segment, damaged: u64, applied: u64) -> io::Result<Option<u64>> {
    let from = damaged + 8;
    let rest = segment.rest(from)?;
    let found = (0..rest.len()).step_by(8).find(|&at| {
        let offset = from + at as u64;
        may_be_frame(&rest[at..], applied) && Frame::decode(&rest[at..], segment.header(), offset).is_ok()
    });
    Ok(found.map(|at| from + at as u64))
}

/// Looks at numbers only, before a checksum is counted over what may be megabytes.
fn may_be_frame(bytes: &[u8], applied: u64) -> bool {
    let Some(head) = bytes.first_chunk::<FRAME_HEAD>() else { return false };
    let operations = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let mut seq = [0; 8];
    seq.copy_from_slice(&head[16..24]);
    let ahead = u64::from_le_bytes(seq).wrapping_sub(applied);
    (1..=MAX_OPERATIONS).contains(&(operations as usize)) && (1..FAR).contains(&ahead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::log::{FrameBuilder, Kind, SegmentHeader};

    const HEADER: SegmentHeader = SegmentHeader { number: 5, store_id: 1, salt: 2 };

    /// Makes a segment with frames of one operation each, and returns where they begin.
    fn segment(folder: &tempfile::TempDir) -> (Segment, Vec<u64>) {
        let segment = Segment::create(folder.path(), HEADER).unwrap();
        let mut at = 64;
        let mut begins = Vec::new();
        for seq in 1..=5 {
            let mut builder = FrameBuilder::default();
            builder.begin(seq);
            // A value that holds a copy of a log, as it may.
            let before = segment.rest(64).unwrap();
            builder.push(Kind::Put, 1, b"\x01a", |out| out.extend_from_slice(&before));
            let frame = builder.seal(&HEADER, at);
            segment.append(frame, at).unwrap();
            begins.push(at);
            at += frame.len() as u64;
        }
        (segment, begins)
    }

    #[test]
    fn the_frame_behind_a_damaged_one_is_found_and_no_copy_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let (segment, begins) = segment(&folder);
        for (damaged, next) in begins.iter().zip(&begins[1..]) {
            assert_eq!(next_frame(&segment, *damaged, 0).unwrap(), Some(*next));
        }
        assert_eq!(next_frame(&segment, begins[4], 0).unwrap(), None);
        assert_eq!(next_frame(&segment, begins[0], 2).unwrap(), Some(begins[2]), "what is applied is passed over");
    }
}
