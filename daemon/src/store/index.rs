//! The file `recent`, mapped: the only home of the shared words in the daemon.

use std::io;
use std::path::Path;

use datacache_proto::layout::RECENT;
use datacache_proto::recent::{FILE_LEN, Header, HeaderError, MappedMut, Mark, View, Word, Words, finish};

use super::shared::SharedWords;

/// The mapped index. Shared with the thread that clears tables.
#[derive(Debug)]
pub(super) struct Index(SharedWords);

impl Index {
    /// Maps the index in `folder` if it was made by a daemon of this boot, through this mount, for this store: then
    /// readers may be attached to it. `None` where a new one has to be made: readers of the one that is there are told so.
    pub(super) fn open(folder: &Path, store_id: u128) -> io::Result<Option<Self>> {
        let Some((file, shared)) = SharedWords::open(&folder.join(RECENT), FILE_LEN)? else { return Ok(None) };
        let index = Self(shared);
        let expected = Header::expected(&file, store_id)?;
        let found = match index.words().as_mapped().header() {
            Ok(found) => found,
            Err(HeaderError::Layout { .. }) => {
                // Another build made it, and readers of that build may be attached. This much is alike in all layouts.
                finish(&index.words());
                return Ok(None);
            }
            Err(_) => return Ok(None),
        };
        if found.check(&expected).is_ok() {
            // One that is over was left by a daemon that died before its successor was there.
            let is_over = View::from_word(index.words().load(Word::View)).is_over();
            return Ok((!is_over).then_some(index));
        }
        if (Header { mount: expected.mount, ..found }) == expected {
            // Its daemon ran in another namespace of mounts: readers there are attached, and are to come to the new one.
            finish(&index.words());
        }
        Ok(None)
    }

    /// Ends the index that may be in `folder`, so that whoever is attached to it comes to the one that is made next.
    pub(super) fn end(folder: &Path, store_id: u128) -> io::Result<()> {
        if let Some(index) = Self::open(folder, store_id)? {
            finish(&index.words());
        }
        Ok(())
    }

    /// Ends the index that may be in `folder`, whosever it is: nobody is to read that folder any more.
    pub(super) fn end_any(folder: &Path) -> io::Result<()> {
        let found = SharedWords::open(&folder.join(RECENT), FILE_LEN)?;
        if let Some((_, shared)) = found {
            finish(&Self(shared).words());
        }
        Ok(())
    }

    /// Makes a new index and puts it in the place of the one that may be there.
    pub(super) fn create(folder: &Path, store_id: u128, prepare: impl FnOnce(MappedMut<'_>)) -> io::Result<Self> {
        let made = SharedWords::create(&folder.join(RECENT), FILE_LEN, |file, words| {
            let words = MappedMut::new(words).map_err(io::Error::other)?;
            prepare(words);
            words.write_header(&Header::expected(file, store_id)?);
            Ok(())
        });
        made.map(Self)
    }

    /// Returns the shared words.
    pub(super) fn words(&self) -> MappedMut<'_> {
        MappedMut::new(self.0.words()).expect("the length was looked at when the file was mapped")
    }

    /// Says whether the store is in use, and makes that durable.
    pub(super) fn set_mark(&self, mark: Mark) -> io::Result<()> {
        self.words().set_mark(mark);
        self.0.flush_header()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::recent::begin;
    use std::sync::atomic::Ordering;

    #[test]
    fn an_index_of_this_boot_is_taken_over_and_another_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Index::open(folder.path(), 7).unwrap().is_none());
        let made = Index::create(folder.path(), 7, |words| {
            begin(&words, 3);
        });
        drop(made.unwrap());
        let index = Index::open(folder.path(), 7).unwrap().expect("it was made in this boot");
        assert_eq!(index.words().load(Word::View), View::alone(3).to_word());
        assert!(Index::open(folder.path(), 8).unwrap().is_none(), "it belongs to store 7");
    }

    #[test]
    fn a_copied_index_is_not_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        drop(Index::create(folder.path(), 7, |_| ()).unwrap());
        std::fs::copy(folder.path().join(RECENT), folder.path().join("copy")).unwrap();
        std::fs::rename(folder.path().join("copy"), folder.path().join(RECENT)).unwrap();
        assert!(Index::open(folder.path(), 7).unwrap().is_none());
    }

    /// Its readers would have gone on looking into a log that nobody writes any more.
    #[test]
    fn an_index_of_another_mount_is_over_for_its_readers() {
        let folder = tempfile::tempdir().unwrap();
        let attached = Index::create(folder.path(), 7, |words| {
            begin(&words, 3);
        });
        let attached = attached.unwrap();
        let here = attached.words().as_mapped().header().unwrap();
        attached.words().write_header(&Header { mount: here.mount + 1, ..here });
        assert!(Index::open(folder.path(), 7).unwrap().is_none());
        assert!(View::from_word(attached.words().load(Word::View)).is_over());

        attached.words().write_header(&here);
        assert!(Index::open(folder.path(), 7).unwrap().is_none(), "what is over is not taken over");
    }

    /// They would have missed what is written from then on, until they looked for the file's place.
    #[test]
    fn an_index_of_another_layout_is_over_for_its_readers() {
        let folder = tempfile::tempdir().unwrap();
        let attached = Index::create(folder.path(), 7, |words| {
            begin(&words, 3);
        });
        let attached = attached.unwrap();
        // The version stands behind the magic.
        attached.0.words()[1].fetch_add(1, Ordering::Relaxed);
        assert!(Index::open(folder.path(), 7).unwrap().is_none());
        assert!(View::from_word(attached.words().load(Word::View)).is_over());
    }

    #[test]
    fn readers_of_an_index_that_is_ended_go_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        Index::end(folder.path(), 7).unwrap();
        let attached = Index::create(folder.path(), 7, |words| {
            begin(&words, 3);
        });
        let attached = attached.unwrap();
        Index::end(folder.path(), 8).unwrap();
        assert!(!View::from_word(attached.words().load(Word::View)).is_over(), "it belongs to store 7");
        Index::end(folder.path(), 7).unwrap();
        assert!(View::from_word(attached.words().load(Word::View)).is_over());
        assert!(Index::open(folder.path(), 7).unwrap().is_none());
    }
}
