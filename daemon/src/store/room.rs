//! Room to go on when the filesystem has none left: what is reserved, so that a store on a full disk can still be made smaller.
//!
//! # What is reserved, and why that much
//! A delete has to be logged and applied, and both want new blocks before any are free again. All that is reserved lies in the files
//! that will need it, as blocks behind their ends: a file of its own, given up when the disk is full, would be taken by whoever fills
//! the disk, and that is seldom us.
//!
//! - *Behind the end of LMDB's file*, [`RESERVE`], and as much again as the log may take there. A transaction copies each page that
//!   it changes, and pages are free again two transactions later: three times what a slice changes, at 1,000 deletes all over seven
//!   tables some 56 MiB. A small index has not so many pages to change: twice its size is enough then, and [`LEAST`] at least. On a
//!   small filesystem it is at most a sixteenth of that. Pages that are free inside the file count.
//! - *For the log*: what was acknowledged comes before the deletes that are to make room, so room for it is taken while it is
//!   appended: twice its bytes, for pages are seldom full, and the same for the rows of its tags and places, each of which repeats the key.
//! - *At the head of each segment*, [`HEAD`]: some 10,000 deletes. While there is no room for another, the file of a segment that the
//!   index has becomes the next but one: its blocks are never free for others to take.
//!
//! # When it is used, and when taken again
//! The thread that syncs looks after it: at the start, every few megabytes of the log, and when a segment is retired. Where there is
//! not enough, or the filesystem is about to be full, the store takes only what makes it smaller (`scarcity`), the log goes on in
//! the next segment, at whose head there is room, and LMDB's file grows into its own. It is looked again every second; writes
//! return when all of it is there again.
//!
//! A store is opened with what the last daemon left: recovery gives some of it back where nothing else makes room for a segment.
//!
//! Filesystems that can't allocate, or that never write in place (btrfs, ZFS), give no such promise: there, a disk that is full
//! is told of when a write fails.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use datacache_proto::layout::DATA_FILE;
use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use super::error::is_full;
use super::headroom::Disk;

/// What is allocated at the head of a segment, in bytes.
pub(super) const HEAD: u64 = 1 << 20;
/// The most that is reserved for the index, besides what the log will take (64 MiB).
const RESERVE: u64 = 64 << 20;
/// The least.
const LEAST: u64 = 4 << 20;
/// What is left to others, in bytes, and to the log: with less the filesystem counts as full.
const MARGIN: u64 = 2 << 20;

/// LMDB's own file, open a second time. LMDB takes no notice of what is behind its end.
#[derive(Debug)]
pub(super) struct Room {
    file: File,
    /// Everything before it has blocks, as far as we know.
    taken: AtomicU64,
}

impl Room {
    /// Opens the file in `folder`, which LMDB has made.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(folder.join(DATA_FILE))?;
        Ok(Self { file, taken: AtomicU64::new(0) })
    }

    /// Returns the length of the file.
    pub(super) fn end(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Returns how much is to be reserved for an index of `used` bytes.
    pub(super) fn reserve(&self, used: u64) -> io::Result<u64> {
        Ok(reserve(used, self.disk()?.size))
    }

    /// Sees to it that there are blocks for `bytes` behind the end of the file, and something left. Else it is an error that the
    /// filesystem is full, and nothing was taken from it; or that others were quicker, or its user may have no more of it, and what
    /// was to be had was taken.
    pub(super) fn ensure(&self, bytes: u64) -> io::Result<()> {
        let missing = self.missing(bytes)?;
        if self.available()? < missing + MARGIN {
            return Err(Errno::NOSPC.into());
        }
        if missing > 0 { self.take(bytes) } else { Ok(()) }
    }

    /// Tells whether another index of `used` bytes has room beside this one, with its reserve.
    pub(super) fn has_room_for_another(&self, used: u64) -> io::Result<bool> {
        Ok(self.available()? >= used + self.reserve(used)? + MARGIN)
    }

    /// Returns how many of `bytes` behind the end of the file have no blocks yet. Those count that a call got which failed: it asks
    /// for the rest when it comes again.
    fn missing(&self, bytes: u64) -> io::Result<u64> {
        let metadata = self.file.metadata()?;
        let (end, behind) = (metadata.len(), behind(&metadata));
        Ok((end + bytes).saturating_sub(self.taken.load(Ordering::Relaxed).max(end + behind)))
    }

    /// Returns how many bytes of the filesystem are free.
    fn available(&self) -> io::Result<u64> {
        Ok(self.disk()?.free)
    }

    /// Returns what is to be known of the filesystem.
    pub(super) fn disk(&self) -> io::Result<Disk> {
        let filesystem = fstatvfs(&self.file)?;
        let bytes = |blocks: u64| blocks.saturating_mul(filesystem.f_frsize);
        Ok(Disk { size: bytes(filesystem.f_blocks), free: bytes(filesystem.f_bavail) })
    }

    /// Has blocks for `bytes` allocated behind the end of the file. Fails where the filesystem has not so many, and does nothing
    /// on one that knows no such thing.
    pub(super) fn take(&self, bytes: u64) -> io::Result<()> {
        let end = self.end()?;
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, end, bytes.max(1)) {
            Err(Errno::NOTSUP | Errno::NOSYS) => {}
            outcome => outcome?,
        }
        self.taken.fetch_max(end + bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back `bytes` of what is behind the end of the file.
    ///
    /// IMPORTANT: only where LMDB writes nothing meanwhile.
    pub(super) fn give_back(&self, bytes: u64) -> io::Result<()> {
        let left = behind(&self.file.metadata()?).saturating_sub(bytes);
        match self.shrink_to(left) {
            // Others were quicker: there is less left than that, and what was wanted was done.
            Err(error) if is_full(&error) => Ok(()),
            outcome => outcome,
        }
    }

    /// Has as much as `bytes` behind the end of the file, or as much as there is to be had.
    ///
    /// IMPORTANT: only where LMDB writes nothing meanwhile.
    pub(super) fn leave(&self, bytes: u64) -> io::Result<()> {
        let behind = behind(&self.file.metadata()?);
        match left(behind, bytes, self.available()?) {
            left if left < behind => self.shrink_to(left),
            left => self.take(left),
        }
    }

    /// The length that the file has stays; that frees all that is behind it, and others may take it before we do.
    fn shrink_to(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(self.end()?)?;
        self.taken.store(0, Ordering::Relaxed);
        if bytes > 0 { self.take(bytes) } else { Ok(()) }
    }

    /// Tells whether a write of LMDB failed because there are no blocks for it. A write that gets some of its way is an I/O
    /// error to LMDB, and on a full filesystem such a write is as likely as one that gets nowhere.
    pub(super) fn was_missing(&self, error: &io::Error) -> bool {
        /// More than LMDB writes at a time, but for a large value.
        const WRITE: u64 = 1 << 20;
        let is_io = error.raw_os_error() == Some(Errno::IO.raw_os_error());
        is_full(error) || is_io && self.take(WRITE).is_err_and(|error| is_full(&error))
    }
}

/// Returns how much is to be reserved for an index of `used` bytes on a filesystem of `size` bytes.
fn reserve(used: u64, size: u64) -> u64 {
    (2 * used).clamp(LEAST, RESERVE).min(size / 16)
}

/// Returns how much is to lie behind the end of the file, of which `behind` does, where `wanted` should and `available` is free.
/// Nothing is given back where that is little: all has to be freed before a part of it is taken again, and others are quick.
fn left(behind: u64, wanted: u64, available: u64) -> u64 {
    match behind > wanted {
        true if available < wanted + MARGIN => behind,
        true => wanted,
        false => wanted.min(behind + available),
    }
}

/// Returns how much of a file lies behind its end.
fn behind(metadata: &Metadata) -> u64 {
    (metadata.blocks() * 512).saturating_sub(metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn room() -> (tempfile::TempDir, Room) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(DATA_FILE), [7; 5_000]).unwrap();
        let room = Room::open(folder.path()).unwrap();
        (folder, room)
    }

    fn allocated(room: &Room) -> u64 {
        room.file.metadata().unwrap().blocks() * 512
    }

    #[test]
    fn an_index_has_a_reserve_of_its_own_size_within_bounds() {
        let disk = 100 << 30;
        assert_eq!([0, 10 * MIB, 10 << 30].map(|used| reserve(used, disk)), [4 * MIB, 20 * MIB, 64 * MIB]);
        assert_eq!(reserve(10 << 30, 64 * MIB), 4 * MIB, "on a small disk it is less");
    }

    #[test]
    fn another_index_has_room_where_it_fits_with_its_reserve() {
        let (_folder, room) = room();
        assert!(room.has_room_for_another(MIB).unwrap());
        let free = room.available().unwrap();
        assert!(!room.has_room_for_another(free).unwrap());
    }

    #[test]
    fn what_is_taken_lies_behind_the_end_and_is_given_back_without_a_change_of_the_file() {
        let (folder, room) = room();
        room.ensure(8 * MIB).unwrap();
        assert!(allocated(&room) >= 8 * MIB);
        room.give_back(6 * MIB).unwrap();
        assert!((2 * MIB..3 * MIB).contains(&allocated(&room)), "{}", allocated(&room));
        assert_eq!(std::fs::read(folder.path().join(DATA_FILE)).unwrap(), [7; 5_000]);
    }

    #[test]
    fn nothing_is_given_back_on_a_full_disk_where_it_could_not_be_had_again() {
        assert_eq!(left(20 * MIB, 8 * MIB, 9 * MIB), 20 * MIB);
        assert_eq!(left(20 * MIB, 8 * MIB, 10 * MIB), 8 * MIB);
        assert_eq!([left(0, 8 * MIB, 9 * MIB), left(3 * MIB, 8 * MIB, 2 * MIB)], [8 * MIB, 5 * MIB]);
    }

    /// They were asked for a second time, and what was free had to be enough for all of them.
    #[test]
    fn blocks_that_a_failed_call_has_got_are_not_missing() {
        let (_folder, room) = room();
        fallocate(&room.file, FallocateFlags::KEEP_SIZE, 5_000, 6 * MIB).unwrap();
        assert!((MIB..=2 * MIB).contains(&room.missing(8 * MIB).unwrap()));
        room.ensure(8 * MIB).unwrap();
        assert_eq!(room.missing(8 * MIB).unwrap(), 0);
    }

    #[test]
    fn more_than_there_is_can_not_be_had_and_takes_nothing() {
        let (_folder, room) = room();
        let before = allocated(&room);
        assert!(is_full(&room.ensure(1 << 60).unwrap_err()));
        assert_eq!(allocated(&room), before);
    }
}
