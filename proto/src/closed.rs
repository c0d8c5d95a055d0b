//! Folders that this user is kept out of, or can't write to, or that are none: which it is, whose, and what to do. Changes nothing.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;

/// What the owner of a store's folder needs to be allowed.
const OWN: u32 = 0o700;

/// Why a folder can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// It is somebody else's.
    #[error(
        "permission denied: the folder `{}` belongs to user {owner}, not to user {me}; name one of your own with --dir or DATACACHE_DIR",
        .folder.display()
    )]
    Foreign {
        /// The folder: the store's, or one above it.
        folder: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user who wants it.
        me: u32,
    },
    /// Its mode keeps its own user out.
    #[error(
        "permission denied: the mode of your folder `{}` is {mode:o}; allow yourself to use it with `chmod u+rwx`, or name another \
         store with --dir or DATACACHE_DIR",
        .folder.display()
    )]
    Shut {
        /// The folder: the store's, or one above it.
        folder: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Its filesystem is mounted read-only.
    #[error(
        "the folder `{}` is on a read-only filesystem, where no daemon can keep a store; mount it for writing, or name another store \
         with --dir or DATACACHE_DIR",
        .folder.display()
    )]
    ReadOnly {
        /// The folder: the store's, or the one above it that is there.
        folder: PathBuf,
    },
    /// Something else is in its place.
    #[error("`{}` is {what}, and no folder for a store; move it away, or name another store with --dir or DATACACHE_DIR", .path.display())]
    NoFolder {
        /// What is in the way: the store's path, or one above it.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
}

impl Closed {
    /// Makes sure that this user can see what is in a store's folder, or that there is nothing.
    ///
    /// # Errors
    /// [`Closed`] names the folder on the way that keeps him out.
    pub fn check_sight(store: &Path) -> Result<(), Self> {
        match fs::symlink_metadata(store.join("x")) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Self::on_the_way(store)),
            Err(_) => Self::check_is_folder(store),
            Ok(_) => Ok(()),
        }
    }

    /// Makes sure that the lowest of a path that is there is a folder, or leads to one.
    fn check_is_folder(store: &Path) -> Result<(), Self> {
        let lowest = store.ancestors().find_map(|path| Some((path, fs::symlink_metadata(path).ok()?.file_type())));
        let Some((path, kind)) = lowest else { return Ok(()) };
        let what = match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(found) if found.is_file() => "a file",
            Ok(_) => "a device, pipe or socket",
            Err(error) if kind.is_symlink() && error.kind() == ErrorKind::NotFound => "a link that leads nowhere",
            Err(_) => return Ok(()),
        };
        Err(Self::NoFolder { path: path.to_owned(), what })
    }

    /// Makes sure that this user can keep a store in a folder, as far as can be told before it is tried: one that is there has to be
    /// his, and to allow him everything. What is wrong with it in other ways is not looked at.
    ///
    /// # Errors
    /// [`Closed`] names the folder that is in the way.
    pub fn check_use(store: &Path) -> Result<(), Self> {
        Self::check_sight(store)?;
        let existing = store.ancestors().find_map(|folder| Some((folder, fs::metadata(folder).ok()?)));
        let Some((folder, found)) = existing.filter(|(_, found)| found.is_dir()) else { return Ok(()) };
        // IMPORTANT: asked of the mode too. Nothing is closed to root, who may have closed it all the same.
        if folder == store && (found.uid() != me() || found.mode() & OWN != OWN) {
            return Err(Self::because_of(folder, &found));
        }
        match rustix::fs::accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            Err(Errno::ROFS) => Err(Self::ReadOnly { folder: folder.to_owned() }),
            Err(Errno::ACCESS) => Err(Self::because_of(folder, &found)),
            _ => Ok(()),
        }
    }

    /// The lowest folder that can be looked at is the one that lets nobody any further.
    fn on_the_way(store: &Path) -> Self {
        let seen = store.ancestors().find_map(|folder| Some((folder, fs::metadata(folder).ok()?)));
        match seen {
            Some((folder, found)) => Self::because_of(folder, &found),
            None => Self::Shut { folder: store.to_owned(), mode: 0 },
        }
    }

    fn because_of(folder: &Path, found: &Metadata) -> Self {
        let (folder, owner, me) = (folder.to_owned(), found.uid(), me());
        if owner == me {
            Self::Shut { folder, mode: found.mode() & 0o7777 }
        } else {
            Self::Foreign { folder, owner, me }
        }
    }
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn set_mode(folder: &Path, mode: u32) {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_that_its_owner_closed_is_not_used_and_one_that_is_not_there_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("a/store");
        assert_eq!(Closed::check_use(&store), Ok(()));
        fs::create_dir_all(&store).unwrap();
        set_mode(&store, 0o755);
        assert_eq!(Closed::check_use(&store), Ok(()));
        set_mode(&store, 0o500);
        assert_eq!(Closed::check_use(&store), Err(Closed::Shut { folder: store.clone(), mode: 0o500 }));
        assert_eq!(Closed::check_sight(&store), Ok(()), "it can be read");
        set_mode(&store, 0o700);
        assert_eq!(Closed::check_use(&store.join("..")), Ok(()));
    }

    #[test]
    fn what_is_in_the_place_of_a_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, alias, dangling] = ["file", "link", "alias", "dangling"].map(|name| folder.path().join(name));
        fs::write(&file, "").unwrap();
        for (target, link) in
            [(&file, &link), (&folder.path().to_owned(), &alias), (&folder.path().join("gone"), &dangling)]
        {
            std::os::unix::fs::symlink(target, link).unwrap();
        }
        let found = |path: &Path, what| Err(Closed::NoFolder { path: path.to_owned(), what });
        for check in [Closed::check_use, Closed::check_sight] {
            assert_eq!(check(&file), found(&file, "a file"));
            assert_eq!(check(&file.join("below/it")), found(&file, "a file"));
            assert_eq!(check(&link), found(&link, "a file"));
            assert_eq!(check(&dangling), found(&dangling, "a link that leads nowhere"));
            assert_eq!(check(&alias.join("store")), Ok(()), "a link to a folder is as good");
        }
    }
}
