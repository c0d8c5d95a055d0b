//! For tests: a store that is made by hand, as a daemon would leave it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use datacache_proto::access::{self, Access};
use datacache_proto::filesystem::forbid_copies;
use datacache_proto::key::Key;
use datacache_proto::layout::{
    self, ACCESS, CURRENT, DIRECTORY_NAMESPACE, LAYOUT, LOG, READER_SLOTS, RECENT, index_key,
};
use datacache_proto::process::pid_namespace;
use datacache_proto::recent::{self, Header, KeyHash, MappedMut, Mark, View, Word, WordsMut};
use datacache_proto::record::{Record, Value};
use datacache_proto::time::Timestamp;
use heed::types::Bytes;
use heed::{Database, EnvOpenOptions};
use memmap2::MmapRaw;
use rustix::fs::FallocateFlags;

use super::shared::words;

/// The identity of every store that is made here.
pub(super) const STORE: u128 = 5 << 64 | 7;

/// A store whose log is empty.
pub(super) struct Store(tempfile::TempDir);

impl Store {
    /// Makes a store with namespace 1, which is called `n`.
    pub(super) fn new() -> Self {
        let store = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(store.generation().join(LOG)).unwrap();
        symlink("gen-1", store.path().join(CURRENT)).unwrap();
        store.set_meta(layout::meta::LAYOUT, LAYOUT.into());
        store.set_meta(layout::meta::STORE_ID_LOW, STORE as u64);
        store.set_meta(layout::meta::STORE_ID_HIGH, (STORE >> 64) as u64);
        store.put(DIRECTORY_NAMESPACE, "n", &1_u32.to_le_bytes());
        store.write_recent(|header| header, Mark::InUse, View::alone(1));
        store.write_access(access::Header { store: STORE, pid_namespace: pid_namespace() });
        store
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn generation(&self) -> PathBuf {
        self.path().join("gen-1")
    }

    /// Puts an entry into LMDB.
    pub(super) fn put(&self, namespace: u32, key: &str, value: &[u8]) {
        self.put_until(namespace, key, value, None);
    }

    /// Puts one that ends at a moment.
    pub(super) fn put_until(&self, namespace: u32, key: &str, value: &[u8], expires: Option<Timestamp>) {
        let (key, mut row) = (Key::from(key), Vec::new());
        let record = Record { expires, ..Record::plain(1, Value::Inline(value)) };
        record.encode(KeyHash::of(namespace, key.encoded()).to_bits(), &mut row);
        self.put_row(layout::tables::ENTRIES, &index_key(namespace, key.encoded()), &row);
    }

    /// Sets a number about the store.
    pub(super) fn set_meta(&self, name: &[u8], value: u64) {
        self.put_row(Some(layout::tables::META), name, &value.to_le_bytes());
    }

    /// Puts a row into a table, by an environment that is closed again.
    pub(super) fn put_row(&self, table: Option<&str>, key: &[u8], row: &[u8]) {
        // Other tests fork, and their children want heed's lock.
        let _still = crate::fork::hold_off();
        let mut options = EnvOpenOptions::new();
        options.map_size(1 << 20).max_readers(READER_SLOTS).max_dbs(layout::tables::COUNT);
        // SAFETY: nobody else knows of the folder, and the environment is closed before anybody does.
        #[expect(unsafe_code, reason = "LMDB maps its file")]
        let env = unsafe { options.open(self.generation()) }.unwrap();
        let mut txn = env.write_txn().unwrap();
        let table: Database<Bytes, Bytes> = env.create_database(&mut txn, table).unwrap();
        table.put(&mut txn, key, row).unwrap();
        txn.commit().unwrap();
        let locks = File::options().write(true).open(self.generation().join("lock.mdb")).unwrap();
        drop(env);
        allocate(&locks, locks.metadata().unwrap().len());
    }

    /// Writes the shared index, whose header is what `change` makes of the right one. Whoever has it mapped sees that.
    pub(super) fn write_recent(&self, change: impl FnOnce(Header) -> Header, mark: Mark, view: View) {
        let file = self.file(RECENT, recent::FILE_LEN);
        let map = MmapRaw::map_raw(&file).unwrap();
        let index = MappedMut::new(words(&map, recent::WORDS)).unwrap();
        index.write_header(&change(Header::expected(&file, STORE).unwrap()));
        index.set_mark(mark);
        index.store(Word::View, view.to_word(), Ordering::Relaxed);
    }

    /// Writes the header of the counters.
    pub(super) fn write_access(&self, header: access::Header) {
        let map = MmapRaw::map_raw(&self.file(ACCESS, access::FILE_LEN)).unwrap();
        Access::new(words(&map, access::WORDS)).unwrap().write_header(&header);
    }

    /// Opens a file of the generation, or makes it.
    fn file(&self, name: &str, length: u64) -> File {
        let path = self.generation().join(name);
        let file = File::options().create(true).truncate(false).write(true).read(true).open(path).unwrap();
        if file.metadata().unwrap().len() == 0 {
            forbid_copies(&file).unwrap();
        }
        file.set_len(length).unwrap();
        allocate(&file, length);
        file
    }
}

/// Fills the holes of a file.
fn allocate(file: &File, length: u64) {
    rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, length).unwrap();
}
