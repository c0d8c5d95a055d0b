//! A store's live generation, open to be read: what is checked before it is trusted.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use datacache_proto::access::{self, Field as AccessField};
use datacache_proto::checked::Checked;
use datacache_proto::layout::{
    ACCESS, CHECKED, CURRENT, DATA_FILE, GENERATION_PREFIX, LOCK_FILE, LOG, READER_SLOTS, RECENT,
};
use datacache_proto::recent::{self, Field, Header, Mark, Place, View, Word, Words};
use datacache_proto::types::Fallback;

use super::clock;
use super::registry::{Share, close_what_rests, kept};
use super::segments::Segments;
use super::shared::{Memory, check_blocks};

/// The least length of it in bytes: a line of the cache for each reader.
const LOCK_LENGTH: u64 = READER_SLOTS as u64 * 64;

/// One generation of one store.
#[derive(Debug)]
pub(super) struct Map {
    /// Names it among all maps that this process ever had; not 0.
    pub(super) id: u32,
    pub(super) environment: Share,
    pub(super) memory: Memory,
    pub(super) segments: Segments,
    pub(super) trust: Trust,
    /// The store's folder, as it was reached.
    pub(super) store: PathBuf,
    /// Which large values were hashed since the boot.
    pub(super) checked: Option<Arc<Checked>>,
    paths: Paths,
    /// When it was last seen in its place, in seconds.
    seen: AtomicU64,
}

/// What a lookup goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The shared index, then LMDB: the daemon that serves the store, or the last one, stores to the very memory that is mapped here.
    All,
    /// LMDB alone, for as long as the store stays closed: no daemon has run since the boot or the copy, and the last one left
    /// nothing in the log.
    Closed,
}

/// Where the files that are mapped should be found again.
#[derive(Debug)]
struct Paths {
    recent: PathBuf,
    access: PathBuf,
}

impl Map {
    /// Opens the live generation of the store in a folder. Creates nothing that is not there.
    ///
    /// # Errors
    /// Why it can't be read from here.
    pub(super) fn open(store: &Path) -> Result<Self, Fallback> {
        static MAPS: AtomicU32 = AtomicU32::new(1);
        let generation = live_generation(store)?;
        let kept = kept(&generation).filter(|memory| memory.is_of(&generation));
        let memory = kept.map_or_else(|| Memory::map(&generation), Ok)?;
        check_index_files(&generation)?;
        // IMPORTANT: before LMDB is opened, which tells processes apart by their numbers.
        let access_header = check_access(&memory)?;
        let environment = Share::take(&generation)?;
        if access_header.store != environment.store {
            return Err(Fallback::Unrecovered);
        }
        let trust = check_recent(&memory, environment.store, &generation)?;
        environment.keep(&memory);
        let segments = Segments::of(&generation, environment.store);
        let (id, store, seen) = (MAPS.fetch_add(1, Ordering::Relaxed).max(1), store.to_owned(), AtomicU64::new(0));
        let current = store.join(CURRENT);
        let paths = Paths { recent: current.join(RECENT), access: current.join(ACCESS) };
        let checked = open_checked(&generation);
        let map = Self { id, environment, memory, segments, trust, store, checked, paths, seen };
        if map.is_in_place() { Ok(map) } else { Err(Fallback::Unreachable) }
    }

    /// Tells whether the files that are mapped are still those of the store. Looks once a second: a store that is removed, or moved
    /// away, while no daemon runs can't say so.
    #[inline]
    pub(super) fn is_in_place(&self) -> bool {
        let now = clock::seconds();
        self.seen.load(Ordering::Relaxed) == now || self.look_at_place(now)
    }

    #[cold]
    fn look_at_place(&self, now: u64) -> bool {
        // Whoever reads on lets go of the generation before, whose files have their blocks for as long as they are open.
        close_what_rests();
        let is_there = self.has_recent() && is_at(&self.paths.access, self.memory.access_place);
        if is_there {
            self.seen.store(now, Ordering::Relaxed);
        }
        is_there
    }

    /// Has the next look for its place not rely on the one before.
    #[cfg(test)]
    pub(super) fn forget_place(&self) {
        self.seen.store(0, Ordering::Relaxed);
    }

    /// Tells whether a store that was closed still is: the daemon that opens it puts another file in the place of `recent`.
    pub(super) fn is_still_closed(&self) -> bool {
        self.memory.recent().mark() == Mark::Closed && self.has_recent()
    }

    fn has_recent(&self) -> bool {
        is_at(&self.paths.recent, self.memory.recent_place)
    }
}

/// Opens the table of what was hashed since the boot. That of another boot is replaced: no daemon may come to do it.
fn open_checked(generation: &Path) -> Option<Arc<Checked>> {
    let path = generation.join(CHECKED);
    let opened = Checked::open(&path).ok()?;
    opened.or_else(|| Checked::create(&path).ok()).map(Arc::new)
}

/// Tells whether the file in this place is found under a path.
fn is_at(path: &Path, place: Place) -> bool {
    rustix::fs::stat(path).is_ok_and(|found| (found.st_dev, found.st_ino) == (place.device, place.inode))
}

/// Returns the folder of the live generation: a folder of ours in a folder of ours, both no links but for the way to the first.
fn live_generation(store: &Path) -> Result<PathBuf, Fallback> {
    let own = rustix::process::geteuid().as_raw();
    let is_ours = |metadata: fs::Metadata| metadata.is_dir() && metadata.uid() == own;
    let name = fs::read_link(store.join(CURRENT)).map_err(|_| Fallback::Unreachable)?;
    let name = name.to_str().filter(|name| name.starts_with(GENERATION_PREFIX) && !name.contains('/'));
    let generation = store.join(name.ok_or(Fallback::Layout)?);
    let are_ours = fs::metadata(store).is_ok_and(is_ours) && fs::symlink_metadata(&generation).is_ok_and(is_ours);
    if are_ours { Ok(generation) } else { Err(Fallback::Unreachable) }
}

/// Checks LMDB's files by looking, not opening: closing `lock.mdb` would drop the locks that a map of this process holds.
fn check_index_files(generation: &Path) -> Result<(), Fallback> {
    for (name, least) in [(DATA_FILE, 1), (LOCK_FILE, LOCK_LENGTH)] {
        let file = fs::symlink_metadata(generation.join(name)).map_err(|_| Fallback::Unreachable)?;
        if !file.is_file() {
            return Err(Fallback::Unreachable);
        }
        // LMDB would lengthen a short one, without blocks behind it.
        if file.len() < least {
            return Err(Fallback::Layout);
        }
        if name == LOCK_FILE {
            check_blocks(&file)?;
        }
    }
    Ok(())
}

fn check_access(memory: &Memory) -> Result<access::Header, Fallback> {
    let header = memory.access().header().map_err(|error| match error {
        access::HeaderError::Layout { .. } => Fallback::Layout,
        _ => Fallback::Unreadable,
    })?;
    let expected = access::Header { pid_namespace: memory.pid_namespace, ..header };
    match header.check(&expected) {
        Ok(()) if header.pid_namespace != 0 => Ok(header),
        Ok(()) | Err(access::HeaderError::Foreign { field: AccessField::PidNamespace, .. }) => {
            Err(Fallback::Unreachable)
        }
        Err(_) => Err(Fallback::Unreadable),
    }
}

/// Decides what lookups may go by.
fn check_recent(memory: &Memory, store: u128, generation: &Path) -> Result<Trust, Fallback> {
    let words = memory.recent();
    let found = words.header().map_err(|error| match error {
        recent::HeaderError::Layout { .. } => Fallback::Layout,
        _ => Fallback::Unreadable,
    })?;
    let expected = Header::expected_in(memory.recent_place, store).map_err(|_| Fallback::Unreachable)?;
    match found.check(&expected) {
        // What comes after it is not there yet.
        Ok(()) if View::from_word(words.load(Word::View)).is_over() => Err(Fallback::Unrecovered),
        Ok(()) => Ok(Trust::All),
        Err(recent::HeaderError::Foreign { field: Field::Mount, .. }) => Err(Fallback::Unreachable),
        Err(recent::HeaderError::Foreign { field: Field::Boot | Field::Device | Field::Inode, .. })
            if words.mark() == Mark::Closed && is_empty(&generation.join(LOG)) =>
        {
            Ok(Trust::Closed)
        }
        Err(_) => Err(Fallback::Unrecovered),
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut files| files.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{FileExt, symlink};

    use datacache_proto::layout;
    use datacache_proto::process::pid_namespace;

    use super::super::registry::rest;
    use super::super::testing::{STORE, Store};
    use super::*;

    fn refusal(store: &Store) -> Fallback {
        Map::open(store.path()).expect_err("it should be refused")
    }

    /// Returns why a store is refused that `damage` was done to.
    fn refused(damage: impl FnOnce(&Store)) -> Fallback {
        let store = Store::new();
        damage(&store);
        refusal(&store)
    }

    fn lengthen(path: &Path, length: u64) {
        File::options().write(true).open(path).unwrap().set_len(length).unwrap();
    }

    #[test]
    fn a_store_in_good_order_is_trusted() {
        let store = Store::new();
        let map = Map::open(store.path()).unwrap();
        assert_eq!((map.trust, map.environment.store), (Trust::All, STORE));
        assert!(map.is_in_place() && map.id != 0);
        assert_ne!(map.id, Map::open(store.path()).unwrap().id);
    }

    #[test]
    fn who_comes_back_soon_finds_the_memory_mapped_and_all_else_is_checked_again() {
        let store = Store::new();
        // Its user, without which it rests for some seconds only, which is less than this may take.
        let user = Map::open(store.path()).unwrap();
        let memory = user.memory.clone();
        assert!(Map::open(store.path()).unwrap().memory.is_same(&memory));
        store.write_recent(|header| header, Mark::InUse, View::OVER);
        assert_eq!(refusal(&store), Fallback::Unrecovered);
        store.write_recent(|header| header, Mark::InUse, View::alone(1));
        store.write_access(access::Header { store: STORE, pid_namespace: pid_namespace() + 1 });
        assert_eq!(refusal(&store), Fallback::Unreachable);
        store.write_access(access::Header { store: STORE, pid_namespace: pid_namespace() });
        assert!(Map::open(store.path()).unwrap().memory.is_same(&memory));
        drop(user);
        rest(&store.generation());
        assert!(!Map::open(store.path()).unwrap().memory.is_same(&memory));
    }

    /// As a daemon does that opens a store which was copied.
    #[test]
    fn memory_in_whose_place_there_is_other_is_mapped_anew() {
        for name in [RECENT, ACCESS] {
            let store = Store::new();
            let before = Map::open(store.path()).unwrap();
            fs::rename(store.generation().join(name), store.path().join("away")).unwrap();
            assert_eq!(refusal(&store), Fallback::Unreachable, "{name}");
            store.write_recent(|header| header, Mark::InUse, View::alone(1));
            store.write_access(access::Header { store: STORE, pid_namespace: pid_namespace() });
            let after = Map::open(store.path()).unwrap();
            assert!(after.is_in_place() && !after.memory.is_same(&before.memory), "{name}");
            assert!(Map::open(store.path()).unwrap().memory.is_same(&after.memory), "{name}");
        }
    }

    #[test]
    fn what_is_not_there_or_not_ours_is_out_of_reach() {
        let missing = ["recent", "access", "lock.mdb", "data.mdb"];
        for name in missing {
            assert_eq!(refused(|store| fs::remove_file(store.generation().join(name)).unwrap()), Fallback::Unreachable);
        }
        assert_eq!(refused(|store| fs::remove_dir_all(store.generation()).unwrap()), Fallback::Unreachable);
        assert_eq!(refused(|store| fs::remove_file(store.path().join(CURRENT)).unwrap()), Fallback::Unreachable);
        assert_eq!(Map::open(Path::new("/no/such/store")).unwrap_err(), Fallback::Unreachable);
    }

    #[test]
    fn links_in_the_place_of_files_are_not_followed() {
        let names = ["recent", "access", "lock.mdb", "data.mdb", ""];
        for name in names {
            let reason = refused(|store| {
                let (path, moved) = (store.generation().join(name), store.path().join("moved"));
                let path = path.to_str().unwrap().trim_end_matches('/').to_owned();
                fs::rename(&path, &moved).unwrap();
                symlink(&moved, &path).unwrap();
            });
            assert_eq!(reason, Fallback::Unreachable, "{name}");
        }
        let elsewhere = refused(|store| {
            let current = store.path().join(CURRENT);
            fs::remove_file(&current).unwrap();
            symlink("gen-1/../gen-1", current).unwrap();
        });
        assert_eq!(elsewhere, Fallback::Layout);
    }

    /// LMDB would lengthen its table of readers itself, and leave a hole in it.
    #[test]
    fn files_of_another_length_are_refused_and_left_as_they_are() {
        let files =
            [("recent", 4_096), ("recent", recent::FILE_LEN + 8), ("access", 0), ("lock.mdb", 0), ("lock.mdb", 64)];
        for (name, length) in files {
            let store = Store::new();
            let path = store.generation().join(name);
            lengthen(&path, length);
            assert_eq!(refusal(&store), Fallback::Layout, "{name} with {length} bytes");
            assert_eq!(fs::metadata(&path).unwrap().len(), length);
        }
        assert_eq!(refused(|store| lengthen(&store.generation().join("data.mdb"), 0)), Fallback::Layout);
    }

    /// As copies have that leave out zeros.
    #[test]
    fn files_with_holes_are_not_shared() {
        for name in ["recent", "access", "lock.mdb"] {
            let reason = refused(|store| {
                let path = store.generation().join(name);
                let (bytes, copy) = (fs::read(&path).unwrap(), store.path().join("copy"));
                let file = File::create(&copy).unwrap();
                file.set_len(bytes.len() as u64).unwrap();
                file.write_all_at(&bytes[..4_096], 0).unwrap();
                fs::rename(copy, path).unwrap();
            });
            assert_eq!(reason, Fallback::Filesystem, "{name}");
        }
    }

    #[test]
    fn another_layout_is_refused() {
        assert_eq!(refused(|store| store.set_meta(layout::meta::LAYOUT, 99)), Fallback::Layout);
        for name in ["recent", "access"] {
            let reason = refused(|store| {
                // The version stands behind the magic, and nothing is read of another one's header.
                let path = store.generation().join(name);
                let mut bytes = fs::read(&path).unwrap();
                bytes[8] = 99;
                fs::write(&path, bytes).unwrap();
            });
            assert_eq!(reason, Fallback::Layout, "{name}");
        }
    }

    #[test]
    fn damaged_headers_are_told_from_foreign_ones() {
        for name in ["recent", "access"] {
            let reason = refused(|store| {
                let path = store.generation().join(name);
                let mut bytes = fs::read(&path).unwrap();
                bytes[17] ^= 1;
                fs::write(&path, bytes).unwrap();
            });
            assert_eq!(reason, Fallback::Unreadable, "{name}");
        }
    }

    #[test]
    fn files_of_several_stores_are_the_daemons_business() {
        assert_eq!(refused(|store| store.set_meta(layout::meta::STORE_ID_LOW, 9)), Fallback::Unrecovered);
        let foreign = access::Header { store: STORE + 1, pid_namespace: pid_namespace() };
        assert_eq!(refused(|store| store.write_access(foreign)), Fallback::Unrecovered);
        let foreign = |header| Header { store: STORE + 1, ..header };
        assert_eq!(refused(|store| store.write_recent(foreign, Mark::Closed, View::alone(1))), Fallback::Unrecovered);
    }

    #[test]
    fn processes_of_another_namespace_and_other_mounts_stay_apart() {
        for pid_namespace in [0, pid_namespace() + 1] {
            let header = access::Header { store: STORE, pid_namespace };
            assert_eq!(refused(|store| store.write_access(header)), Fallback::Unreachable);
        }
        let mounted = |header: Header| Header { mount: header.mount + 1, ..header };
        assert_eq!(refused(|store| store.write_recent(mounted, Mark::Closed, View::alone(1))), Fallback::Unreachable);
    }

    #[test]
    fn a_store_of_another_boot_or_place_is_trusted_if_it_was_closed_and_its_log_is_empty() {
        let changes: [fn(Header) -> Header; 3] = [
            |header| Header { boot: header.boot ^ 1, ..header },
            |header| Header { device: header.device ^ 1, ..header },
            |header| Header { inode: header.inode ^ 1, ..header },
        ];
        for change in changes {
            let store = Store::new();
            store.write_recent(change, Mark::InUse, View::alone(1));
            assert_eq!(refusal(&store), Fallback::Unrecovered);
            store.write_recent(change, Mark::Closed, View::alone(1));
            assert_eq!(Map::open(store.path()).unwrap().trust, Trust::Closed);
            File::create(store.generation().join(LOG).join("00000001")).unwrap();
            assert_eq!(refusal(&store), Fallback::Unrecovered);
        }
    }

    #[test]
    fn a_generation_that_is_over_is_not_opened_again() {
        assert_eq!(
            refused(|store| store.write_recent(|header| header, Mark::InUse, View::OVER)),
            Fallback::Unrecovered
        );
    }

    #[test]
    fn a_store_that_goes_is_missed_within_a_second() {
        let store = Store::new();
        let map = Map::open(store.path()).unwrap();
        fs::rename(store.generation().join(RECENT), store.path().join("away")).unwrap();
        assert!(!map.look_at_place(clock::seconds()));
        fs::rename(store.path().join("away"), store.generation().join(RECENT)).unwrap();
        assert!(map.look_at_place(clock::seconds()));
    }
}
