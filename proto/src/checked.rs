//! Which files of values were found to be what their names say, since the system was booted: a table in a file that daemon and clients
//! share, so that what one of them has hashed no other hashes again.
//!
//! ```text
//!  0  magic   8 bytes
//!  8  boot    u64   from the kernel's random id of the boot
//! 16  slots   65,536 of a u64: a hash of digest, inode, length and time of the last change; 0 = empty
//! ```
//!
//! A file's slot follows from its digest; a later one takes the place of an earlier one, which is then hashed once more. What is
//! written to a file through the filesystem changes its time, and what was replaced has another inode: neither counts as checked.
//! Only what a disk does on its own goes unnoticed until the next boot, or until somebody hashes the file for another reason.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::process::boot_id;
use crate::types::Digest;

const MAGIC: [u8; 8] = *b"dc-chk\0\x01";
const BOOT_AT: u64 = MAGIC.len() as u64;
const SLOTS_AT: u64 = BOOT_AT + 8;

/// The table of a store's live generation.
#[derive(Debug)]
pub struct Checked(File);

/// A file as it was when it was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    slot: u16,
    word: u64,
}

impl Stamp {
    /// Returns the stamp of the file of a value.
    #[must_use]
    pub fn of(digest: &Digest, file: &Metadata) -> Self {
        let numbers =
            [file.dev(), file.ino(), file.len(), file.mtime().cast_unsigned(), file.mtime_nsec().cast_unsigned()];
        let mut bytes = digest.0.to_vec();
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        Self { slot: u16::from_le_bytes([digest.0[0], digest.0[1]]), word: xxh3_64(&bytes).max(1) }
    }

    const fn offset(self) -> u64 {
        SLOTS_AT + self.slot as u64 * 8
    }
}

impl Checked {
    /// Opens the table at `path` if it was made in this boot.
    ///
    /// # Errors
    /// Where it is not there, or can't be opened.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut head = [0; SLOTS_AT as usize];
        let is_ours = file.read_exact_at(&mut head, 0).is_ok() && head == head_of_this_boot()?;
        Ok(is_ours.then_some(Self(file)))
    }

    /// Makes an empty table in the place of the one that may be at `path`.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let temporary = path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all_at(&head_of_this_boot()?, 0)?;
        std::fs::rename(&temporary, path)?;
        Ok(Self(file))
    }

    /// Tells whether a file was checked in this boot and has not changed since.
    #[must_use]
    pub fn has(&self, stamp: Stamp) -> bool {
        let mut word = [0; 8];
        self.0.read_exact_at(&mut word, stamp.offset()).is_ok() && u64::from_le_bytes(word) == stamp.word
    }

    /// Notes that a file was checked. Where that can't be noted, it is checked again.
    pub fn note(&self, stamp: Stamp) {
        self.0.write_all_at(&stamp.word.to_le_bytes(), stamp.offset()).ok();
    }

    /// Notes that a file was found to be damaged although nothing tells of a change.
    pub fn forget(&self, stamp: Stamp) {
        if self.has(stamp) {
            self.0.write_all_at(&[0; 8], stamp.offset()).ok();
        }
    }
}

fn head_of_this_boot() -> io::Result<[u8; SLOTS_AT as usize]> {
    let boot = xxh3_64(&boot_id()?.to_le_bytes());
    let mut head = [0; SLOTS_AT as usize];
    head[..MAGIC.len()].copy_from_slice(&MAGIC);
    head[MAGIC.len()..].copy_from_slice(&boot.to_le_bytes());
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn stamp(path: &Path) -> Stamp {
        Stamp::of(&Digest([7; 32]), &fs::metadata(path).unwrap())
    }

    #[test]
    fn what_one_process_checked_another_need_not_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (table, value) = (folder.path().join("checked"), folder.path().join("value"));
        fs::write(&value, "value").unwrap();
        let checked = Checked::create(&table).unwrap();
        assert!(!checked.has(stamp(&value)));
        checked.note(stamp(&value));
        let other = Checked::open(&table).unwrap().expect("it is of this boot");
        assert!(other.has(stamp(&value)));
        other.forget(stamp(&value));
        assert!(!checked.has(stamp(&value)), "its disk has damaged it");
        checked.note(stamp(&value));

        let file = File::options().write(true).open(&value).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert!(!other.has(stamp(&value)), "it was written to");
        other.note(stamp(&value));
        fs::copy(&value, folder.path().join("copy")).unwrap();
        fs::rename(folder.path().join("copy"), &value).unwrap();
        assert!(!other.has(stamp(&value)), "it is another file");
    }

    #[test]
    fn the_table_of_another_boot_and_a_damaged_one_are_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("checked");
        assert!(Checked::open(&table).is_err());
        drop(Checked::create(&table).unwrap());
        for at in [0, BOOT_AT] {
            let file = File::options().read(true).write(true).open(&table).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1], at).unwrap();
            assert!(Checked::open(&table).unwrap().is_none());
            file.write_all_at(&byte, at).unwrap();
        }
        assert!(Checked::open(&table).unwrap().is_some());
        File::options().write(true).open(&table).unwrap().set_len(9).unwrap();
        assert!(Checked::open(&table).unwrap().is_none());
    }
}
