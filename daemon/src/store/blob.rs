//! Values that are files: looking at what a client staged, adopting it, opening and removing blobs. Everything here may block but
//! [`BlobStore::adopt`], [`BlobStore::check_adopted`] and [`BlobStore::set_aside`], which the writer calls too and which take a
//! few microseconds.
//!
//! A blob's file is named by its SHA-256, written by one process only, and never changed once it is adopted.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use datacache_proto::checked::{Checked, Stamp};
use datacache_proto::error::StagedFault;
use datacache_proto::layout::{BLOBS, CHECKED, CURRENT, STAGING, blob_path};
use datacache_proto::lost::is_lost;
use datacache_proto::types::Digest;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use sha2::Digest as _;
use tracing::debug;

use super::adopter::Pin;
use super::blob_row::BlobRow;
use super::error::{StoreError, is_full};
use super::failpoint::failpoint;
use super::tables::Tables;
use super::upload::Upload;

/// A staged file that nobody holds locked is left alone until it is this old: its client may be about to lock it.
const STAGED_GRACE: Duration = Duration::from_secs(5);
/// How much of a file is read at a time.
pub(super) const CHUNK: usize = 256 * 1024;

/// The folders of blobs and of uploads.
#[derive(Clone, Debug)]
pub struct BlobStore {
    store: Arc<Path>,
    tables: Arc<Tables>,
    /// What was hashed in this boot; `None` within where that can't be kept.
    checked: Arc<OnceLock<Option<Checked>>>,
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

/// A staged file that was looked at and may be adopted. Holds it open: its name no longer matters.
#[derive(Clone, Debug)]
pub struct Incoming {
    file: Arc<File>,
    path: PathBuf,
    length: u64,
    digest: Digest,
    /// The inode of the blob that is there already and has the same bytes.
    equal: Option<u64>,
    /// What holds the blob, once that was adopted and written through for a batch.
    pin: Option<Arc<Pin>>,
}

impl Incoming {
    /// Returns its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns its SHA-256, as its client counted it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the inode of the blob with the same bytes that was there when it was looked at.
    pub(super) fn equal(&self) -> Option<u64> {
        self.equal
    }

    /// Takes over what holds the blob, which is on the disk now.
    pub(super) fn hold(&mut self, pin: Pin) {
        self.pin = Some(Arc::new(pin));
    }

    /// Tells whether the blob was adopted and written through, and is held.
    pub(super) fn is_held(&self) -> bool {
        self.pin.is_some()
    }

    /// Returns the name it was staged under.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl BlobStore {
    pub(super) fn new(store: &Path, tables: Arc<Tables>) -> Self {
        Self { store: store.into(), tables, checked: Arc::default() }
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

    /// Returns the store's folder.
    pub(super) fn folder(&self) -> &Path {
        &self.store
    }

    /// Returns the folder that clients stage their values in.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.store.join(STAGING)
    }

    /// Looks at a staged file: no link, a regular file of ours, as long as was said. Where a blob of that name exists and
    /// its content was never hashed, compares the two byte for byte. With `durable`, writes the file through to the disk.
    ///
    /// # Errors
    /// [`StoreError::Staged`] says what is wrong with the file.
    pub fn receive(&self, name: &str, length: u64, digest: Digest, durable: bool) -> Result<Incoming, StoreError> {
        let refuse = |fault| StoreError::Staged { name: name.to_owned(), fault };
        if !is_plain_name(name) {
            return Err(refuse(StagedFault::Name));
        }
        let path = self.staging().join(name);
        let file = open_staged(&path).map_err(|fault| fault.map_or_else(open_failed, refuse))?;
        let metadata = file.metadata().map_err(open_failed)?;
        let me = rustix::process::geteuid().as_raw();
        let fault = if !metadata.is_file() {
            Some(StagedFault::NotRegular)
        } else if metadata.uid() != me {
            Some(StagedFault::Foreign { owner: metadata.uid() })
        } else if metadata.len() != length {
            Some(StagedFault::Length { expected: length, actual: metadata.len() })
        } else {
            None
        };
        match fault {
            Some(fault) => Err(refuse(fault)),
            None => self.examine(file, path, length, digest, durable),
        }
    }

    /// Looks again at a file whose blob changed between the first look and its adoption.
    ///
    /// # Errors
    /// As [`BlobStore::receive`].
    pub fn receive_again(&self, incoming: &Incoming, durable: bool) -> Result<Incoming, StoreError> {
        let file = incoming.file.try_clone().map_err(open_failed)?;
        self.examine(file, incoming.path.clone(), incoming.length, incoming.digest, durable)
    }

    /// Compares a file with the blob that may be there under its name.
    pub(super) fn examine(
        &self,
        file: File,
        path: PathBuf,
        length: u64,
        digest: Digest,
        durable: bool,
    ) -> Result<Incoming, StoreError> {
        if durable {
            self.write_staged_through(&path, &file)?;
        }
        let mut incoming = Incoming { file: Arc::new(file), path, length, digest, equal: None, pin: None };
        let Some(there) = self.open(&digest)? else { return Ok(incoming) };
        let metadata = there.metadata().map_err(open_failed)?;
        if metadata.len() == length && self.is_equal(&incoming, &there, &metadata)? {
            incoming.equal = Some(metadata.ino());
            return Ok(incoming);
        }
        // One of the two is not what its name says. The blob that is there is the writer's own affair, see `verifier`.
        if hash_of(&incoming.file).map_err(read_failed)? != digest {
            let name = incoming.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(StoreError::Staged { name, fault: StagedFault::Content });
        }
        // Another client may have been here with the right content in the meantime.
        if !self.is_replaced(&digest, Some(&there)) {
            self.set_aside(&digest).map_err(|source| StoreError::blob("set aside", source, &self.store))?;
        }
        Ok(incoming)
    }

    /// Tells whether the blob that is there has the same bytes. One that was hashed in this boot and has not been written to
    /// since has; any other is compared, whatever is known of it from earlier: its disk may have damaged it.
    fn is_equal(&self, incoming: &Incoming, there: &File, metadata: &fs::Metadata) -> Result<bool, StoreError> {
        let stamp = Stamp::of(&incoming.digest, metadata);
        if self.checked().is_some_and(|checked| checked.has(stamp)) {
            return Ok(true);
        }
        let is_equal = match same_content(&incoming.file, there) {
            // Which of the two it is shows when the new one is hashed.
            Err(error) if is_lost(&error) => false,
            compared => compared.map_err(read_failed)?,
        };
        if is_equal && self.is_verified(&incoming.digest)? {
            self.note_checked(&incoming.digest, metadata);
        }
        Ok(is_equal)
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

    fn checked(&self) -> Option<&Checked> {
        let open = || {
            let path = self.store.join(CURRENT).join(CHECKED);
            let opened = Checked::open(&path).ok().flatten();
            opened.map_or_else(|| Checked::create(&path), Ok).inspect_err(|error| {
                debug!(%error, "blobs that were hashed are hashed again");
            })
        };
        self.checked.get_or_init(|| open().ok()).as_ref()
    }

    fn is_verified(&self, digest: &Digest) -> Result<bool, StoreError> {
        let read = |source| StoreError::Read { source };
        let txn = self.tables.env.read_txn().map_err(read)?;
        let row = self.tables.blobs.get(&txn, &digest.0).map_err(read)?;
        Ok(row.and_then(BlobRow::decode).is_some_and(|row| row.verified))
    }

    /// Gives a staged file its blob's name. Never touches a file that is there: either that is the one whose content was
    /// found to be the same, or the caller has to look again.
    pub(super) fn adopt(&self, incoming: &Incoming) -> Result<(), StoreError> {
        let failed = |source| StoreError::blob("adopt", source, &self.store);
        let blob = blob_path(&self.store, &incoming.digest);
        rustix::fs::fchmod(&*incoming.file, Mode::RUSR).map_err(|errno| failed(errno.into()))?;
        failpoint!(BlobSealed);
        // By descriptor: what was looked at is what is adopted, whatever happened to the name.
        let open = format!("/proc/self/fd/{}", incoming.file.as_raw_fd());
        match rustix::fs::linkat(CWD, open, CWD, &blob, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => {
                failpoint!(BlobLinked);
                Ok(())
            }
            Err(rustix::io::Errno::EXIST) => {
                let there = fs::metadata(&blob).map_err(failed)?;
                Self::check_known(incoming, &there)
            }
            // All its names are gone: deduplicated once, its staged name was removed.
            Err(rustix::io::Errno::NOENT) if incoming.equal.is_some() => Err(StoreError::BlobChanged),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// Checks that a blob is still the file that was adopted for a batch: that one is on the disk, another may not be.
    pub(super) fn check_adopted(&self, incoming: &Incoming) -> Result<(), StoreError> {
        match fs::metadata(blob_path(&self.store, &incoming.digest)) {
            Ok(there) => Self::check_known(incoming, &there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::BlobChanged),
            Err(source) => Err(StoreError::Blob { action: "look at", source }),
        }
    }

    fn check_known(incoming: &Incoming, there: &fs::Metadata) -> Result<(), StoreError> {
        let own = incoming.file.metadata().map_err(|source| StoreError::Blob { action: "look at", source })?.ino();
        let is_known = there.ino() == own || incoming.equal == Some(there.ino());
        if is_known { Ok(()) } else { Err(StoreError::BlobChanged) }
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

    /// Returns the names of all blobs that are there, a folder at a time.
    pub(super) fn each_folder(&self, mut seen: impl FnMut(Vec<Digest>)) -> io::Result<()> {
        for folder in fs::read_dir(self.store.join(BLOBS))? {
            let folder = folder?;
            // What else lies there is not ours.
            if !folder.file_type()?.is_dir() {
                continue;
            }
            let mut digests = Vec::new();
            for file in fs::read_dir(folder.path())? {
                digests.extend(file?.file_name().to_str().and_then(Digest::from_hex));
            }
            seen(digests);
        }
        Ok(())
    }

    /// Removes staged files that are a minute old and that nobody holds locked; returns how many.
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

/// Makes a folder that only its owner enters, unless it is there.
pub(super) fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

/// A name that leads nowhere but into the folder it is looked up in.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Opens without following a link or waiting for a pipe. The outer error is a fault of the file, the inner one the system's.
fn open_staged(path: &Path) -> Result<File, Result<StagedFault, io::Error>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened: rustix::io::Result<OwnedFd> = rustix::fs::open(path, flags, Mode::empty());
    opened.map(File::from).map_err(|errno| match errno {
        rustix::io::Errno::NOENT => Ok(StagedFault::Missing),
        rustix::io::Errno::LOOP | rustix::io::Errno::NXIO => Ok(StagedFault::NotRegular),
        other => Err(other.into()),
    })
}

/// Tells whether a staged file is old enough and not locked.
fn is_abandoned(path: &Path) -> io::Result<bool> {
    let Ok(file) = open_staged(path) else { return Ok(fs::symlink_metadata(path)?.is_symlink()) };
    let modified = file.metadata()?.modified()?;
    // One of the future was made before the clock was set back: who knows how long ago.
    let age = SystemTime::now().duration_since(modified).unwrap_or_else(|ahead| ahead.duration());
    Ok(age >= STAGED_GRACE && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Compares two files from their beginnings, wherever their positions are.
fn same_content(one: &File, other: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    loop {
        let have = one.read_at(&mut left, at)?;
        if have == 0 {
            return Ok(true);
        }
        if other.read_exact_at(&mut right[..have], at).is_err() || left[..have] != right[..have] {
            return Ok(false);
        }
        at += have as u64;
    }
}

/// Tells whether a file has this content. One that the disk can't read has not.
fn is_content(file: &File, digest: &Digest) -> io::Result<bool> {
    match hash_of(file) {
        Err(error) if is_lost(&error) => Ok(false),
        hashed => Ok(hashed? == *digest),
    }
}

/// Hashes a file from its beginning.
fn hash_of(file: &File) -> io::Result<Digest> {
    let digest = hash_unless(file, || false)?;
    digest.ok_or_else(|| io::ErrorKind::Interrupted.into())
}

/// Hashes a file from its beginning; `None` where it is `given_up` before it is done.
pub(super) fn hash_unless(file: &File, given_up: impl Fn() -> bool) -> io::Result<Option<Digest>> {
    use std::os::unix::fs::FileExt;
    let (mut hasher, mut chunk, mut at) = (sha2::Sha256::new(), vec![0; CHUNK], 0);
    loop {
        if given_up() {
            return Ok(None);
        }
        match file.read_at(&mut chunk, at) {
            Ok(0) => return Ok(Some(Digest(hasher.finalize().into()))),
            Ok(have) => {
                hasher.update(&chunk[..have]);
                at += have as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn open_failed(source: io::Error) -> StoreError {
    StoreError::Blob { action: "open", source }
}

fn read_failed(source: io::Error) -> StoreError {
    StoreError::Blob { action: "read", source }
}
