//! The index that was moved aside, and what went with it. The large values that it named are files of the store, which nobody names any
//! more: they are swept, and only a note in the folder tells how many there were.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use datacache_proto::layout::BLOBS;
use datacache_proto::types::{Digest, LostValues, MovedAside};
use tracing::debug;

use super::folder::{DAMAGED, no_link};

/// The note, in the folder of a generation that is about to be moved aside: a sentence for people, and in the last line the number of the
/// store's large values and of their bytes. It was written when the index was moved.
const NOTE: &str = "lost";
/// No note is longer.
const NOTE_MAX: u64 = 64 << 10;
/// What blocks of files are counted in.
const SECTOR: u64 = 512;

/// Returns what is known of the index that the store in `path` has lying aside; `None` where there is none.
#[must_use]
pub fn moved_aside(path: &Path) -> Option<MovedAside> {
    let folder = path.join(DAMAGED);
    let found = fs::symlink_metadata(&folder).ok().filter(Metadata::is_dir)?;
    let (written, lost) = read_note(&folder).unzip();
    // The folder got its name last, if nothing else is known.
    let changed = || SystemTime::UNIX_EPOCH + Duration::from_secs(found.ctime().try_into().unwrap_or(0));
    Some(MovedAside {
        since: written.unwrap_or_else(changed).into(),
        bytes: size(&folder).unwrap_or(0),
        lost: lost.flatten(),
        folder: folder.to_string_lossy().into_owned(),
    })
}

/// Notes in the folder of a generation that is beyond reading what the store in `path` loses with it, and returns that. A disk that is full
/// takes no note, and nobody is told how much it was.
pub(super) fn note_loss(path: &Path, generation: &Path, how: &str) -> Option<LostValues> {
    let lost = large_values(&path.join(BLOBS)).inspect_err(|error| debug!(%error, "large values can't be counted"));
    let LostValues { values, bytes } = lost.ok()?;
    let text = format!(
        "This is the index of a store of datacache. It could not be read ({how}), and the store began empty. Its large values were \
         files of their own, which went with it. Remove this folder once nobody wants to look at it. Large values, and their bytes:\n\
         {values} {bytes}\n"
    );
    if let Err(error) = write_note(generation, &text) {
        debug!(%error, "nothing will tell how much was lost with the index");
    }
    Some(LostValues { values, bytes })
}

fn write_note(generation: &Path, text: &str) -> io::Result<()> {
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600).custom_flags(no_link());
    let mut note = open.open(generation.join(NOTE))?;
    note.write_all(text.as_bytes())?;
    note.sync_all()
}

/// Returns when the note was written, and what it tells.
fn read_note(folder: &Path) -> Option<(SystemTime, Option<LostValues>)> {
    let path = folder.join(NOTE);
    // A read waits at what is no file.
    fs::symlink_metadata(&path).ok().filter(Metadata::is_file)?;
    let note = OpenOptions::new().read(true).custom_flags(no_link()).open(path).ok()?;
    let written = note.metadata().and_then(|metadata| metadata.modified()).ok()?;
    Some((written, lost_of(note)))
}

fn lost_of(note: File) -> Option<LostValues> {
    let mut text = String::new();
    note.take(NOTE_MAX).read_to_string(&mut text).ok()?;
    let (values, bytes) = text.lines().last()?.split_once(' ')?;
    Some(LostValues { values: values.parse().ok()?, bytes: bytes.parse().ok()? })
}

/// Counts the files of values.
fn large_values(blobs: &Path) -> io::Result<LostValues> {
    let mut all = LostValues::default();
    for folder in fs::read_dir(blobs)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(folder.path())? {
            let file = file?;
            if file.file_name().to_str().and_then(Digest::from_hex).is_some() {
                all.values += 1;
                all.bytes += file.metadata()?.len();
            }
        }
    }
    Ok(all)
}

/// Returns how many bytes of the disk a folder takes with all that is in it. Of the index's file, most may be reserved and not written.
fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += metadata.blocks() * SECTOR;
        if metadata.is_dir() {
            bytes += size(&entry.path())?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::layout::blob_path;
    use datacache_proto::time::Timestamp;

    /// A store with the folders of blobs, a generation, and two large values.
    fn store() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for (byte, length) in [(1, 40_000), (2, 2)] {
            let blob = blob_path(folder.path(), &Digest([byte; 32]));
            fs::create_dir_all(blob.parent().unwrap()).unwrap();
            fs::write(blob, vec![0; length]).unwrap();
        }
        fs::write(folder.path().join("blobs/notes.txt"), "mine").unwrap();
        let generation = folder.path().join("gen-1");
        fs::create_dir_all(generation.join("log")).unwrap();
        fs::write(generation.join("log/00000001"), [7; 5_000]).unwrap();
        (folder, generation)
    }

    #[test]
    fn what_was_moved_aside_is_told_with_its_moment_its_size_and_what_went_with_it() {
        let (folder, generation) = store();
        let store = folder.path();
        assert_eq!(moved_aside(store), None);
        let before = Timestamp::now().after(Duration::ZERO);
        let lost = Some(LostValues { values: 2, bytes: 40_002 });
        assert_eq!(note_loss(store, &generation, "torn"), lost);
        fs::rename(generation, store.join(DAMAGED)).unwrap();
        fs::remove_dir_all(store.join(BLOBS)).unwrap();
        let told = moved_aside(store).expect("it lies there");
        assert_eq!((told.lost, &*told.folder), (lost, store.join(DAMAGED).to_str().unwrap()));
        assert!(told.bytes >= 5_000, "{told:?}");
        // The clock of files ticks some milliseconds apart.
        let ticks = Duration::from_secs(1);
        assert!(told.since.after(ticks) >= before && told.since <= Timestamp::now().after(ticks), "{told:?}");
    }

    #[test]
    fn without_a_note_that_can_be_read_it_is_not_known_what_was_lost() {
        let (folder, generation) = store();
        let store = folder.path();
        fs::rename(generation, store.join(DAMAGED)).unwrap();
        let told = moved_aside(store).expect("it lies there");
        assert_eq!(told.lost, None);
        assert!(told.since > Timestamp::from_millis(0));
        for text in ["", "\n", "1 2 3", "many bytes", "-1 5"] {
            fs::write(store.join(DAMAGED).join(NOTE), text).unwrap();
            assert_eq!(moved_aside(store).expect("it lies there").lost, None, "{text:?}");
        }
        fs::remove_file(store.join(DAMAGED).join(NOTE)).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", store.join(DAMAGED).join(NOTE)).unwrap();
        assert_eq!(moved_aside(store).expect("it lies there").lost, None);
    }
}
