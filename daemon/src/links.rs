//! The links by which socket and store lead to each other: a reader finds the store without asking, a client of a store
//! its socket.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use datacache_proto::layout::SOCKET_LINK;
use datacache_proto::paths::{Overrides, Paths};

use crate::listener::Listener;

/// The links of a running daemon.
#[derive(Debug)]
pub(crate) struct Links {
    to_socket: PathBuf,
}

impl Links {
    /// Puts both links in place. A daemon without them serves all the same.
    pub(crate) fn put(paths: &Paths, listener: &Listener) -> Self {
        let to_socket = paths.store.join(SOCKET_LINK);
        let to_store = link_beside(paths, listener.address());
        for (target, link) in [(listener.address(), &to_socket), (&paths.store, &to_store)] {
            if let Err(error) = swap(target, link) {
                tracing::warn!(link = %link.display(), %error, "a link can't be put in place");
            }
        }
        Self { to_socket }
    }

    /// Removes the link to a socket that goes. The one to the store stays: reading needs no daemon.
    pub(crate) fn remove(&self, listener: &Listener) {
        let is_ours = fs::read_link(&self.to_socket).is_ok_and(|target| target == listener.address());
        if listener.is_bound_here() && is_ours {
            fs::remove_file(&self.to_socket).ok();
        }
    }
}

/// Returns where the link to the store belongs: beside the socket, which systemd may have put elsewhere.
fn link_beside(paths: &Paths, socket: &Path) -> PathBuf {
    if socket == paths.socket {
        return paths.store_link.clone();
    }
    let overrides = Overrides { dir: Some(paths.store.clone()), socket: Some(socket.to_owned()) };
    Paths::resolve(&overrides).map_or_else(|_| paths.store_link.clone(), |there| there.store_link)
}

/// Puts a link at `link` that leads to `target`, in place of what was there, without a moment in between.
fn swap(target: &Path, link: &Path) -> io::Result<()> {
    let mut name = OsString::from(format!(".{:x}.", std::process::id()));
    name.push(link.file_name().unwrap_or_default());
    let temporary = link.with_file_name(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => std::os::unix::fs::symlink(target, &temporary)?,
    }
    fs::rename(&temporary, link).inspect_err(|_| {
        // Best effort: the error that matters is already on its way.
        fs::remove_file(&temporary).ok();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_swapped_whatever_stood_there() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("store");
        fs::write(&link, "a file").unwrap();
        for target in ["/first", "/second"] {
            swap(Path::new(target), &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_that_can_not_be_put_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("store");
        fs::create_dir_all(link.join("in the way")).unwrap();
        swap(Path::new("/target"), &link).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_link_to_the_store_stands_beside_the_socket_that_is_used() {
        let places = ["/r/store", "/r/sock", "/r/link", "/r/config"].map(PathBuf::from);
        let [store, socket, store_link, config] = places;
        let paths = Paths { store, socket, store_link, config, is_default: false };
        assert_eq!(link_beside(&paths, Path::new("/r/sock")), Path::new("/r/link"));
        assert_eq!(link_beside(&paths, Path::new("/s/other")), Path::new("/s/other.store"));
    }
}
