//! The file `recent`, mapped: the only home of the shared words in the daemon.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::AtomicU64;

use datacache_proto::layout::RECENT;
use datacache_proto::process::boot_id;
use datacache_proto::recent::{FILE_LEN, Header, MappedMut, Mark, View, WORDS, Word, Words, finish};
use memmap2::MmapRaw;
use rustix::fs::{AtFlags, FallocateFlags, StatxFlags};

/// The mapped index. Shared with the thread that clears tables.
#[derive(Debug)]
pub(super) struct Index {
    map: MmapRaw,
}

impl Index {
    /// Maps the index in `folder` if it was made by a daemon of this boot, through this mount, for this store: then
    /// readers may be attached to it. `None` where a new one has to be made.
    pub(super) fn open(folder: &Path, store_id: u128) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).write(true).open(folder.join(RECENT)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() != FILE_LEN {
            return Ok(None);
        }
        let index = Self::map(&file)?;
        let expected = header(&file, store_id)?;
        let Ok(found) = index.words().as_mapped().header() else { return Ok(None) };
        if found.check(&expected).is_ok() {
            // One that is over was left by a daemon that died before its successor was there.
            let is_over = View::from_word(index.words().load(Word::View)).is_over();
            return Ok((!is_over).then_some(index));
        }
        if (Header { mount: expected.mount, ..found }) == expected {
            // Its daemon ran in another namespace of mounts: readers there are attached, and are to come to the new one.
            finish(&index.words());
        }
        Ok(None)
    }

    /// Makes a new index and puts it in the place of the one that may be there. All its blocks are allocated: a hole
    /// would be a SIGBUS for a reader on a full disk.
    pub(super) fn create(folder: &Path, store_id: u128, prepare: impl FnOnce(MappedMut<'_>)) -> io::Result<Self> {
        let temporary = folder.join("recent.new");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, FILE_LEN)?;
        let index = Self::map(&file)?;
        prepare(index.words());
        index.words().write_header(&header(&file, store_id)?);
        index.map.flush()?;
        std::fs::rename(&temporary, folder.join(RECENT))?;
        File::open(folder)?.sync_all()?;
        Ok(index)
    }

    fn map(file: &File) -> io::Result<Self> {
        Ok(Self { map: MmapRaw::map_raw(file)? })
    }

    /// Returns the shared words.
    pub(super) fn words(&self) -> MappedMut<'_> {
        // SAFETY: the duties of a slice made from the map, each kept as follows.
        // - Valid for `WORDS` words as long as `self` lives: the file had that length when it was mapped, it is never
        //   truncated (its folder is the user's alone, and no code here does), and the map is unmapped on drop only.
        // - Aligned: maps begin at a page.
        // - Shared and changed by other threads: the words are atomics, and nothing else looks at this memory.
        #[expect(unsafe_code, reason = "atomics over a shared map")]
        let words = unsafe { std::slice::from_raw_parts(self.map.as_mut_ptr().cast::<AtomicU64>(), WORDS) };
        MappedMut::new(words).expect("the map is as long as the index")
    }

    /// Says whether the store is in use, and makes that durable.
    pub(super) fn set_mark(&self, mark: Mark) -> io::Result<()> {
        self.words().set_mark(mark);
        self.map.flush_range(0, 4096)
    }
}

/// Returns what an index in this file has to say about itself.
fn header(file: &File, store_id: u128) -> io::Result<Header> {
    let metadata = file.metadata()?;
    Ok(Header {
        store: store_id,
        boot: boot_id()?,
        device: metadata.dev(),
        inode: metadata.ino(),
        mount: mount_id(file)?,
    })
}

/// Returns the number of the mount through which the file was opened; 0 where the kernel does not tell (before 5.8).
fn mount_id(file: &File) -> io::Result<u64> {
    let flags = StatxFlags::MNT_ID;
    let statx = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, flags)?;
    Ok(if statx.stx_mask & flags.bits() != 0 { statx.stx_mnt_id } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::recent::begin;

    #[test]
    fn an_index_of_this_boot_is_taken_over_and_another_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Index::open(folder.path(), 7).unwrap().is_none());
        let made = Index::create(folder.path(), 7, |words| {
            begin(&words, 3);
        });
        drop(made.unwrap());
        let index = Index::open(folder.path(), 7).unwrap().expect("it was made in this boot");
        assert_eq!(index.words().load(Word::View), View::alone(3).to_word());
        assert!(Index::open(folder.path(), 8).unwrap().is_none(), "it belongs to store 7");
    }

    #[test]
    fn a_copied_index_is_not_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        drop(Index::create(folder.path(), 7, |_| ()).unwrap());
        std::fs::copy(folder.path().join(RECENT), folder.path().join("copy")).unwrap();
        std::fs::rename(folder.path().join("copy"), folder.path().join(RECENT)).unwrap();
        assert!(Index::open(folder.path(), 7).unwrap().is_none());
    }

    /// Its readers would have gone on looking into a log that nobody writes any more.
    #[test]
    fn an_index_of_another_mount_is_over_for_its_readers() {
        let folder = tempfile::tempdir().unwrap();
        let attached = Index::create(folder.path(), 7, |words| {
            begin(&words, 3);
        });
        let attached = attached.unwrap();
        let here = attached.words().as_mapped().header().unwrap();
        attached.words().write_header(&Header { mount: here.mount + 1, ..here });
        assert!(Index::open(folder.path(), 7).unwrap().is_none());
        assert!(View::from_word(attached.words().load(Word::View)).is_over());

        attached.words().write_header(&here);
        assert!(Index::open(folder.path(), 7).unwrap().is_none(), "what is over is not taken over");
    }

    #[test]
    fn an_index_has_no_holes() {
        let folder = tempfile::tempdir().unwrap();
        drop(Index::create(folder.path(), 7, |_| ()).unwrap());
        let metadata = std::fs::metadata(folder.path().join(RECENT)).unwrap();
        assert!(metadata.blocks() * 512 >= FILE_LEN);
    }
}
