//! The end of the log in memory. The writer looks up every entry that it replaces, most often one that it appended lately; to ask
//! the system for those bytes costs as much as to append the new ones.

use datacache_proto::recent::Location;

/// How many bytes are kept, at most.
const KEPT: usize = 4 << 20;

/// The last bytes that were appended to the active segment.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// The byte at an offset of the segment lies at that offset modulo [`KEPT`]. Empty until something is appended.
    ring: Vec<u8>,
    segment: u64,
    /// What is kept of the segment: from here ...
    begin: u64,
    /// ... to here.
    end: u64,
}

impl Trail {
    /// Notes a frame that was appended to a segment at `offset`.
    pub(super) fn append(&mut self, segment: u64, offset: u64, frame: &[u8]) {
        if segment != self.segment || offset != self.end || frame.len() > KEPT {
            *self = Self { segment, begin: offset, end: offset, ring: std::mem::take(&mut self.ring) };
        }
        if frame.len() > KEPT {
            return;
        }
        if self.ring.is_empty() {
            // Memory is taken as it is written to.
            self.ring = vec![0; KEPT];
        }
        let at = place(offset);
        let (first, rest) = frame.split_at(frame.len().min(KEPT - at));
        self.ring[at..at + first.len()].copy_from_slice(first);
        self.ring[..rest.len()].copy_from_slice(rest);
        self.end = offset + frame.len() as u64;
        self.begin = self.begin.max(self.end.saturating_sub(KEPT as u64));
    }

    /// Returns the bytes from a location on, as far as they lie in one piece; `None` where they are not kept.
    pub(super) fn read(&self, at: Location) -> Option<&[u8]> {
        let offset = at.offset.bytes();
        if at.segment != self.segment || !(self.begin..self.end).contains(&offset) {
            return None;
        }
        let (from, to) = (place(offset), place(self.end));
        Some(&self.ring[from..if from < to { to } else { KEPT }])
    }

    /// Forgets everything, and gives its memory back.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset % KEPT as u64).expect("it is below `KEPT`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::recent::Offset;

    fn at(segment: u64, offset: u64) -> Location {
        Location { segment, offset: Offset::from_bytes(offset).unwrap() }
    }

    /// A frame of 8-byte words, each its own offset in the segment.
    fn frame(offset: u64, length: u64) -> Vec<u8> {
        (offset..offset + length).step_by(8).flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn what_was_appended_last_is_read_back_and_what_is_overwritten_is_not() {
        let (mut trail, kept) = (Trail::default(), KEPT as u64);
        let (mut end, length) = (64, 1_000 * 8);
        while end < 3 * kept {
            trail.append(5, end, &frame(end, length));
            end += length;
            for offset in (8..end).step_by(40_000).chain([end - 8, end.saturating_sub(kept).max(8)]) {
                let read = trail.read(at(5, offset)).map(|bytes| *bytes.first_chunk().unwrap());
                let is_kept = (64..end).contains(&offset) && offset + kept >= end;
                assert_eq!(read.map(u64::from_le_bytes), is_kept.then_some(offset), "{offset} of {end}");
            }
            assert_eq!(trail.read(at(5, end)), None);
        }
        // In one piece to the end, or to where the ring begins anew.
        let pieces = [end - 800, 3 * kept - 16].map(|offset| trail.read(at(5, offset)).unwrap().len());
        assert_eq!(pieces, [800, 16]);
    }

    #[test]
    fn only_one_segment_without_gaps_is_kept() {
        let mut trail = Trail::default();
        trail.append(5, 64, &frame(64, 80));
        trail.append(5, 200, &frame(200, 80));
        assert_eq!((trail.read(at(5, 64)), trail.read(at(5, 200)).map(<[u8]>::len)), (None, Some(80)));
        trail.append(6, 64, &frame(64, 80));
        assert_eq!((trail.read(at(5, 200)), trail.read(at(6, 64)).map(<[u8]>::len)), (None, Some(80)));
        trail.append(6, 144, &frame(144, KEPT as u64 + 8));
        assert_eq!((trail.read(at(6, 64)), trail.read(at(6, 144))), (None, None));
        trail.append(6, 144, &frame(144, 8));
        assert!(trail.read(at(6, 144)).is_some());
        trail.clear();
        assert_eq!(trail.read(at(6, 144)), None);
    }
}
