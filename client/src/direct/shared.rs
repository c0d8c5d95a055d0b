//! Files of the store as memory that is shared with the daemon: `recent`, which is only read here, and `access`, which all
//! clients write to. The only place that makes slices over such maps.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::slice;
use std::sync::atomic::AtomicU64;

use datacache_proto::access::{self, Access};
use datacache_proto::recent::{self, Mapped};
use datacache_proto::types::Fallback;
use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::OFlags;

/// A file of ours, open, that is as long as it should be.
#[derive(Debug)]
pub(super) struct SharedFile {
    pub(super) file: File,
    /// Device and inode.
    pub(super) identity: (u64, u64),
}

impl SharedFile {
    /// Opens `path`, which must be a regular file of ours with `length` bytes and no holes, and no link.
    ///
    /// # Errors
    /// [`Fallback::Unreachable`] where it is not there for us, [`Fallback::Layout`] where it has another length, and
    /// [`Fallback::Filesystem`] where blocks of it are missing.
    pub(super) fn open(path: &Path, length: u64, writable: bool) -> Result<Self, Fallback> {
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed();
        let open = || -> io::Result<_> {
            let file = OpenOptions::new().read(true).write(writable).custom_flags(flags).open(path)?;
            let metadata = file.metadata()?;
            Ok((file, metadata))
        };
        let (file, metadata) = open().map_err(|_| Fallback::Unreachable)?;
        if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(Fallback::Unreachable);
        }
        if metadata.len() != length {
            return Err(Fallback::Layout);
        }
        check_blocks(&metadata)?;
        Ok(Self { file, identity: (metadata.dev(), metadata.ino()) })
    }
}

/// Refuses a file with holes, which a copy of a store may have until a daemon fills them: a store to one is a SIGBUS on a full disk.
pub(super) fn check_blocks(file: &Metadata) -> Result<(), Fallback> {
    if file.blocks() * 512 < file.len() { Err(Fallback::Filesystem) } else { Ok(()) }
}

/// `recent`, mapped for reading.
#[derive(Debug)]
pub(super) struct RecentMap(MmapRaw);

impl RecentMap {
    /// Maps the file, which has been opened with the length of the index.
    ///
    /// # Errors
    /// [`Fallback::Map`] where the system refuses.
    pub(super) fn map(file: &SharedFile) -> Result<Self, Fallback> {
        let map = MmapOptions::new().len(recent::WORDS * 8).map_raw_read_only(&file.file);
        map.map(Self).map_err(|_| Fallback::Map)
    }

    /// Returns the words of the index.
    #[inline]
    pub(super) fn words(&self) -> Mapped<'_> {
        Mapped::new(words(&self.0, recent::WORDS)).expect("the map was made with this length")
    }
}

/// `access`, mapped for writing.
#[derive(Debug)]
pub(super) struct AccessMap(MmapRaw);

impl AccessMap {
    /// Maps the file, which has been opened for writing with the length of the counters.
    ///
    /// # Errors
    /// [`Fallback::Map`] where the system refuses.
    pub(super) fn map(file: &SharedFile) -> Result<Self, Fallback> {
        let map = MmapOptions::new().len(access::WORDS * 8).map_raw(&file.file);
        map.map(Self).map_err(|_| Fallback::Map)
    }

    /// Returns the words of the counters.
    #[inline]
    pub(super) fn words(&self) -> Access<'_> {
        Access::new(words(&self.0, access::WORDS)).expect("the map was made with this length")
    }
}

/// Looks at a map of `count` words.
#[inline]
pub(super) fn words(map: &MmapRaw, count: usize) -> &[AtomicU64] {
    assert!(map.len() == count * 8, "both maps are made with the length that is asked for");
    // SAFETY: the duties of a slice made from the map, each kept as follows.
    // - Valid for `count` words as long as the map lives: it has that length, and so had the file when it was opened, with all
    //   its blocks. The daemon never truncates it, and its folder is the user's alone.
    // - Aligned: maps begin at a page.
    // - Changed by other processes: the words are atomics, and nothing else looks at this memory. What is mapped read-only
    //   is loaded relaxed and never stored to, as `Mapped` promises.
    #[expect(unsafe_code, reason = "atomics over a shared map")]
    unsafe {
        slice::from_raw_parts(map.as_ptr().cast::<AtomicU64>(), count)
    }
}
