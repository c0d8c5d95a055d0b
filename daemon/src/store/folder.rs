//! The store's folder: making it, and making sure that it is ours alone.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use datacache_proto::closed::Closed;
use datacache_proto::filesystem::network;
use datacache_proto::holder::Holder;
use datacache_proto::layout::{BLOBS, CACHEDIR_TAG, CURRENT, DAEMON_LOG, GENERATION_PREFIX, LOCK, STAGING};
use rustix::fs::{FlockOperation, OFlags};
use tracing::warn;

use super::blob::{BlobStore, create_private};
use super::error::OpenError;
use super::failpoint::failpoint;
use super::generation::current;

/// Counts the daemons that died, see `trial`.
pub(super) const UNCLEAN: &str = "unclean";
/// The generation that was moved aside because it can't be read.
pub(super) const DAMAGED: &str = "damaged";
/// What evictions have learned, see `states`.
pub(super) const EVICTION: &str = "eviction";

/// What may lie in a folder that is about to become a store.
const EXPECTED: [&str; 7] = [CACHEDIR_TAG, DAEMON_LOG, "daemon.log.old", LOCK, UNCLEAN, "config.toml", "start.lock"];
/// The folders among it, beside the generations.
const FOLDERS: [&str; 5] = [BLOBS, DAMAGED, EVICTION, STAGING, "run"];
/// What nobody but the owner may do, as a mode has it.
const OTHERS: u32 = 0o077;

const CACHEDIR_TEXT: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder is a cache of datacache; it can be removed while no daemon runs.\n";

/// Takes the folder for this daemon alone, making it where it is new. Holding the returned file holds the lock.
pub(super) fn take(path: &Path) -> Result<File, OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    Closed::check_use(path)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io("create the folders above"))?;
    }
    create_private(path).map_err(io("create"))?;
    failpoint!(StoreMade);
    check_owner(path)?;
    check_filesystem(path)?;
    check_content(path)?;
    if current(path).is_ok_and(|live| live.is_none()) {
        sync_names(path);
    }
    close_to_others(path)?;
    let lock = lock(path)?;
    failpoint!(StoreLocked);
    BlobStore::create_folders(path).map_err(io("create the folders in"))?;
    check_below(path, &path.join(BLOBS))?;
    failpoint!(FoldersMade);
    let tag = path.join(CACHEDIR_TAG);
    // Not anew, which would need room.
    if !fs::read(&tag).is_ok_and(|text| text == CACHEDIR_TEXT.as_bytes()) {
        write_tag(&tag).map_err(io("write CACHEDIR.TAG in"))?;
    }
    Ok(lock)
}

fn write_tag(path: &Path) -> io::Result<()> {
    let tag = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(no_link()).open(path);
    tag?.write_all(CACHEDIR_TEXT.as_bytes())
}

/// The flag that has no link followed, as the standard library takes it.
pub(super) fn no_link() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

/// Makes the names of the folders that lead to a new store durable: it is of no use where nobody finds it after a loss of power.
///
/// IMPORTANT: not only of those that were missing. A client that starts a daemon has made the store's folder for the daemon's
/// log, and a daemon may have died right after it made them. Above what belongs to somebody else, nobody made anything for us.
fn sync_names(store: &Path) {
    let me = rustix::process::geteuid().as_raw();
    let is_ours = |folder: &&Path| fs::metadata(folder).is_ok_and(|metadata| metadata.uid() == me);
    for parent in store.ancestors().take_while(is_ours).filter_map(Path::parent) {
        if let Err(error) = File::open(parent).and_then(|parent| parent.sync_all()) {
            // We may write to a folder that we can't read; it is written through by itself soon.
            warn!(folder = %parent.display(), %error, "a folder above the store can't be written through to the disk");
        }
    }
}

fn check_owner(path: &Path) -> Result<(), OpenError> {
    let metadata = fs::metadata(path);
    let metadata = metadata.map_err(|source| OpenError::Io { action: "look at", path: path.to_owned(), source })?;
    let me = rustix::process::geteuid().as_raw();
    // A user may have put the store elsewhere, or root for him; nobody else.
    if let Ok(link) = fs::symlink_metadata(path)
        && link.is_symlink()
        && ![me, 0].contains(&link.uid())
    {
        let found = format!("a link of user {}", link.uid());
        return Err(OpenError::Intruder { path: path.to_owned(), found });
    }
    if metadata.uid() != me {
        return Err(Closed::Foreign { folder: path.to_owned(), owner: metadata.uid(), me }.into());
    }
    if !metadata.is_dir() {
        return Err(OpenError::NotAStore { path: path.to_owned(), found: "a file".to_owned() });
    }
    Ok(())
}

/// Refuses a folder that another machine may use as well: neither LMDB nor shared memory bears that.
fn check_filesystem(path: &Path) -> Result<(), OpenError> {
    let found = File::open(path).and_then(|folder| network(&folder));
    match found.map_err(|source| OpenError::Io { action: "tell the filesystem of", path: path.to_owned(), source })? {
        Some(filesystem) => Err(OpenError::Network { path: path.to_owned(), filesystem }),
        None => Ok(()),
    }
}

/// Takes the rights of others away. What they may have put into the folder until then is looked for once more.
fn close_to_others(path: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { action: "set the mode of", path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(io)?.mode();
    if mode & 0o7777 == 0o700 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io)?;
    if mode & OTHERS != 0 {
        warn!(folder = %path.display(), mode = format_args!("{:o}", mode & 0o7777), "the store was open to others");
    }
    check_content(path)
}

/// Tells whether a folder is a store already: what lies in it and is none of ours is its owner's affair.
fn is_store(path: &Path) -> bool {
    let tag = path.join(CACHEDIR_TAG);
    // No link to somewhere else says it, and none of what a read would wait at.
    let is_file = || fs::symlink_metadata(&tag).is_ok_and(|found| found.is_file());
    let has_tag = || is_file() && fs::read(&tag).is_ok_and(|text| text == CACHEDIR_TEXT.as_bytes());
    current(path).is_ok_and(|live| live.is_some()) || has_tag()
}

/// Refuses a folder that somebody uses for something else: a mistyped name is not to fill somebody's documents with blobs. And one in
/// which something with a name of ours is somebody else's, or of another kind than it should be: a link would lead us elsewhere.
fn check_content(path: &Path) -> Result<(), OpenError> {
    let is_store = is_store(path);
    for (name, found) in entries(path, path)? {
        let name = name.to_string_lossy();
        let is_known: fn(FileType) -> bool = match &*name {
            name if EXPECTED.contains(&name) => |kind| kind.is_file(),
            name if FOLDERS.contains(&name) || name.starts_with(GENERATION_PREFIX) => |kind| kind.is_dir(),
            // With what stands there for a moment before it takes the other's place.
            name if name.starts_with(CURRENT) || name.starts_with("sock") => |_| true,
            _ if is_store => continue,
            _ => return Err(OpenError::NotAStore { path: path.to_owned(), found: name.into_owned() }),
        };
        check_entry(&path.join(&*name), &found, is_known)?;
    }
    Ok(())
}

/// Checks that everything in a folder of the store is a file or a folder, and ours.
pub(super) fn check_below(store: &Path, folder: &Path) -> Result<(), OpenError> {
    for (name, found) in entries(store, folder)? {
        check_entry(&folder.join(name), &found, |kind| kind.is_file() || kind.is_dir())?;
    }
    Ok(())
}

/// Returns what is in a folder: of a link, what is told of the link itself.
fn entries(store: &Path, folder: &Path) -> Result<Vec<(std::ffi::OsString, Metadata)>, OpenError> {
    let list = || {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(found) => entries.push((entry.file_name(), found)),
                // Clients and a daemon that is ending come and go.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    };
    list().map_err(|source| OpenError::Io { action: "list", path: store.to_owned(), source })
}

fn check_entry(path: &Path, found: &Metadata, is_known: impl Fn(FileType) -> bool) -> Result<(), OpenError> {
    let intruder = |found: String| Err(OpenError::Intruder { path: path.to_owned(), found });
    let me = rustix::process::geteuid().as_raw();
    match found.file_type() {
        _ if found.uid() != me => intruder(format!("of user {}, not of user {me}", found.uid())),
        kind if is_known(kind) => Ok(()),
        kind if kind.is_symlink() => intruder("a link".into()),
        kind if kind.is_dir() => intruder("a folder".into()),
        kind if kind.is_file() => intruder("a file".into()),
        _ => intruder("neither a file nor a folder".into()),
    }
}

/// IMPORTANT: the lock decides who is the daemon. It is a flock of a descriptor that no child inherits.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut open = OpenOptions::new();
    open.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link());
    let file = open.open(path.join(LOCK)).map_err(|source| OpenError::Io {
        action: "open the lock of",
        path: path.to_owned(),
        source,
    })?;
    match hold(&file) {
        Ok(()) => {
            tell_holder(&file);
            Ok(file)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(errno) => Err(OpenError::Io { action: "lock", path: path.to_owned(), source: errno.into() }),
    }
}

/// Takes the lock. Whoever looks whether anybody has it shares it for an instant, which is waited for.
fn hold(lock: &File) -> Result<(), rustix::io::Errno> {
    /// Longer than such a look takes, also on a busy machine.
    const LOOKS: Duration = Duration::from_secs(1);
    let begun = Instant::now();
    loop {
        let held = rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive);
        let is_looked_at = || rustix::fs::flock(lock, FlockOperation::NonBlockingLockShared).is_ok();
        if held != Err(rustix::io::Errno::WOULDBLOCK) || !is_looked_at() || begun.elapsed() > LOOKS {
            return held;
        }
        rustix::fs::flock(lock, FlockOperation::Unlock)?;
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Writes our name into the lock, for whoever can't call us. A store without it is as good, and the disk may be full.
fn tell_holder(lock: &File) {
    let written = Holder::current().and_then(|holder| {
        lock.set_len(0)?;
        lock.write_all_at(holder.to_string().as_bytes(), 0)
    });
    if let Err(error) = written {
        warn!(%error, "the store's lock can't be told who holds it; a command of another version can't stop this daemon");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_store_is_taken_by_one_daemon_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let lock = take(&path).unwrap();
        assert!(matches!(take(&path), Err(OpenError::InUse { .. })));
        drop(lock);
        take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    /// As `status` does, where systemd listens for the daemon.
    #[test]
    fn who_looks_whether_a_store_has_a_daemon_keeps_none_from_it() {
        let folder = tempfile::tempdir().unwrap();
        drop(take(folder.path()).unwrap());
        let (is_over, looks) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = Holder::has_none(folder.path());
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
            let taken = (0..).map(|_| take(folder.path()).is_ok());
            let all = taken.take_while(|_| looks.load(Ordering::Relaxed) < 5_000).all(|is_ok| is_ok);
            is_over.store(true, Ordering::Relaxed);
            assert!(all);
        });
    }

    #[test]
    fn a_folder_that_holds_something_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "years of work").unwrap();
        let error = take(folder.path()).unwrap_err();
        assert!(matches!(&error, OpenError::NotAStore { found, .. } if found == "thesis.tex"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    fn refused(prepare: impl FnOnce(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(take(&path).unwrap());
        prepare(&path);
        let error = take(&path).expect_err("it is refused");
        assert!(matches!(error, OpenError::Intruder { .. }), "{error}");
        error.to_string().replace(path.to_str().unwrap(), "STORE")
    }

    #[test]
    fn a_link_in_the_place_of_what_is_ours_is_refused_by_name_and_not_followed() {
        let elsewhere = tempfile::tempdir().unwrap();
        let (file, folder) = (elsewhere.path().join("letter"), elsewhere.path().join("letters"));
        fs::write(&file, "Dear Sir or Madam").unwrap();
        fs::create_dir(&folder).unwrap();
        for name in [LOCK, CACHEDIR_TAG, DAEMON_LOG, UNCLEAN] {
            let told = refused(|store| {
                fs::remove_file(store.join(name)).ok();
                symlink(&file, store.join(name)).unwrap();
            });
            assert_eq!(told, format!("STORE/{name} is a link; nothing like that belongs there, move it away"));
        }
        for name in [STAGING, BLOBS, "blobs/7f", "gen-1", DAMAGED, EVICTION] {
            let told = refused(|store| {
                fs::remove_dir_all(store.join(name)).ok();
                symlink(&folder, store.join(name)).unwrap();
            });
            assert_eq!(told, format!("STORE/{name} is a link; nothing like that belongs there, move it away"));
        }
        assert_eq!(fs::read(&file).unwrap(), b"Dear Sir or Madam");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        let told = refused(|store| {
            fs::remove_file(store.join(LOCK)).unwrap();
            fs::create_dir(store.join(LOCK)).unwrap();
        });
        assert!(told.starts_with("STORE/lock is a folder; "), "{told}");
    }

    #[test]
    fn a_store_that_was_open_to_others_is_closed_and_what_they_see_of_it_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(take(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
    }

    /// A store whose log was put aside could not be opened any more, nor one whose daemon had died as it put its link in place.
    #[test]
    fn what_a_daemon_leaves_in_its_store_is_known_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        drop(take(folder.path()).unwrap());
        fs::write(folder.path().join("daemon.log.old"), "long").unwrap();
        for (link, target) in [("sock", "/r/sock"), ("sock.new", "/r/sock"), ("current.new", "gen-1")] {
            symlink(target, folder.path().join(link)).unwrap();
        }
        take(folder.path()).unwrap();
    }

    /// The daemon did not start any more, and said that the store was none.
    #[test]
    fn a_stray_file_in_a_store_is_left_alone_and_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        drop(take(folder.path()).unwrap());
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        fs::write(folder.path().join(BLOBS).join("notes.txt"), "mine").unwrap();
        symlink("/etc", folder.path().join("etc")).unwrap();
        drop(take(folder.path()).unwrap());
        fs::remove_file(folder.path().join(CACHEDIR_TAG)).unwrap();
        assert!(take(folder.path()).is_err(), "nothing says that it is a store");
        symlink("gen-1", folder.path().join(CURRENT)).unwrap();
        drop(take(folder.path()).unwrap());
        assert_eq!(fs::read(folder.path().join("notes.txt")).unwrap(), b"mine");
    }
}
