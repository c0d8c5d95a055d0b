//! One segment of the log as a file: made once, appended to at its end, read anywhere, emptied and removed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use datacache_proto::layout::segment_name;
use datacache_proto::log::{Frame, LogError, Operation, SEGMENT_HEADER, SegmentHeader, operation_length};
use datacache_proto::recent::Location;

use super::error::is_full;
use super::failpoint::failpoint;
use super::shared::allocate;

/// How much a reader of one operation fetches at first: most are shorter.
const FIRST_READ: usize = 1024;

/// An open segment. Shared between the writer, the apply thread and the sync thread; only the writer appends.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    path: PathBuf,
    header: SegmentHeader,
}

impl Segment {
    /// Makes the file of a new segment; it must not exist.
    pub(super) fn create(folder: &Path, header: SegmentHeader) -> io::Result<Self> {
        let path = folder.join(segment_name(header.number));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        failpoint!(SegmentBare);
        file.write_all_at(&header.encode(), 0)?;
        Ok(Self { file, path, header })
    }

    /// Has blocks for the first `bytes` of it allocated.
    pub(super) fn allocate(&self, bytes: u64) -> io::Result<()> {
        allocate(&self.file, bytes)
    }

    /// Opens a segment that is there; `None` where its header says that it is not this segment of this store, or is
    /// not whole.
    pub(super) fn open(folder: &Path, number: u64, store_id: u128) -> io::Result<Option<Self>> {
        let path = folder.join(segment_name(number));
        let file = File::open(&path)?;
        let mut bytes = [0; SEGMENT_HEADER];
        if read_up_to(&file, &mut bytes, 0)? < SEGMENT_HEADER {
            return Ok(None);
        }
        let header = SegmentHeader::decode(&bytes).ok();
        let header = header.filter(|header| header.number == number && header.store_id == store_id);
        Ok(header.map(|header| Self { file, path, header }))
    }

    pub(super) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Returns the length of the file, 0 where it can't be told.
    pub(super) fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    pub(super) fn number(&self) -> u64 {
        self.header.number
    }

    /// Writes `frame` at `offset`.
    ///
    /// After a failure the place is made to hold no frame, so that nothing half-written is ever taken for one; the error
    /// of *that* is in the second place, and means that the segment must not be appended to again.
    pub(super) fn append(&self, frame: &[u8], offset: u64) -> Result<(), (io::Error, Option<io::Error>)> {
        failpoint!(FrameTorn, self.file.write_all_at(&frame[..frame.len() / 2], offset));
        self.file.write_all_at(frame, offset).map_err(|error| {
            // IMPORTANT: before anything else. The head's block exists, or the write got nowhere.
            let head = [0; datacache_proto::log::FRAME_HEAD];
            (error, self.file.write_all_at(&head, offset).err())
        })
    }

    /// Fetches the operation at `at` into `buffer`.
    pub(super) fn read<'b>(&self, at: Location, buffer: &'b mut Vec<u8>) -> Result<Operation<'b>, ReadError> {
        let offset = at.offset.bytes();
        buffer.resize(FIRST_READ, 0);
        let mut have = read_up_to(&self.file, buffer, offset)?;
        let length = operation_length(&buffer[..have])?;
        if length > have {
            buffer.resize(length, 0);
            have = read_up_to(&self.file, buffer, offset)?;
        }
        Ok(Operation::decode(&buffer[..have], &self.header, offset)?)
    }

    /// Fetches the frame at `offset` into `buffer`; [`LogError`] where no whole frame is there.
    pub(super) fn read_frame<'b>(&self, offset: u64, buffer: &'b mut Vec<u8>) -> Result<Frame<'b>, ReadError> {
        let mut head = [0; 4];
        if read_up_to(&self.file, &mut head, offset)? < head.len() {
            return Err(LogError::Short.into());
        }
        let length = usize::try_from(u32::from_le_bytes(head)).map_err(|_| LogError::Field)?;
        if length > datacache_proto::log::MAX_FRAME {
            return Err(LogError::Field.into());
        }
        buffer.resize(length, 0);
        let have = read_up_to(&self.file, buffer, offset)?;
        Ok(Frame::decode(&buffer[..have], &self.header, offset)?)
    }

    /// Returns all of the file from `offset` on.
    pub(super) fn rest(&self, offset: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.length().saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        let have = read_up_to(&self.file, &mut bytes, offset)?;
        bytes.truncate(have);
        Ok(bytes)
    }

    /// Writes what was appended through to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        super::failing::sync(&self.path)?;
        self.file.sync_data()
    }

    /// Frees what lies behind the head of a segment that the index has, and keeps the blocks of that. One that was made while
    /// there were none gets them now, as far as there are some.
    pub(super) fn keep_head(&self, head: u64) -> io::Result<()> {
        self.file.set_len(head)?;
        match self.allocate(head) {
            Err(error) if is_full(&error) => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes of the file of such a segment another one, with the blocks that it has.
    ///
    /// What it held is still there, and is taken for nothing of the new one's: its checksums are of another number and salt.
    /// A reader who comes too late finds what was written, or that it is overwritten, which is as if it were gone.
    pub(super) fn succeed(&self, folder: &Path, header: SegmentHeader) -> io::Result<Self> {
        let (file, path) = (self.file.try_clone()?, folder.join(segment_name(header.number)));
        file.write_all_at(&header.encode(), 0)?;
        std::fs::rename(&self.path, &path)?;
        Ok(Self { file, path, header })
    }

    /// Removes the file. It is emptied first, so that a reader that holds it open keeps no blocks of the disk.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove_file(&self.path)
    }
}

/// Empties and unlinks the segment at `path`.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path)?;
    failpoint!(SegmentEmptied);
    std::fs::remove_file(path)
}

/// Returns the numbers of the segments in `folder`, ascending.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for file in std::fs::read_dir(folder)? {
        numbers.extend(file?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Why an operation or a frame was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The file could not be read.
    #[error("failed to read a segment of the log")]
    Io {
        #[from]
        source: io::Error,
    },
    /// What is there was not written whole for this place.
    #[error("no whole operation is at this place of the log")]
    Bytes {
        #[from]
        source: LogError,
    },
}

/// Fills `buffer` from `offset` as far as the file goes.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read_at(&mut buffer[have..], offset + have as u64) {
            Ok(0) => break,
            Ok(more) => have += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::log::{FrameBuilder, Kind};
    use datacache_proto::recent::Offset;
    use std::os::unix::fs::MetadataExt;

    const HEADER: SegmentHeader = SegmentHeader { number: 5, store_id: 1, salt: 2 };

    fn at(offset: u64) -> Location {
        Location { segment: 5, offset: Offset::from_bytes(offset).unwrap() }
    }

    #[test]
    fn what_was_appended_is_read_back_by_operation_and_by_frame() {
        let folder = tempfile::tempdir().unwrap();
        let segment = Segment::create(folder.path(), HEADER).unwrap();
        let mut builder = FrameBuilder::default();
        builder.begin(1);
        let small = u64::from(builder.push(Kind::Delete, 1, b"\x01a", |_| ()));
        let large = u64::from(builder.push(Kind::Put, 1, b"\x01b", |out| out.resize(out.len() + 5_000, 7)));
        segment.append(builder.seal(&HEADER, 64), 64).unwrap();

        let mut buffer = Vec::new();
        assert_eq!(segment.read(at(64 + small), &mut buffer).unwrap().key, b"\x01a");
        assert_eq!(segment.read(at(64 + large), &mut buffer).unwrap().body.len(), 5_000);
        assert_eq!(segment.read_frame(64, &mut buffer).unwrap().operations, 2);
        assert!(matches!(segment.read(at(72), &mut buffer), Err(ReadError::Bytes { .. })));
    }

    #[test]
    fn a_segment_of_another_store_or_number_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        Segment::create(folder.path(), HEADER).unwrap();
        assert!(Segment::open(folder.path(), 5, 1).unwrap().is_some());
        assert!(Segment::open(folder.path(), 5, 2).unwrap().is_none());
        std::fs::rename(folder.path().join("00000005"), folder.path().join("00000006")).unwrap();
        assert!(Segment::open(folder.path(), 6, 1).unwrap().is_none());
    }

    #[test]
    fn a_segment_in_the_place_of_another_has_its_blocks_and_nothing_of_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let old = Segment::create(folder.path(), HEADER).unwrap();
        let mut builder = FrameBuilder::default();
        builder.begin(1);
        builder.push(Kind::Delete, 1, b"\x01a", |_| ());
        old.append(builder.seal(&HEADER, 64), 64).unwrap();
        old.keep_head(1 << 20).unwrap();

        let new = old.succeed(folder.path(), SegmentHeader { number: 7, store_id: 1, salt: 3 }).unwrap();
        assert!(std::fs::metadata(folder.path().join("00000007")).unwrap().blocks() * 512 >= 1 << 20);
        assert_eq!(numbers(folder.path()).unwrap(), [7]);
        assert!(Segment::open(folder.path(), 7, 1).unwrap().is_some());
        let error = new.read_frame(64, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, ReadError::Bytes { source: LogError::Checksum }), "{error:?}");
        old.read_frame(64, &mut Vec::new()).expect("who comes too late finds what was written");
    }

    #[test]
    fn a_removed_segment_leaves_a_late_reader_with_a_short_read() {
        let folder = tempfile::tempdir().unwrap();
        let segment = Segment::create(folder.path(), HEADER).unwrap();
        let late = Segment::open(folder.path(), 5, 1).unwrap().unwrap();
        segment.remove().unwrap();
        let error = late.read(at(64), &mut Vec::new()).unwrap_err();
        assert!(matches!(error, ReadError::Bytes { source: LogError::Short }));
        assert_eq!(numbers(folder.path()).unwrap(), []);
    }
}
