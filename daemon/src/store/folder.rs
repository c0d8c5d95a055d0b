//! The store's folder: making it, making sure that it is ours alone, and finding the live generation in it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use datacache_proto::holder::Holder;
use datacache_proto::layout::{BLOBS, CACHEDIR_TAG, CURRENT, DAEMON_LOG, GENERATION_PREFIX, LOCK, LOG, STAGING};
use rustix::fs::FlockOperation;
use tracing::warn;

use super::blob::{BlobStore, create_private};
use super::error::OpenError;

/// What may lie in a folder that is about to become a store.
const EXPECTED: [&str; 10] =
    [BLOBS, CACHEDIR_TAG, CURRENT, DAEMON_LOG, "daemon.log.old", LOCK, STAGING, "config.toml", "run", "start.lock"];

const CACHEDIR_TEXT: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder is a cache of datacache; it can be removed while no daemon runs.\n";

/// Takes the folder for this daemon alone, making it where it is new. Holding the returned file holds the lock.
pub(super) fn take(path: &Path) -> Result<File, OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io("create the folders above"))?;
    }
    create_private(path).map_err(io("create"))?;
    check_owner(path)?;
    check_content(path)?;
    if current(path).is_ok_and(|live| live.is_none()) {
        sync_names(path);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io("set the mode of"))?;
    let lock = lock(path)?;
    BlobStore::create_folders(path).map_err(io("create the folders in"))?;
    let tag = path.join(CACHEDIR_TAG);
    // Not anew, which would need room.
    if !fs::read(&tag).is_ok_and(|text| text == CACHEDIR_TEXT.as_bytes()) {
        fs::write(tag, CACHEDIR_TEXT).map_err(io("write CACHEDIR.TAG in"))?;
    }
    Ok(lock)
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
    if metadata.uid() != me {
        return Err(OpenError::Foreign { path: path.to_owned(), owner: metadata.uid(), me });
    }
    if !metadata.is_dir() {
        return Err(OpenError::NotAStore { path: path.to_owned(), found: "a file".to_owned() });
    }
    Ok(())
}

/// Refuses a folder that somebody uses for something else: a store removes what it does not know from its folders.
fn check_content(path: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { action: "list", path: path.to_owned(), source };
    for entry in fs::read_dir(path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_string_lossy();
        let known = EXPECTED.contains(&&*name)
            || name.starts_with(GENERATION_PREFIX)
            || name.starts_with("sock")
            || is_passing(&name)
            || name.starts_with("current");
        if !known {
            return Err(OpenError::NotAStore { path: path.to_owned(), found: name.into_owned() });
        }
    }
    Ok(())
}

/// A name that a link to the socket has until it is in place, see `links`.
fn is_passing(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".sock")
}

/// IMPORTANT: the lock decides who is the daemon. It is a flock of a descriptor that no child inherits.
fn lock(path: &Path) -> Result<File, OpenError> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK));
    let file = open.map_err(|source| OpenError::Io { action: "open the lock of", path: path.to_owned(), source })?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            tell_holder(&file);
            Ok(file)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(errno) => Err(OpenError::Io { action: "lock", path: path.to_owned(), source: errno.into() }),
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

/// Returns the folder of the live generation, `None` in a store that has none yet.
pub(super) fn current(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_link(path.join(CURRENT)) {
        Ok(target) => Ok(Some(path.join(target))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the folders of the first generation; what a daemon left that died before it was live is thrown away.
pub(super) fn create_generation(path: &Path) -> io::Result<PathBuf> {
    create_numbered(path, 1)
}

/// Makes the folders of the generation after `old`, in the same way.
pub(super) fn create_generation_after(path: &Path, old: &Path) -> io::Result<PathBuf> {
    let number = old.file_name().and_then(|name| name.to_str()?.strip_prefix(GENERATION_PREFIX)?.parse::<u64>().ok());
    create_numbered(path, number.and_then(|number| number.checked_add(1)).unwrap_or(1))
}

fn create_numbered(path: &Path, number: u64) -> io::Result<PathBuf> {
    let generation = path.join(format!("{GENERATION_PREFIX}{number}"));
    match fs::remove_dir_all(&generation) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create_private(&generation)?;
    create_private(&generation.join(LOG))?;
    Ok(generation)
}

/// Removes all generations but the live one.
pub(super) fn remove_others(path: &Path, live: &Path) -> io::Result<()> {
    let is_other =
        |name: &OsString| name.to_string_lossy().starts_with(GENERATION_PREFIX) && live.file_name() != Some(name);
    let names: io::Result<Vec<OsString>> = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect();
    let others: Vec<OsString> = names?.into_iter().filter(is_other).collect();
    if others.is_empty() {
        return Ok(());
    }
    // IMPORTANT: first. Whoever made the other one live may have died before that was durable.
    File::open(path)?.sync_all()?;
    others.into_iter().try_for_each(|name| fs::remove_dir_all(path.join(name)))
}

/// Makes a generation the live one.
pub(super) fn make_current(path: &Path, generation: &Path) -> io::Result<()> {
    let temporary = path.join("current.new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(generation.file_name().unwrap_or_default(), &temporary)?;
    fs::rename(&temporary, path.join(CURRENT))?;
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_folder_that_holds_something_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "years of work").unwrap();
        let error = take(folder.path()).unwrap_err();
        assert!(matches!(&error, OpenError::NotAStore { found, .. } if found == "thesis.tex"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// A store whose log was put aside could not be opened any more, nor one whose daemon had died as it put its link in place.
    #[test]
    fn what_a_daemon_leaves_in_its_store_is_known_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        drop(take(folder.path()).unwrap());
        fs::write(folder.path().join("daemon.log.old"), "long").unwrap();
        for (link, target) in [("sock", "/r/sock"), (".1f.sock", "/r/sock"), ("current.new", "gen-1")] {
            symlink(target, folder.path().join(link)).unwrap();
        }
        take(folder.path()).unwrap();
    }

    #[test]
    fn a_generation_is_live_once_the_link_names_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(current(folder.path()).unwrap(), None);
        let generation = create_generation(folder.path()).unwrap();
        assert_eq!(current(folder.path()).unwrap(), None);
        make_current(folder.path(), &generation).unwrap();
        assert_eq!(current(folder.path()).unwrap(), Some(generation));
    }

    #[test]
    fn a_generation_follows_another_and_only_the_live_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = create_generation(folder.path()).unwrap();
        let second = create_generation_after(folder.path(), &first).unwrap();
        let third = create_generation_after(folder.path(), &second).unwrap();
        remove_others(folder.path(), &second).unwrap();
        assert_eq!([&first, &second, &third].map(|generation| generation.exists()), [false, true, false]);
    }
}
