//! The segments of the log as readers have them: the two that may be looked at, open, and one operation fetched at a time.
//!
//! By `pread` and not through a map: the daemon empties a segment when it is done with it, and a reader that comes too late
//! gets a short read instead of a SIGBUS.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use datacache_proto::layout::{LOG, segment_name};
use datacache_proto::log::{Operation, SEGMENT_HEADER, SegmentHeader, operation_length};
use datacache_proto::recent::Location;
use rustix::fs::OFlags;

/// How much is fetched at first: most operations are shorter.
const NEAR: usize = 1_024;

/// The log of a generation.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    store: u128,
    /// Segment n is at n mod 2. Replaced when another is asked for, and closed when its last reader is done.
    open: [ArcSwapOption<Segment>; 2],
}

/// An open segment.
#[derive(Debug)]
struct Segment {
    file: File,
    header: SegmentHeader,
}

/// The bytes of the operation that was fetched last; no memory of its own is allocated for a short one.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    near: Option<[u8; NEAR]>,
    /// Empty while `near` has it all.
    far: Vec<u8>,
}

impl Buffer {
    /// Returns the bytes, and what may stand behind them.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.near {
            Some(near) if self.far.is_empty() => near,
            _ => &self.far,
        }
    }
}

impl Segments {
    /// Looks at the log of the generation in a folder. Opens nothing yet.
    pub(super) fn of(generation: &Path, store: u128) -> Self {
        Self { folder: generation.join(LOG), store, open: Default::default() }
    }

    /// Fetches the operation at `at` into `buffer`; `None` where no whole operation can be read there.
    #[inline]
    pub(super) fn read<'b>(&self, at: Location, buffer: &'b mut Buffer) -> Option<Operation<'b>> {
        let cached = self.open[(at.segment & 1) as usize].load();
        match &*cached {
            Some(segment) if segment.header.number == at.segment => segment.read(at.offset.bytes(), buffer),
            _ => {
                drop(cached);
                self.open(at.segment)?.as_ref()?.read(at.offset.bytes(), buffer)
            }
        }
    }

    /// Opens a segment in the place of the one before the last.
    #[cold]
    fn open(&self, number: u64) -> Option<Guard<Option<Arc<Segment>>>> {
        let segment = Arc::new(Segment::open(&self.folder.join(segment_name(number)), number, self.store)?);
        self.open[(number & 1) as usize].store(Some(Arc::clone(&segment)));
        Some(Guard::from_inner(Some(segment)))
    }
}

impl Segment {
    /// Opens the file, if it is this segment of this store.
    fn open(path: &Path, number: u64, store: u128) -> Option<Self> {
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
        let mut bytes = [0; SEGMENT_HEADER];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let header = SegmentHeader::decode(&bytes).ok()?;
        (header.number == number && header.store_id == store).then_some(Self { file, header })
    }

    fn read<'b>(&self, offset: u64, buffer: &'b mut Buffer) -> Option<Operation<'b>> {
        let near = buffer.near.get_or_insert([0; NEAR]);
        let have = read_up_to(&self.file, near, offset).ok()?;
        let length = operation_length(&near[..have]).ok()?;
        buffer.far.clear();
        if length <= have {
            return Operation::decode(&near[..have], &self.header, offset).ok();
        }
        buffer.far.extend_from_slice(&near[..have]);
        buffer.far.resize(length, 0);
        self.file.read_exact_at(&mut buffer.far[have..], offset + have as u64).ok()?;
        Operation::decode(&buffer.far, &self.header, offset).ok()
    }
}

/// Fills `buffer` as far as the file goes. One call of the system does it, except where a signal comes in between.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::log::{FrameBuilder, Kind};
    use datacache_proto::recent::Offset;
    use std::fs;

    const STORE: u128 = 7;

    struct Log(tempfile::TempDir);

    impl Log {
        fn new() -> Self {
            let log = Self(tempfile::tempdir().unwrap());
            fs::create_dir(log.0.path().join(LOG)).unwrap();
            log
        }

        fn path(&self, number: u64) -> PathBuf {
            self.0.path().join(LOG).join(segment_name(number))
        }

        /// Writes a segment with puts whose bodies have these lengths; returns where each is.
        fn write(&self, number: u64, store_id: u128, bodies: &[usize]) -> Vec<Location> {
            let header = SegmentHeader { number, store_id, salt: number };
            let mut frame = FrameBuilder::default();
            frame.begin(1);
            let starts: Vec<u64> = bodies
                .iter()
                .map(|&length| frame.push(Kind::Put, 1, b"\x01k", |out| out.resize(out.len() + length, 9)).into())
                .collect();
            let mut bytes = header.encode().to_vec();
            bytes.extend_from_slice(frame.seal(&header, SEGMENT_HEADER as u64));
            fs::write(self.path(number), bytes).unwrap();
            let at = |start| Offset::from_bytes(SEGMENT_HEADER as u64 + start).unwrap();
            starts.into_iter().map(|start| Location { segment: number, offset: at(start) }).collect()
        }
    }

    #[test]
    fn operations_of_any_length_are_fetched() {
        let log = Log::new();
        let lengths = [0, 1, NEAR - 40, NEAR, 1, 40_000, 3];
        let locations = log.write(4, STORE, &lengths);
        let (segments, mut buffer) = (Segments::of(log.0.path(), STORE), Buffer::default());
        for (at, length) in locations.into_iter().zip(lengths) {
            let operation = segments.read(at, &mut buffer).unwrap();
            assert_eq!((operation.body.len(), operation.key), (length, &b"\x01k"[..]));
            let end = 32 + 2 + length;
            assert!(buffer.bytes().len() >= end && buffer.bytes()[34..end].iter().all(|byte| *byte == 9), "{length}");
        }
    }

    #[test]
    fn a_segment_of_another_store_is_not_read() {
        let log = Log::new();
        let at = log.write(4, STORE + 1, &[1])[0];
        assert!(Segments::of(log.0.path(), STORE).read(at, &mut Buffer::default()).is_none());
    }

    #[test]
    fn a_segment_that_was_removed_is_a_short_read_and_the_next_takes_its_place() {
        let log = Log::new();
        let first = log.write(4, STORE, &[5])[0];
        let segments = Segments::of(log.0.path(), STORE);
        let mut buffer = Buffer::default();
        assert!(segments.read(first, &mut buffer).is_some());
        File::options().write(true).truncate(true).open(log.path(4)).unwrap();
        fs::remove_file(log.path(4)).unwrap();
        assert!(segments.read(first, &mut buffer).is_none());
        let next = log.write(6, STORE, &[6])[0];
        assert_eq!(segments.read(next, &mut buffer).unwrap().body.len(), 6);
        assert!(segments.read(first, &mut buffer).is_none(), "it is neither open nor there");
    }
}
