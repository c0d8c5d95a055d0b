//! The file `access`, mapped: what clients tell of their reads. It outlives daemons and boots.

use std::io;
use std::path::Path;

use datacache_proto::access::{Access, FILE_LEN, Header};
use datacache_proto::layout::ACCESS;
use datacache_proto::process::pid_namespace;

use super::shared::SharedWords;

/// The mapped hints and counters.
#[derive(Debug)]
pub(super) struct AccessFile(SharedWords);

impl AccessFile {
    /// Maps the file in `folder` if it was made for this store, by a daemon whose processes have the same numbers. `None` where
    /// a new one has to be made.
    pub(super) fn open(folder: &Path, store_id: u128) -> io::Result<Option<Self>> {
        let file = Self::any(folder)?;
        let fits = |file: &Self| file.access().header() == Ok(header(store_id));
        Ok(file.filter(fits))
    }

    /// Makes a new file in the place of the one that may be there. What was counted for this store is taken over.
    pub(super) fn create(folder: &Path, store_id: u128) -> io::Result<Self> {
        let earlier = Self::any(folder)?;
        let earlier = earlier.filter(|file| file.access().header().is_ok_and(|header| header.store == store_id));
        let made = SharedWords::create(&folder.join(ACCESS), FILE_LEN, |_, words| {
            let access = Access::new(words).map_err(io::Error::other)?;
            if let Some(earlier) = &earlier {
                access.copy_from(earlier.access());
            }
            access.write_header(&header(store_id));
            Ok(())
        });
        made.map(Self)
    }

    fn any(folder: &Path) -> io::Result<Option<Self>> {
        Ok(SharedWords::open(&folder.join(ACCESS), FILE_LEN)?.map(|(_, shared)| Self(shared)))
    }

    /// Returns the hints and counters.
    pub(super) fn access(&self) -> Access<'_> {
        Access::new(self.0.words()).expect("the length was looked at when the file was mapped")
    }
}

fn header(store_id: u128) -> Header {
    Header { store: store_id, pid_namespace: pid_namespace() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::access::Reads;

    const ONE_HIT: Reads = Reads { hits: 1, misses: 0 };

    fn made(folder: &Path) -> AccessFile {
        let made = AccessFile::create(folder, 7).unwrap();
        made.access().count(0, 5, true);
        made
    }

    #[test]
    fn counters_are_kept_and_those_of_another_store_are_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(AccessFile::open(folder.path(), 7).unwrap().is_none());
        drop(made(folder.path()));
        let opened = AccessFile::open(folder.path(), 7).unwrap().expect("it was made for this store");
        assert_eq!(opened.access().reads(5), ONE_HIT);
        assert!(AccessFile::open(folder.path(), 8).unwrap().is_none());
        let other = AccessFile::create(folder.path(), 8).unwrap();
        assert_eq!(other.access().all_reads(), Reads::default());
    }

    /// Its clients have numbers that mean other processes here, or none.
    #[test]
    fn another_namespace_of_processes_has_a_file_of_its_own_with_what_was_counted() {
        let folder = tempfile::tempdir().unwrap();
        let before = made(folder.path());
        before.access().write_header(&Header { store: 7, pid_namespace: pid_namespace() + 1 });
        assert!(AccessFile::open(folder.path(), 7).unwrap().is_none());
        let made = AccessFile::create(folder.path(), 7).unwrap();
        before.access().count(0, 5, true);
        assert_eq!(made.access().reads(5), ONE_HIT);
        assert!(AccessFile::open(folder.path(), 7).unwrap().is_some());
    }

    #[test]
    fn a_damaged_file_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        drop(made(folder.path()));
        let path = folder.path().join(ACCESS);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[16] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(AccessFile::open(folder.path(), 7).unwrap().is_none());
        assert_eq!(AccessFile::create(folder.path(), 7).unwrap().access().all_reads(), Reads::default());
    }
}
