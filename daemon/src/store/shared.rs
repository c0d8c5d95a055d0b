//! A file of shared memory: how one is made, without holes, and the one place in the daemon where its bytes become words.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use datacache_proto::filesystem::forbid_copies;
use memmap2::MmapRaw;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use tracing::debug;

use super::error::is_full;
use super::failpoint::failpoint;

/// A file of 64-bit words, mapped for reading and writing. Other processes may have it mapped too.
#[derive(Debug)]
pub(super) struct SharedWords {
    map: MmapRaw,
    words: usize,
}

impl SharedWords {
    /// Maps the file at `path` if there is one of `length` bytes, and returns it too.
    pub(super) fn open(path: &Path, length: u64) -> io::Result<Option<(File, Self)>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() != length {
            return Ok(None);
        }
        // A copy of the store may have got holes.
        allocate(&file, length)?;
        let shared = Self::map(&file)?;
        Ok(Some((file, shared)))
    }

    /// Makes a file of `length` bytes under another name, all zero and without holes, lets `prepare` write to it, and puts it in
    /// the place of the one that may be at `path`, for good.
    pub(super) fn create(
        path: &Path,
        length: u64,
        prepare: impl FnOnce(&File, &[AtomicU64]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let temporary = path.with_extension("new");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = open_or_make(&temporary)?;
        let filled = match fill(&file, length) {
            Err(error) if is_full(&error) && path.exists() => {
                // Nobody is to come to the one that is there any more, and who has it mapped keeps it.
                std::fs::remove_file(path).and_then(|()| fill(&file, length))
            }
            outcome => outcome,
        };
        if filled.is_err() {
            // What it got is for others.
            std::fs::remove_file(&temporary)?;
        }
        filled?;
        let shared = Self::map(&file)?;
        prepare(&file, shared.words())?;
        shared.map.flush()?;
        failpoint!(SharedPrepared);
        std::fs::rename(&temporary, path)?;
        failpoint!(SharedInPlace);
        File::open(path.parent().unwrap_or(path))?.sync_all()?;
        Ok(shared)
    }

    fn map(file: &File) -> io::Result<Self> {
        let map = MmapRaw::map_raw(file)?;
        let words = map.len() / size_of::<AtomicU64>();
        Ok(Self { map, words })
    }

    /// Returns the words.
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the duties of a slice made from the map, each kept as follows.
        // - Valid for `words` words as long as `self` lives: the map is that long, the file was when it was mapped, it is
        //   never truncated (its folder is the user's alone, and no code here does), and the map is unmapped on drop only.
        // - Aligned: maps begin at a page.
        // - Initialized: any bit pattern is an `AtomicU64`, and a file's bytes are never uninitialized.
        // - Shared with other processes and threads: all access is atomic.
        #[expect(unsafe_code, reason = "atomics over a shared map")]
        unsafe {
            std::slice::from_raw_parts(self.map.as_mut_ptr().cast::<AtomicU64>(), self.words)
        }
    }

    /// Makes the first page, where the headers are, durable.
    pub(super) fn flush_header(&self) -> io::Result<()> {
        self.map.flush_range(0, 4096)
    }
}

/// Opens a file for reading and writing, made where it is new, for the user alone; a new one is to be written in place for ever.
pub(super) fn open_or_make(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.len() == 0
        && let Err(error) = forbid_copies(&file)
    {
        debug!(%error, path = %path.display(), "clients can't share this file's memory: its filesystem copies on write");
    }
    Ok(file)
}

/// Allocates the blocks of the first `length` bytes, all of which the file has: a hole would be a SIGBUS for a client on a full
/// disk. Left as it is by a filesystem that knows no such thing: clients share no memory on it.
pub(super) fn allocate(file: &File, length: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, length.max(1)) {
        Err(Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// Makes an empty file `length` bytes of zeros, whose blocks are all its own.
fn fill(file: &File, length: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length) {
        Err(Errno::NOTSUP | Errno::NOSYS) => write_zeros(file, length),
        outcome => Ok(outcome?),
    }
}

fn write_zeros(mut file: &File, length: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(length), &mut file).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::sync::atomic::Ordering;

    const LENGTH: u64 = 1 << 20;

    fn create(path: &Path, first: u64) -> SharedWords {
        let prepare = |_: &File, words: &[AtomicU64]| {
            words[0].store(first, Ordering::Relaxed);
            Ok(())
        };
        SharedWords::create(path, LENGTH, prepare).unwrap()
    }

    #[test]
    fn a_new_file_has_no_holes_and_is_the_users_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared");
        drop(create(&path, 1));
        let metadata = std::fs::metadata(&path).unwrap();
        assert!(metadata.len() == LENGTH && metadata.blocks() * 512 >= LENGTH);
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn who_maps_it_again_sees_the_same_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared");
        let made = create(&path, 7);
        let (_, opened) = SharedWords::open(&path, LENGTH).unwrap().unwrap();
        made.words().last().unwrap().store(9, Ordering::Relaxed);
        let seen = [opened.words().first(), opened.words().last()].map(|word| word.unwrap().load(Ordering::Relaxed));
        assert_eq!((seen, opened.words().len() as u64 * 8), ([7, 9], LENGTH));
    }

    #[test]
    fn a_successor_leaves_what_others_have_mapped_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared");
        let first = create(&path, 1);
        let second = create(&path, 2);
        assert_eq!([first, second].map(|shared| shared.words()[0].load(Ordering::Relaxed)), [1, 2]);
    }

    #[test]
    fn a_file_that_finds_no_room_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        SharedWords::create(&folder.path().join("shared"), 1 << 62, |_, _| Ok(())).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_of_another_length_is_not_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared");
        assert!(SharedWords::open(&path, LENGTH).unwrap().is_none());
        std::fs::write(&path, b"short").unwrap();
        assert!(SharedWords::open(&path, LENGTH).unwrap().is_none());
    }

    #[test]
    fn a_filesystem_that_allocates_nothing_by_itself_is_made_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared");
        write_zeros(&File::create(&path).unwrap(), LENGTH).unwrap();
        let (_, shared) = SharedWords::open(&path, LENGTH).unwrap().unwrap();
        assert!(shared.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn the_holes_of_a_copy_are_filled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared");
        File::create(&path).unwrap().set_len(LENGTH).unwrap();
        SharedWords::open(&path, LENGTH).unwrap().unwrap();
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 >= LENGTH);
    }
}
