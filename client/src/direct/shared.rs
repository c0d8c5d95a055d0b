//! Files of the store as memory that is shared with the daemon: `recent`, which is only read here, and `access`, which all
//! clients write to. The only place that makes slices over such maps.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use datacache_proto::access::{self, Access};
use datacache_proto::filesystem::is_shareable;
use datacache_proto::layout::{ACCESS, RECENT};
use datacache_proto::process::pid_namespace;
use datacache_proto::recent::{self, Mapped, Place};
use datacache_proto::types::Fallback;
use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::OFlags;

/// What a generation shares with its daemon and all clients: its two files, mapped. Clones are of the same maps.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    recent: SharedWords<{ recent::WORDS }>,
    access: SharedWords<{ access::WORDS }>,
    /// Where `recent` is.
    pub(super) recent_place: Place,
    /// Where `access` is.
    pub(super) access_place: Place,
    /// The namespace of the numbers of the process that mapped them; none ever leaves its own.
    pub(super) pid_namespace: u64,
}

impl Memory {
    /// Maps the files in the folder of a generation. Each must be a regular file of ours, as long as it should be, without holes, no link,
    /// and on a filesystem that memory can be shared on.
    ///
    /// # Errors
    /// [`Fallback::Unreachable`] where one is not there for us, [`Fallback::Layout`] where it has another length,
    /// [`Fallback::Filesystem`] where blocks of it are missing or it lies on a filesystem that won't do, and [`Fallback::Map`] where
    /// the system refuses.
    pub(super) fn map(generation: &Path) -> Result<Self, Fallback> {
        let recent = open(&generation.join(RECENT), recent::FILE_LEN, false)?;
        let access = open(&generation.join(ACCESS), access::FILE_LEN, true)?;
        let place = |file| Place::of(file).map_err(|_| Fallback::Unreachable);
        Ok(Self {
            recent_place: place(&recent)?,
            access_place: place(&access)?,
            recent: SharedWords::of(|options| options.map_raw_read_only(&recent))?,
            access: SharedWords::of(|options| options.map_raw(&access))?,
            pid_namespace: pid_namespace(),
        })
    }

    /// Tells whether mapping the files in this folder would yield the same memory again.
    pub(super) fn is_of(&self, generation: &Path) -> bool {
        let is_still = |name, place, length| {
            let path = generation.join(name);
            let found = fs::symlink_metadata(&path);
            // Who may not open it any more is told so by trying.
            let is_sound = found.is_ok_and(|found| check(&found, length).is_ok() && found.mode() & 0o600 == 0o600);
            is_sound && Place::at(&path).is_ok_and(|found| found == place)
        };
        is_still(RECENT, self.recent_place, recent::FILE_LEN) && is_still(ACCESS, self.access_place, access::FILE_LEN)
    }

    /// Returns the words of the index.
    #[inline]
    pub(super) fn recent(&self) -> Mapped<'_> {
        Mapped::new(self.recent.words).expect("it is an array of this length")
    }

    /// Returns the words of the counters.
    #[inline]
    pub(super) fn access(&self) -> Access<'_> {
        Access::new(self.access.words).expect("it is an array of this length")
    }

    /// Tells whether both are of the same maps.
    #[cfg(test)]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.recent.map, &other.recent.map) && Arc::ptr_eq(&self.access.map, &other.access.map)
    }
}

/// A map of `N` words, and the words at hand: to go through the map to them would cost each lookup a wait for memory.
#[derive(Clone)]
struct SharedWords<const N: usize> {
    /// Lent no longer than this lives, in spite of their type.
    words: &'static [AtomicU64; N],
    /// What keeps them mapped.
    map: Arc<MmapRaw>,
}

impl<const N: usize> SharedWords<N> {
    /// Maps a file that was opened with this length.
    fn of(map: impl FnOnce(&MmapOptions) -> io::Result<MmapRaw>) -> Result<Self, Fallback> {
        let map = Arc::new(map(MmapOptions::new().len(N * 8)).map_err(|_| Fallback::Map)?);
        let words: &[AtomicU64; N] = words(&map, N).try_into().expect("so many were asked for");
        let words: *const [AtomicU64; N] = words;
        // SAFETY: they are as `words` says as long as the map lives, and that lives as long as any clone of this: the field is
        // private, and lent by `Memory` alone, for as long as it is borrowed itself.
        #[expect(unsafe_code, reason = "a struct can't borrow from itself")]
        let words = unsafe { &*words };
        Ok(Self { words, map })
    }
}

impl<const N: usize> fmt::Debug for SharedWords<N> {
    /// Tells where they are, not the megabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedWords").field(&self.map).finish()
    }
}
/// Opens a file that memory can be shared on.
fn open(path: &Path, length: u64, writable: bool) -> Result<File, Fallback> {
    let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed();
    let open = || -> io::Result<_> {
        let file = OpenOptions::new().read(true).write(writable).custom_flags(flags).open(path)?;
        let (metadata, is_shareable) = (file.metadata()?, is_shareable(&file)?);
        Ok((file, metadata, is_shareable))
    };
    let (file, metadata, is_shareable) = open().map_err(|_| Fallback::Unreachable)?;
    check(&metadata, length)?;
    if is_shareable { Ok(file) } else { Err(Fallback::Filesystem) }
}

/// Makes sure that it is a regular file of ours with this length and no holes.
fn check(file: &Metadata, length: u64) -> Result<(), Fallback> {
    if !file.is_file() || file.uid() != rustix::process::geteuid().as_raw() {
        return Err(Fallback::Unreachable);
    }
    if file.len() != length {
        return Err(Fallback::Layout);
    }
    check_blocks(file)
}

/// Refuses a file with holes, which a copy of a store may have until a daemon fills them: a store to one is a SIGBUS on a full disk.
pub(super) fn check_blocks(file: &Metadata) -> Result<(), Fallback> {
    if file.blocks() * 512 < file.len() { Err(Fallback::Filesystem) } else { Ok(()) }
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

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

    use super::super::testing::Store;
    use super::*;

    /// Tells whether the memory of a store is still that of its folder after `change` was done to one of its files.
    fn is_of_after(name: &str, change: impl Fn(&Path, &Path)) -> bool {
        let store = Store::new();
        let memory = Memory::map(&store.generation()).unwrap();
        assert!(memory.is_of(&store.generation()));
        change(&store.generation().join(name), &store.path().join("moved"));
        memory.is_of(&store.generation())
    }

    #[test]
    fn memory_is_mapped_anew_where_a_file_of_it_is_not_what_it_was() {
        for name in [RECENT, ACCESS] {
            let untouched = |path: &Path, _: &Path| assert!(path.exists());
            assert!(is_of_after(name, untouched), "{name}");
            let removed = |path: &Path, _: &Path| fs::remove_file(path).unwrap();
            assert!(!is_of_after(name, removed), "{name}");
            let copied = |path: &Path, moved: &Path| {
                fs::rename(path, moved).unwrap();
                assert_ne!(fs::copy(moved, path).unwrap(), 0);
            };
            assert!(!is_of_after(name, copied), "{name}");
            let linked = |path: &Path, moved: &Path| {
                fs::rename(path, moved).unwrap();
                symlink(moved, path).unwrap();
            };
            assert!(!is_of_after(name, linked), "{name}");
            let lengthened = |path: &Path, _: &Path| {
                let file = OpenOptions::new().write(true).open(path).unwrap();
                file.write_at(&[0], file.metadata().unwrap().len()).unwrap();
            };
            assert!(!is_of_after(name, lengthened), "{name}");
            let forbidden = |path: &Path, _: &Path| fs::set_permissions(path, Permissions::from_mode(0o400)).unwrap();
            assert!(!is_of_after(name, forbidden), "{name}");
        }
    }
}
