//! Readers that the next table of readers does not know of. LMDB begins that table anew where nobody has the index open; where somebody
//! has, and the table is damaged or gone, it is made anew here, and whoever reads by the old one is seen by no writer any more: the pages
//! that he looks at would be used again under him.
//!
//! So he keeps the file that he reads, which nobody writes to any more. In this order: he is told to look elsewhere, else he would go on
//! in that file for ever; a copy that is on the disk takes the file's place; the table goes. Who dies in between leaves an index that
//! the next daemon meets with as this one did.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use datacache_proto::layout::{DATA_FILE, LOCK_FILE, STAGING};
use tracing::error;

use super::environment::forget_lock_file;
use super::error::OpenError;
use super::failpoint::failpoint;
use super::generation;
use super::index::Index;

/// Makes the table of readers anew of an index that has none any more.
pub(super) fn mend_lost_table(path: &Path) -> Result<(), OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    let live = generation::current(path).map_err(io("find the live generation of"))?;
    let is_lost = live.as_ref().is_some_and(|generation| {
        let is_there =
            |name| fs::metadata(generation.join(name)).map_or_else(|error| !is_missing(&error), |file| file.len() > 0);
        is_there(DATA_FILE) && !is_there(LOCK_FILE)
    });
    match live {
        Some(generation) if is_lost => {
            // IMPORTANT: before anything is copied: a copy of what a link leads to would pass for ours.
            generation::check_generation(path, &generation)?;
            forget_readers(path).map(drop)
        }
        _ => Ok(()),
    }
}

/// Removes the table of readers, for LMDB to make it anew; tells whether there is an index.
pub(super) fn forget_readers(path: &Path) -> Result<bool, OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    let Some(generation) = generation::current(path).map_err(io("find the live generation of"))? else {
        return Ok(false);
    };
    error!("the index's table of readers is damaged or gone; it is made anew");
    Index::end_any(&generation).map_err(io("send the readers elsewhere in"))?;
    failpoint!(UnseenEnded);
    replace_by_copy(path, &generation).map_err(io("copy the index of"))?;
    forget_lock_file(&generation).map_err(io("remove the damaged table of readers in"))?;
    failpoint!(UnseenForgotten);
    Ok(true)
}

/// Gives an index another file with the same content.
fn replace_by_copy(path: &Path, generation: &Path) -> io::Result<()> {
    // What a death leaves there is swept.
    let (data, copy) = (generation.join(DATA_FILE), path.join(STAGING).join("index"));
    // IMPORTANT: a file that has this name may have another one as well.
    fs::remove_file(&copy).or_else(|error| if is_missing(&error) { Ok(()) } else { Err(error) })?;
    let copied = fs::copy(&data, &copy).and_then(|_| File::open(&copy)?.sync_all());
    failpoint!(UnseenCopied);
    if let Err(error) = copied.and_then(|()| fs::rename(&copy, &data)) {
        fs::remove_file(&copy).ok();
        return Err(error);
    }
    failpoint!(UnseenReplaced);
    // IMPORTANT: before anything is written to it: the file before would come back after a loss of power.
    File::open(generation)?.sync_all()
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use datacache_proto::layout::CURRENT;

    use super::super::command::NewValue;
    use super::super::store::Store;
    use super::super::testing::{NOW, options, put};
    use super::*;

    /// The new table does not know of him, and the pages that he looked at were used again. Where there is no room for a copy, nobody
    /// writes to them either.
    #[test]
    fn who_reads_while_the_table_of_readers_is_made_anew_keeps_the_file_that_he_reads() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let mut store = Store::open(options.clone(), NOW).unwrap();
        put(&mut store, NewValue::Inline(vec![1].into()));
        store.close(NOW).unwrap();
        let [data, table] = [DATA_FILE, LOCK_FILE].map(|name| options.path.join(CURRENT).join(name));
        let number = || fs::metadata(&data).unwrap().ino();
        let (content, before) = (fs::read(&data).unwrap(), number());
        fs::remove_file(&table).unwrap();
        let in_the_way = options.path.join(STAGING).join("index");
        fs::create_dir(&in_the_way).unwrap();
        Store::open(options.clone(), NOW).unwrap_err();
        assert!(number() == before && !table.exists());
        fs::remove_dir(&in_the_way).unwrap();
        let _reader = File::open(&data).unwrap();
        assert!(forget_readers(&options.path).unwrap());
        assert_ne!(number(), before);
        assert!(fs::read(&data).unwrap() == content, "it is the same index");
        assert!(!in_the_way.exists());
        assert_eq!(Store::open(options, NOW).unwrap().namespaces().len(), 1);
    }

    /// What it led to was copied, and the copy was taken for an index of ours.
    #[test]
    fn a_link_in_the_place_of_an_index_without_a_table_of_readers_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        Store::open(options.clone(), NOW).unwrap().close(NOW).unwrap();
        let [data, table] = [DATA_FILE, LOCK_FILE].map(|name| options.path.join(CURRENT).join(name));
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&data, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &data).unwrap();
        fs::remove_file(table).unwrap();
        assert!(matches!(Store::open(options, NOW), Err(OpenError::Intruder { .. })));
        assert!(data.is_symlink(), "it is left as it is");
    }
}
