//! Generations: the index and its log lie in a folder that a link makes the live one, so that another can take its place at once.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use datacache_proto::layout::{CURRENT, DATA_FILE, GENERATION_PREFIX, LOG, RECENT};
use tracing::warn;

use super::blob::create_private;
use super::error::OpenError;
use super::failpoint::failpoint;
use super::folder::check_below;

/// The link to a generation that is about to be the live one.
const PREPARED: &str = "current.new";

/// Returns the folder of the live generation, `None` in a store that has none yet.
pub(super) fn current(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_link(path.join(CURRENT)) {
        Ok(target) if is_generation(&target) => Ok(Some(path.join(target))),
        Ok(target) => {
            let reason = format!("`{CURRENT}` leads to `{}`, which is none", target.display());
            Err(io::Error::new(io::ErrorKind::InvalidData, reason))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a generation the live one again whose link is gone, as in a copy that leaves links out. Only where it is the one there is: of two,
/// one may be half of a copy. The caller knows that the store had a live one.
pub(super) fn link_again(path: &Path) -> io::Result<()> {
    if current(path)?.is_some() {
        return Ok(());
    }
    let mut generations = names(path)?.into_iter().map(|name| path.join(name));
    if let (Some(generation), None) = (generations.next(), generations.next())
        && is_made(&generation)
    {
        warn!(generation = %generation.display(), "the link `{CURRENT}` to the index is gone; it is made anew");
        make_current(path, &generation)?;
    }
    Ok(())
}

/// Tells whether a generation has all that the making of one brings.
fn is_made(generation: &Path) -> bool {
    let is_there = |name| fs::metadata(generation.join(name)).is_ok_and(|file| file.is_file() && file.len() > 0);
    is_there(DATA_FILE) && is_there(RECENT)
}

/// Returns the names of all generations.
fn names(path: &Path) -> io::Result<Vec<OsString>> {
    let names: io::Result<Vec<OsString>> = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect();
    Ok(names?.into_iter().filter(|name| name.to_string_lossy().starts_with(GENERATION_PREFIX)).collect())
}

/// Tells whether a path is a generation's name, and leads nowhere else.
fn is_generation(target: &Path) -> bool {
    let mut components = target.components();
    let is_name = |name: &OsStr| name.to_string_lossy().starts_with(GENERATION_PREFIX);
    matches!((components.next(), components.next()), (Some(Component::Normal(name)), None) if is_name(name))
}

/// Checks that the files of a generation are ours, and no links.
pub(super) fn check_generation(path: &Path, generation: &Path) -> Result<(), OpenError> {
    check_below(path, generation)?;
    check_below(path, &generation.join(LOG))
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
    failpoint!(GenerationMade);
    Ok(generation)
}

/// Removes all generations but the live one.
pub(super) fn remove_others(path: &Path, live: &Path) -> io::Result<()> {
    let mut others = names(path)?;
    others.retain(|name| live.file_name() != Some(name));
    if others.is_empty() {
        return Ok(());
    }
    // IMPORTANT: first. Whoever made the other one live may have died before that was durable.
    File::open(path)?.sync_all()?;
    others.into_iter().try_for_each(|name| fs::remove_dir_all(path.join(name)))
}

/// Makes a generation the live one.
pub(super) fn make_current(path: &Path, generation: &Path) -> io::Result<()> {
    prepare_current(path, generation)?;
    put_current(path)
}

/// Does of that what wants room: the link to the generation is there, under another name.
pub(super) fn prepare_current(path: &Path, generation: &Path) -> io::Result<()> {
    forget_current(path)?;
    symlink(generation.file_name().unwrap_or_default(), path.join(PREPARED))?;
    failpoint!(CurrentPrepared);
    Ok(())
}

/// Removes a link that was prepared, if there is one.
pub(super) fn forget_current(path: &Path) -> io::Result<()> {
    match fs::remove_file(path.join(PREPARED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Does the rest, at once and for good.
pub(super) fn put_current(path: &Path) -> io::Result<()> {
    fs::rename(path.join(PREPARED), path.join(CURRENT))?;
    failpoint!(CurrentInPlace);
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::command::NewValue;
    use super::super::folder::UNCLEAN;
    use super::super::store::Store;
    use super::super::testing::{NOW, options, put};
    use super::*;

    /// Another store took its place without a word, and what was in it was removed.
    #[test]
    fn an_index_whose_link_is_gone_is_found_where_it_is_the_one_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let (link, half) = (options.path.join(CURRENT), options.path.join("gen-9"));
        let namespaces = || Store::open(options.clone(), NOW).unwrap().namespaces().len();
        let mut store = Store::open(options.clone(), NOW).unwrap();
        put(&mut store, NewValue::Inline(vec![1].into()));
        drop(store);
        fs::remove_file(&link).unwrap();
        assert_eq!(namespaces(), 1, "a daemon died");
        Store::open(options.clone(), NOW).unwrap().close(NOW).unwrap();
        fs::remove_file(&link).unwrap();
        assert_eq!(namespaces(), 1, "it was closed");
        fs::remove_dir_all(options.path.join("gen-1")).unwrap();
        fs::remove_file(&link).unwrap();
        create_numbered(&options.path, 9).unwrap();
        assert_eq!(namespaces(), 0, "nobody had made all of that one");
        assert!(!half.exists());
        let mut store = Store::open(options.clone(), NOW).unwrap();
        put(&mut store, NewValue::Inline(vec![1].into()));
        drop(store);
        fs::remove_file(&link).unwrap();
        fs::write(options.path.join(UNCLEAN), "2").unwrap();
        assert_eq!(namespaces(), 0, "it may never have been live");
    }

    #[test]
    fn a_link_to_the_live_generation_that_leads_elsewhere_is_refused() {
        for target in ["/elsewhere/gen-1", "../gen-1", "gen-1/..", "blobs", "."] {
            let folder = tempfile::tempdir().unwrap();
            symlink(target, folder.path().join(CURRENT)).unwrap();
            let error = current(folder.path()).unwrap_err();
            assert!(error.to_string().contains(target), "{error}");
        }
    }

    #[test]
    fn a_link_among_the_files_of_a_generation_is_refused() {
        for name in ["data.mdb", "log/00000001"] {
            let folder = tempfile::tempdir().unwrap();
            let generation = create_generation(folder.path()).unwrap();
            check_generation(folder.path(), &generation).unwrap();
            symlink("/etc/hostname", generation.join(name)).unwrap();
            let error = check_generation(folder.path(), &generation).unwrap_err();
            assert!(error.to_string().contains(&format!("{name} is a link")), "{error}");
        }
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
