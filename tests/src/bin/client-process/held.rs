//! What a client holds of LMDB for a moment, held for as long as it is told to: so that it can be stopped or killed right there.

use std::error::Error;
use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use heed::types::Bytes;
use heed::{Env, EnvFlags, EnvOpenOptions, RoTxn, WithTls};
use memmap2::{MmapOptions, MmapRaw};

/// As the client opens it.
const READERS: u32 = 1_024;
const MAP_SIZE: usize = 1 << 30;
/// Where LMDB's lock on its table of readers lies: behind magic, format, transaction and count.
const LOCK_AT: usize = 24;

/// A read that has begun.
pub(crate) struct Read {
    env: Env,
    txn: RoTxn<'static, WithTls>,
}

/// LMDB's lock on the table of readers, for as long as the process lives.
pub(crate) struct Lock(#[expect(dead_code, reason = "it is held")] MmapRaw);

impl Read {
    /// Begins a read of the index in a folder, as a client does for each value that it looks up there.
    ///
    /// # Errors
    /// Where LMDB refuses.
    #[expect(unsafe_code, reason = "LMDB maps its file")]
    pub(crate) fn begin(folder: &Path) -> Result<Self, heed::Error> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_SIZE).max_readers(READERS);
        // SAFETY: nobody truncates the file, which only the daemon writes to by LMDB's rules; this process opens it once, has no
        // cache open, and does not fork.
        let env = unsafe { options.flags(EnvFlags::READ_ONLY).open(folder)? };
        let txn = env.clone().static_read_txn()?;
        Ok(Self { env, txn })
    }

    /// Reads all entries; returns how many there are, and a hash of them.
    ///
    /// # Errors
    /// Where LMDB finds that they are no entries any more.
    pub(crate) fn look(&self) -> Result<(u64, u64), Box<dyn Error>> {
        let entries = self.env.open_database::<Bytes, Bytes>(&self.txn, None)?.ok_or("there are no entries")?;
        let (mut rows, mut hasher) = (0, DefaultHasher::new());
        for row in entries.iter(&self.txn)? {
            row?.hash(&mut hasher);
            rows += 1;
        }
        Ok((rows, hasher.finish()))
    }
}

impl Lock {
    /// Takes the lock in the file with LMDB's table of readers, as a client does when it reads for the first time.
    ///
    /// # Errors
    /// Where the file can't be mapped.
    #[expect(unsafe_code, reason = "it is the C library's lock, in memory that processes share")]
    pub(crate) fn take(path: &Path) -> Result<Self, Box<dyn Error>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let map = MmapOptions::new().map_raw(&file)?;
        // SAFETY: the lock lies in the map, which lives as long as it is held; LMDB has made it one that processes share, before
        // the daemon answered.
        let taken = unsafe { libc::pthread_mutex_lock(map.as_mut_ptr().add(LOCK_AT).cast()) };
        if taken == 0 { Ok(Self(map)) } else { Err(std::io::Error::from_raw_os_error(taken).into()) }
    }
}
