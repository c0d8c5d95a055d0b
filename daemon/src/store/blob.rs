//! Values that are files: opening blobs, looking at them, and removing them. Everything here may block but
//! [`BlobStore::set_aside`], which the writer calls too and which takes a few microseconds.
//!
//! A blob's file is named by its SHA-256, written by one process only, and never changed once it is adopted (`incoming`).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use datacache_proto::checked::{Checked, Stamp};
use datacache_proto::layout::{BLOBS, CHECKED, CURRENT, STAGING, blob_path};
use datacache_proto::lost::is_lost;
use datacache_proto::types::Digest;
use rustix::fs::{FlockOperation, OFlags};
use tracing::debug;

use super::blob_row::BlobRow;
use super::content::is_content;
use super::error::{StoreError, is_full};
use super::incoming::open_staged;
use super::renewal::Turns;
use super::tables::Tables;
use super::upload::Upload;

/// A staged file that nobody holds locked is left alone until it is this old: its client may be about to lock it.
const STAGED_GRACE: Duration = Duration::from_secs(5);
/// The folders of blobs and of uploads.
#[derive(Clone, Debug)]
pub struct BlobStore {
    store: Arc<Path>,
    /// The index, in whose place another may come.
    tables: Arc<Mutex<Arc<Tables>>>,
    /// What was hashed in this boot; `None` within where that can't be kept.
    checked: Arc<OnceLock<Option<Checked>>>,
    turns: Turns,
}

/// What was found where a blob should be.
#[derive(Debug)]
pub enum Found {
    /// The blob.
    Sound(File),
    /// Nothing.
    Missing,
    /// A file with another length or content.
    Damaged(File),
}

/// Tells a file from another in its place: by its number, and by when it was last changed, for numbers are given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity([u64; 2], [i64; 2]);

impl BlobStore {
    pub(super) fn new(store: &Path, tables: Arc<Tables>) -> Self {
        let tables = Arc::new(Mutex::new(tables));
        Self { store: store.into(), tables, checked: Arc::default(), turns: Turns::default() }
    }

    /// Makes the folders that are not there yet.
    pub(super) fn create_folders(store: &Path) -> io::Result<()> {
        for folder in [store.join(BLOBS), store.join(STAGING)] {
            create_private(&folder)?;
        }
        for first in 0..=u8::MAX {
            create_private(&store.join(BLOBS).join(format!("{first:02x}")))?;
        }
        // A blob that is durable is of no use in a folder that is not.
        File::open(store.join(BLOBS))?.sync_all()
    }

    /// Has all who have these blobs look into this index from now on.
    pub(super) fn look_into(&self, tables: Arc<Tables>) {
        *self.tables() = tables;
    }

    fn tables(&self) -> MutexGuard<'_, Arc<Tables>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the store's folder.
    pub(super) fn folder(&self) -> &Path {
        &self.store
    }

    /// Returns the folder that clients stage their values in.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.store.join(STAGING)
    }

    /// Begins to keep what is hashed in this boot, where clients find it.
    pub(super) fn begin_checks(&self) {
        self.checked();
    }

    /// Notes that a blob was hashed, as it was then.
    pub(super) fn note_checked(&self, digest: &Digest, metadata: &fs::Metadata) {
        if let Some(checked) = self.checked() {
            checked.note(Stamp::of(digest, metadata));
        }
    }

    pub(super) fn checked(&self) -> Option<&Checked> {
        let open = || {
            let path = self.store.join(CURRENT).join(CHECKED);
            let opened = Checked::open(&path).ok().flatten();
            opened.map_or_else(|| Checked::create(&path), Ok).inspect_err(|error| {
                debug!(%error, "blobs that were hashed are hashed again");
            })
        };
        self.checked.get_or_init(|| open().ok()).as_ref()
    }

    /// Tells whether the index says that a blob was hashed once.
    pub(super) fn is_verified(&self, digest: &Digest) -> Result<bool, StoreError> {
        let read = |source| StoreError::Read { source };
        let tables = Arc::clone(&*self.tables());
        let txn = tables.env.read_txn().map_err(read)?;
        let row = tables.blobs.get(&txn, &digest.0).map_err(read)?;
        Ok(row.and_then(BlobRow::decode).is_some_and(|row| row.verified))
    }

    /// Opens a blob; `None` where it is gone, and its key has to be looked up again.
    ///
    /// # Errors
    /// Where it is there and can't be opened.
    pub fn open(&self, digest: &Digest) -> Result<Option<File>, StoreError> {
        let no_link = OFlags::NOFOLLOW.bits().cast_signed();
        match OpenOptions::new().read(true).custom_flags(no_link).open(blob_path(&self.store, digest)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(open_failed(source)),
        }
    }

    /// Makes a staged file that the daemon itself writes, for a client that can't reach the folder.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn create_upload(&self) -> Result<Upload, StoreError> {
        Upload::create(self.clone())
    }

    /// Tells whether another file than this one has the blob's name.
    pub(super) fn is_replaced(&self, digest: &Digest, file: Option<&File>) -> bool {
        let number =
            |metadata: io::Result<fs::Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
        let there = number(fs::metadata(blob_path(&self.store, digest)));
        there.is_some() && there != file.and_then(|file| number(file.metadata()))
    }

    /// Returns which file has the blob's name; `None` where none has.
    pub(super) fn identity_of(&self, digest: &Digest) -> Option<Identity> {
        let metadata = fs::metadata(blob_path(&self.store, digest)).ok()?;
        Some(Identity([metadata.dev(), metadata.ino()], [metadata.ctime(), metadata.ctime_nsec()]))
    }

    /// Moves a blob out of the way, to be removed or looked at by somebody else; returns where it is now. On a full filesystem
    /// the other folder may have no room for its name: it is removed then.
    pub(super) fn set_aside(&self, digest: &Digest) -> io::Result<Option<PathBuf>> {
        let (blob, aside) = (blob_path(&self.store, digest), self.staging().join(format!("removed-{digest}")));
        match fs::rename(&blob, &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if is_full(&error) => fs::remove_file(&blob).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes blobs and their folders through to the disk; one that is gone is passed over.
    ///
    /// # Errors
    /// Where one can't be: see `renewal`.
    pub(super) fn sync<'d>(&self, digests: impl Iterator<Item = &'d Digest>) -> io::Result<()> {
        let mut folders = std::collections::BTreeSet::new();
        for digest in digests {
            let path = blob_path(&self.store, digest);
            let _turn = self.turns.at(digest);
            match File::open(&path) {
                Ok(file) => self.write_through(digest, &file)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            folders.extend(path.parent().map(Path::to_owned));
        }
        folders.iter().try_for_each(|folder| File::open(folder)?.sync_all())
    }

    /// Tells whether the blob is there with the length and the content that its record and its name say.
    pub(super) fn is_sound(&self, digest: &Digest, length: u64) -> io::Result<bool> {
        Ok(matches!(self.examine_blob(digest, length)?, Found::Sound(_)))
    }

    /// Looks at a blob, and hashes it. Blocks.
    ///
    /// # Errors
    /// Where it is there and can't be read.
    pub fn examine_blob(&self, digest: &Digest, length: u64) -> io::Result<Found> {
        let file = match File::open(blob_path(&self.store, digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_lost(&error) => return Ok(Found::Missing),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if metadata.len() != length || !is_content(&file, digest)? {
            // Else the same content that is added now would be taken for there already.
            self.checked().iter().for_each(|checked| checked.forget(Stamp::of(digest, &metadata)));
            return Ok(Found::Damaged(file));
        }
        self.note_checked(digest, &metadata);
        Ok(Found::Sound(file))
    }

    /// Returns the names of all blobs that are there, a folder at a time, or why one can't be read.
    pub(super) fn each_folder(&self, mut seen: impl FnMut(&Path, io::Result<Vec<Digest>>)) -> io::Result<()> {
        for folder in fs::read_dir(self.store.join(BLOBS))? {
            let folder = folder?;
            // What else lies there is not ours.
            if !folder.file_type()?.is_dir() {
                continue;
            }
            seen(&folder.path(), digests_in(&folder.path()));
        }
        Ok(())
    }

    /// Removes staged files that are some seconds old and that nobody holds locked; returns how many.
    ///
    /// # Errors
    /// Where the folder can't be read. A file that can't be removed is left.
    pub fn sweep_staging(&self) -> Result<usize, StoreError> {
        let failed = |source| StoreError::Blob { action: "list", source };
        let mut swept = 0;
        for staged in fs::read_dir(self.staging()).map_err(failed)? {
            let path = staged.map_err(failed)?.path();
            if is_abandoned(&path).unwrap_or(false) && fs::remove_file(&path).is_ok() {
                swept += 1;
            }
        }
        Ok(swept)
    }
}

fn digests_in(folder: &Path) -> io::Result<Vec<Digest>> {
    let mut digests = Vec::new();
    for file in fs::read_dir(folder)? {
        digests.extend(file?.file_name().to_str().and_then(Digest::from_hex));
    }
    Ok(digests)
}

/// Makes a folder that only its owner enters, unless it is there.
pub(super) fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

/// Tells whether a staged file is old enough and not locked.
fn is_abandoned(path: &Path) -> io::Result<bool> {
    let Ok(file) = open_staged(path) else { return Ok(fs::symlink_metadata(path)?.is_symlink()) };
    let modified = file.metadata()?.modified()?;
    // One of the future was made before the clock was set back: who knows how long ago.
    let age = SystemTime::now().duration_since(modified).unwrap_or_else(|ahead| ahead.duration());
    Ok(age >= STAGED_GRACE && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

pub(super) fn open_failed(source: io::Error) -> StoreError {
    StoreError::Blob { action: "open", source }
}
