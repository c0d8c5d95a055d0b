//! A bare LMDB in this process: what a lookup costs where there is nothing else, and a transaction for each write.

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};
use tempfile::TempDir;

use crate::place::Place;
use crate::sizes::{VALUE, key, value};
use crate::{Fault, stop};

/// Far above what is measured.
const MAP: usize = 64 << 30;
/// What a record of ours has before its value, and an index key before the text: the same bytes are looked at and copied.
const RECORD_HEAD: usize = 56;
const KEY_HEAD: [u8; 5] = [0, 0, 0, 1, 1];
const SLICE: usize = 100_000;

/// An environment of its own.
pub(crate) struct Bare {
    // Before `_folder`: it is closed while its files are still there.
    env: Env,
    records: Database<Bytes, Bytes>,
    _folder: TempDir,
}

impl Bare {
    /// Makes an environment with this many entries.
    ///
    /// # Errors
    /// Where LMDB can't.
    pub(crate) fn fill(place: &Place, entries: u64) -> Result<Self, Fault> {
        let folder = place.folder("heed-")?;
        let env = open(folder.path())?;
        let mut txn = env.write_txn()?;
        let records = env.create_database(&mut txn, None)?;
        txn.commit()?;
        let bare = Self { env, records, _folder: folder };
        let numbers: Vec<u64> = (0..entries).collect();
        for slice in numbers.chunks(SLICE) {
            stop::check()?;
            let mut txn = bare.env.write_txn()?;
            for number in slice {
                bare.records.put(&mut txn, &place_of(&key(*number)), &record_of(&value(*number)))?;
            }
            txn.commit()?;
        }
        Ok(bare)
    }

    /// Says whether a commit waits for the disk from now on. It does not where nothing was said.
    ///
    /// # Errors
    /// Where LMDB refuses.
    #[expect(unsafe_code, reason = "without waiting, a loss of power can damage the environment")]
    pub(crate) fn sync(&self, sync: bool) -> Result<(), Fault> {
        let mode = if sync { heed::FlagSetMode::Disable } else { heed::FlagSetMode::Enable };
        // SAFETY: the only duty is not to need the environment after a loss of power; it is a temporary one.
        unsafe { self.env.set_flags(EnvFlags::NO_SYNC, mode)? };
        Ok(())
    }

    /// Looks an entry up and copies its value out: what a get is at the least.
    ///
    /// # Errors
    /// Where it is not there.
    pub(crate) fn get(&self, place: &[u8]) -> Result<Vec<u8>, Fault> {
        let txn = self.env.read_txn()?;
        let record = self.records.get(&txn, place)?.ok_or("it is gone")?;
        Ok(record[RECORD_HEAD..].to_vec())
    }

    /// Writes an entry by a transaction of its own.
    ///
    /// # Errors
    /// Where LMDB refuses.
    pub(crate) fn set(&self, place: &[u8], record: &[u8]) -> Result<(), Fault> {
        let mut txn = self.env.write_txn()?;
        self.records.put(&mut txn, place, record)?;
        Ok(txn.commit()?)
    }
}

/// Returns the index key that stands for a key.
pub(crate) fn place_of(key: &str) -> Vec<u8> {
    [&KEY_HEAD, key.as_bytes()].concat()
}

/// Returns a record with a value.
pub(crate) fn record_of(value: &[u8]) -> Vec<u8> {
    let mut record = vec![0x5a; RECORD_HEAD];
    record.extend_from_slice(value);
    debug_assert_eq!(record.len(), RECORD_HEAD + VALUE);
    record
}

fn open(folder: &Path) -> heed::Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP);
    // SAFETY: a flag and a map of a file, whose duties are kept as follows.
    // - `NO_SYNC` can damage the environment when power goes; it is a temporary one.
    // - Nobody else changes the files: the folder has a random name and mode 0700.
    // - It is opened once a process and does not cross a fork: all other processes are started by exec.
    #[expect(unsafe_code, reason = "LMDB maps its file")]
    unsafe {
        options.flags(EnvFlags::NO_SYNC).open(folder)
    }
}
