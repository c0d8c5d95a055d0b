//! Values that clients staged as files: looking at one, and adopting it as a blob. To look may block; [`BlobStore::adopt`] and
//! [`BlobStore::check_adopted`], which the writer calls too, take a few microseconds.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datacache_proto::checked::Stamp;
use datacache_proto::error::StagedFault;
use datacache_proto::layout::blob_path;
use datacache_proto::lost::is_lost;
use datacache_proto::types::Digest;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::adopter::Pin;
use super::blob::{BlobStore, open_failed};
use super::content::{hash_of, same_content};
use super::error::StoreError;
use super::failpoint::failpoint;

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
            self.set_aside(&digest).map_err(|source| StoreError::blob("set aside", source, self.folder()))?;
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

    /// Gives a staged file its blob's name. Never touches a file that is there: either that is the one whose content was
    /// found to be the same, or the caller has to look again.
    pub(super) fn adopt(&self, incoming: &Incoming) -> Result<(), StoreError> {
        let failed = |source| StoreError::blob("adopt", source, self.folder());
        let blob = blob_path(self.folder(), &incoming.digest);
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
        match fs::metadata(blob_path(self.folder(), &incoming.digest)) {
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
}

/// A name that leads nowhere but into the folder it is looked up in.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Opens without following a link or waiting for a pipe. The outer error is a fault of the file, the inner one the system's.
pub(super) fn open_staged(path: &Path) -> Result<File, Result<StagedFault, io::Error>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened: rustix::io::Result<OwnedFd> = rustix::fs::open(path, flags, Mode::empty());
    opened.map(File::from).map_err(|errno| match errno {
        rustix::io::Errno::NOENT => Ok(StagedFault::Missing),
        rustix::io::Errno::LOOP | rustix::io::Errno::NXIO => Ok(StagedFault::NotRegular),
        other => Err(other.into()),
    })
}

fn read_failed(source: io::Error) -> StoreError {
    StoreError::Blob { action: "read", source }
}
