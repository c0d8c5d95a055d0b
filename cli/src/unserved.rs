//! Whether it can be seen that no daemon runs, without asking: where systemd listens, it would start one for whoever connects.

use std::fs;

use datacache_proto::holder::Holder;
use datacache_proto::layout::LOCK;
use datacache_proto::paths::Paths;

/// Tells whether it can be seen that nobody serves at these places, whose socket follows from the store and where nobody but systemd listens
/// for a daemon that does not run. Where it can't, one may run that is out of sight, as outside of a container.
pub(crate) fn is_unserved(paths: &Paths) -> bool {
    let Paths { store, store_link, is_default, .. } = paths;
    match fs::read_link(store_link) {
        // The last daemon at the socket had another store, which may not be seen from here.
        Ok(linked) if linked != *store => false,
        Err(_) if *is_default && store.join(LOCK).symlink_metadata().is_err() => true,
        _ => Holder::has_none(store),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::symlink;

    fn place() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let [store, socket, store_link, config] = ["s", "sock", "store", "c"].map(|name| folder.path().join(name));
        (folder, Paths { store, socket, store_link, config, is_default: true })
    }

    /// Makes the store with a lock, which is handed out.
    fn make(paths: &Paths) -> File {
        fs::create_dir(&paths.store).unwrap();
        File::create(paths.store.join(LOCK)).unwrap()
    }

    #[test]
    fn a_store_is_unserved_while_nobody_holds_its_lock() {
        let (_folder, paths) = place();
        let lock = make(&paths);
        for _ in 0..2 {
            assert!(is_unserved(&paths));
            lock.lock().unwrap();
            assert!(!is_unserved(&paths));
            lock.unlock().unwrap();
            // The first time.
            symlink(&paths.store, &paths.store_link).ok();
        }
        assert!(paths.store_link.is_symlink());
    }

    #[test]
    fn where_a_store_never_was_nobody_serves_it() {
        let (_folder, paths) = place();
        assert!(is_unserved(&paths));
        assert!(!is_unserved(&Paths { is_default: false, ..paths }), "it may be one that is not seen here");
    }

    #[test]
    fn a_daemon_may_run_whose_store_is_another_one_or_not_seen_here() {
        let (_folder, paths) = place();
        symlink("/not/seen/here", &paths.store_link).unwrap();
        assert!(!is_unserved(&paths));
        let _lock = make(&paths);
        assert!(!is_unserved(&paths));
    }
}
