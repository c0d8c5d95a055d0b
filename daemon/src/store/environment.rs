//! The LMDB environment that an index is: its file, its map and its lock file. What is in it is in `tables`.

use std::fs::File;
use std::io;
use std::path::Path;

use datacache_proto::layout::{self, LOCK_FILE, MAP_SIZES, READER_SLOTS};
use heed::{Env, EnvFlags, EnvOpenOptions};

use super::shared::{allocate, open_or_make};

/// How many tables of older layouts are opened.
const OBSOLETE_TABLES: u32 = 2;
/// The most that the lock file takes: a cache line for each reader, and less than a page for all.
const LOCK_LENGTH: u64 = (READER_SLOTS as u64 * 64 + 4096).next_multiple_of(4096);

/// Returns LMDB's lock file with all its blocks, making it where it is not there.
///
/// IMPORTANT: before LMDB maps and writes it. A page of it that finds no block is a SIGBUS.
pub(super) fn make_lock_file(folder: &Path) -> io::Result<File> {
    let file = open_or_make(&folder.join(LOCK_FILE))?;
    allocate(&file, LOCK_LENGTH)?;
    Ok(file)
}

/// Removes the lock file of an index that no daemon has open, for the next who opens it to make it anew.
pub(super) fn forget_lock_file(folder: &Path) -> io::Result<()> {
    match std::fs::remove_file(folder.join(LOCK_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens the environment.
pub(super) fn open_env(folder: &Path) -> heed::Result<Env> {
    open_env_with(folder, EnvFlags::empty())
}

/// Opens the environment of an index that nobody writes to, to read it: without its table of readers, which may be damaged as well.
pub(super) fn open_env_alone(folder: &Path) -> heed::Result<Env> {
    open_env_with(folder, EnvFlags::READ_ONLY | EnvFlags::NO_LOCK)
}

/// Asks for ever smaller maps, since a limit on address space (`ulimit -v`) refuses large ones.
fn open_env_with(folder: &Path, flags: EnvFlags) -> heed::Result<Env> {
    let mut refused = None;
    for size in MAP_SIZES {
        let mut options = EnvOpenOptions::new();
        options.map_size(size).max_readers(READER_SLOTS).max_dbs(layout::tables::COUNT + OBSOLETE_TABLES);
        // SAFETY: without a lock nobody may write meanwhile: the caller has the store's flock, and only daemons write.
        #[expect(unsafe_code, reason = "LMDB's flags take its guards away")]
        unsafe {
            options.flags(flags)
        };
        // SAFETY: the duties of a memory-mapped environment, each kept as follows.
        // - Nobody truncates or overwrites `data.mdb` under the map: it lies in a folder of mode 0700, its owner was
        //   checked, and the store's flock lets in one daemon.
        // - It is opened once a process: `Tables` owns the only `Env` of this path; heed refuses a second.
        // - It does not cross a fork: the daemon only ever execs.
        // - An I/O error under the map is a SIGBUS; the crate's documentation says so.
        #[expect(unsafe_code, reason = "LMDB maps its file")]
        let opened = unsafe { options.open(folder) };
        match opened {
            Err(heed::Error::Io(error)) if error.raw_os_error() == Some(rustix::io::Errno::NOMEM.raw_os_error()) => {
                refused = Some(heed::Error::Io(error));
            }
            outcome => return outcome,
        }
    }
    Err(refused.unwrap_or_else(|| heed::Error::Io(io::Error::from(io::ErrorKind::OutOfMemory))))
}
