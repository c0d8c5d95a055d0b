//! The links by which socket and store lead to each other: a reader finds the store without asking, a client of a store
//! its socket.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use datacache_proto::layout::SOCKET_LINK;
use datacache_proto::paths::{Overrides, Paths};

use crate::listener::Listener;
use crate::store::failpoint::failpoint;

/// The links of a running daemon.
#[derive(Debug)]
pub(crate) struct Links {
    to_socket: PathBuf,
    to_store: PathBuf,
}

impl Links {
    /// Puts both links in place. A daemon without them serves all the same.
    pub(crate) fn put(paths: &Paths, listener: &Listener) -> Self {
        let to_socket = paths.store.join(SOCKET_LINK);
        let to_store = link_beside(paths, listener.address());
        for link in [&to_socket, &to_store] {
            sweep(link.parent().unwrap_or(&paths.store));
        }
        for (target, link) in [(listener.address(), &to_socket), (&paths.store, &to_store)] {
            if let Err(error) = swap(target, link) {
                tracing::warn!(link = %link.display(), %error, "a link can't be put in place");
            }
        }
        Self { to_socket, to_store }
    }

    /// Removes the link to a socket that goes. The one to the store stays, unless that goes too: it keeps the default socket for this
    /// store where processes have several values of `HOME`, and leads readers that know the socket alone to the store while systemd
    /// listens. Links to stores that are gone are swept by the next daemon.
    pub(crate) fn remove(&self, listener: &Listener, is_store_gone: bool) {
        if is_store_gone {
            fs::remove_file(&self.to_store).ok();
        }
        let is_ours = fs::read_link(&self.to_socket).is_ok_and(|target| target == listener.address());
        if listener.is_bound_here() && is_ours {
            fs::remove_file(&self.to_socket).ok();
        }
    }
}

/// Removes the links to stores that are gone.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        let is_ours = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if is_ours && (name == "store" || name.ends_with(".store")) && leads_nowhere(&path) {
            // Another daemon may have been here first.
            fs::remove_file(path).ok();
        }
    }
}

fn leads_nowhere(link: &Path) -> bool {
    fs::metadata(link).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
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
    // Always the same: what a daemon leaves that dies before the next step, its successor removes. And in the store's folder no
    // name may lie that does not belong there: it would be taken for something else than a store.
    let mut name = link.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = link.with_file_name(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => std::os::unix::fs::symlink(target, &temporary)?,
    }
    failpoint!(LinkPrepared);
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
    fn links_to_stores_that_are_gone_are_removed_and_no_others() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("a store");
        fs::create_dir(&store).unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, target) in
            [("dead.store", Path::new("/gone")), ("live.store", &store), ("gone.link", Path::new("/gone"))]
        {
            symlink(target, path(name)).unwrap();
        }
        fs::write(path("file.store"), "").unwrap();
        sweep(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a store", "file.store", "gone.link", "live.store"]);
    }

    #[test]
    fn what_a_daemon_left_that_died_half_way_goes_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("sock");
        std::os::unix::fs::symlink("/dead", folder.path().join("sock.new")).unwrap();
        swap(Path::new("/target"), &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("/target"));
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
