//! A value that is a file of its own: opened, mapped or read, and checked against its name.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use datacache_proto::checked::{Checked, Stamp};
use datacache_proto::layout::{CHECKED, CURRENT, blob_path};
use datacache_proto::lost::is_lost;
use datacache_proto::types::{Codec, Digest};
use memmap2::Mmap;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, IoContext};
use crate::options::{Check, Reading};
use crate::value::{Bytes, Value};

/// How much of a file is hashed at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// A large value whose file is open: in the store, or a private copy where the store is out of reach. Deleting the entry
/// does not touch it.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) codec: Codec,
    pub(crate) version: u64,
    pub(crate) length: u64,
    pub(crate) digest: Digest,
    pub(crate) file: File,
    /// `None` where it was checked on its way here.
    pub(crate) proof: Option<Proof>,
}

/// Whether a file of the store has been checked.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    stamp: Stamp,
    /// `None` where nobody keeps that.
    checked: Option<Arc<Checked>>,
}

/// What came of opening a blob in the store's folder.
pub(crate) enum Opening {
    /// It is open.
    Open(File, Stamp),
    /// It is not there, or has another length: the entry changed since it was looked up, the folder is another store's, or it is
    /// damaged.
    Gone,
    /// This process may not look into the folder.
    Closed,
}

/// Opens the blob `digest` of the store in `store`.
///
/// # Errors
/// Where the system fails.
pub(crate) fn open(store: &Path, digest: &Digest, length: u64) -> Result<Opening, Error> {
    let path = blob_path(store, digest);
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Ok(file) => file,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(Opening::Gone),
                io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => Ok(Opening::Closed),
                _ if is_lost(&error) => Err(damaged(digest)),
                _ => Err(error).during("open the value's file", &path),
            };
        }
    };
    let metadata = file.metadata().during("look at", &path)?;
    let is_it = metadata.is_file() && metadata.len() == length;
    Ok(if is_it { Opening::Open(file, Stamp::of(digest, &metadata)) } else { Opening::Gone })
}

impl Proof {
    /// Takes the stamp of a file in `store`, whose table is opened for it.
    pub(crate) fn in_store(stamp: Stamp, store: &Path) -> Self {
        let checked = Checked::open(&store.join(CURRENT).join(CHECKED)).ok().flatten();
        Self::new(stamp, checked.map(Arc::new))
    }

    pub(crate) fn new(stamp: Stamp, checked: Option<Arc<Checked>>) -> Self {
        Self { stamp, checked }
    }

    fn is_given(&self) -> bool {
        self.checked.as_ref().is_some_and(|checked| checked.has(self.stamp))
    }
}

impl Blob {
    /// Tells whether all of it has to be read before it is handed out.
    pub(crate) fn has_to_be_read(&self, reading: Reading) -> bool {
        !reading.mapped || self.has_to_be_checked(reading.check)
    }

    fn has_to_be_checked(&self, check: Check) -> bool {
        self.proof.as_ref().is_some_and(|proof| match check {
            Check::Always => true,
            Check::OncePerBoot => !proof.is_given(),
            Check::Never => false,
        })
    }

    /// Maps the value, and checks it where that has to be done.
    pub(crate) fn map(&self, check: Check) -> Result<Value, Error> {
        // Not by the map: where the disk fails under that, the system ends the process.
        let is_right =
            !self.has_to_be_checked(check) || self.is_right(&hash_of(&self.file).map_err(|error| self.unread(error))?);
        let map = map(&self.file).map_err(|source| Error::System { action: "map a value's file", source })?;
        let is_sound = is_right && map.len() as u64 == self.length;
        if is_sound { Ok(Value::new(self.codec, self.version, Bytes::Mapped(map))) } else { Err(damaged(&self.digest)) }
    }

    /// Compares what was hashed, and keeps what came of it for others.
    fn is_right(&self, content: &Digest) -> bool {
        let is_right = *content == self.digest;
        match &self.proof {
            Some(Proof { stamp, checked: Some(checked) }) if is_right => checked.note(*stamp),
            Some(Proof { stamp, checked: Some(checked) }) => checked.forget(*stamp),
            _ => {}
        }
        is_right
    }

    /// A file that the disk can't read is damaged.
    fn unread(&self, source: io::Error) -> Error {
        if is_lost(&source) { damaged(&self.digest) } else { Error::System { action: "read a value's file", source } }
    }

    /// Reads the value into memory and checks it.
    pub(crate) fn read(&self) -> Result<Value, Error> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.length).unwrap_or_default());
        let read = (&self.file).take(self.length + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.unread(error))?;
        if bytes.len() as u64 == self.length && self.is_right(&sha256(&bytes)) {
            Ok(Value::new(self.codec, self.version, Bytes::Owned(bytes)))
        } else {
            Err(damaged(&self.digest))
        }
    }
}

/// Returns the SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Hashes a file from its beginning, wherever its position is.
fn hash_of(file: &File) -> io::Result<Digest> {
    let (mut hasher, mut chunk, mut at) = (Sha256::new(), vec![0; CHUNK], 0);
    loop {
        match file.read_at(&mut chunk, at) {
            Ok(0) => return Ok(Digest(hasher.finalize().into())),
            Ok(have) => {
                hasher.update(&chunk[..have]);
                at += have as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn damaged(digest: &Digest) -> Error {
    Error::Damaged { key: None, digest: *digest }
}

#[expect(unsafe_code, reason = "the language can't know that nobody writes to the file")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes of the map must not change while it lives. (1) A blob is complete before it gets its name, and from
    // then on only linked and unlinked, never written or truncated, which is the store's rule for `blobs/`; unlinking
    // leaves the map whole. A private copy has no name that anybody could open. (2) The store's folder is the user's alone
    // (0700), and a process of the same user that breaks the rule could as well write to our memory.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Store(tempfile::TempDir);

    impl Store {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn put(&self, digest: &Digest, bytes: &[u8]) {
            let path = blob_path(self.0.path(), digest);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }

        fn blob(&self, digest: Digest, length: u64) -> Blob {
            let Opening::Open(file, stamp) = open(self.0.path(), &digest, length).unwrap() else { panic!("not open") };
            let checked = Checked::create(&self.0.path().join(CHECKED)).unwrap();
            let proof = Some(Proof::new(stamp, Some(Arc::new(checked))));
            Blob { codec: Codec::Bytes, version: 1, length, digest, file, proof }
        }
    }

    #[test]
    fn a_blob_is_mapped_and_outlives_its_deletion() {
        let store = Store::new();
        let digest = sha256(b"large");
        store.put(&digest, b"large");
        let value = store.blob(digest, 5).map(Check::default()).unwrap();
        fs::remove_dir_all(store.0.path()).unwrap();
        assert_eq!(&value[..], b"large");
    }

    #[test]
    fn a_blob_that_is_not_there_is_no_error() {
        let store = Store::new();
        assert!(matches!(open(store.0.path(), &sha256(b"x"), 1).unwrap(), Opening::Gone));
    }

    #[test]
    fn a_blob_of_another_length_is_none_and_one_with_other_content_is_damaged() {
        let store = Store::new();
        let digest = sha256(b"large");
        store.put(&digest, b"larger");
        assert!(matches!(open(store.0.path(), &digest, 5).unwrap(), Opening::Gone));
        store.put(&digest, b"LARGE");
        assert!(matches!(store.blob(digest, 5).read(), Err(Error::Damaged { .. })));
    }

    /// It was an error of the system, for ever.
    #[test]
    fn a_blob_that_the_disk_can_not_read_is_damaged() {
        // Nothing is mapped there, which the system tells as it tells of a bad sector.
        let file = File::open("/proc/self/mem").unwrap();
        let blob = Blob { codec: Codec::Bytes, version: 1, length: 5, digest: sha256(b"large"), file, proof: None };
        assert!(matches!(blob.read(), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_map_is_checked_as_often_as_was_said() {
        let store = Store::new();
        let digest = sha256(b"large");
        store.put(&digest, b"LARGE");
        let damaged = store.blob(digest, 5);
        assert!(damaged.map(Check::Always).is_err() && damaged.map(Check::OncePerBoot).is_err());
        assert_eq!(&damaged.map(Check::Never).unwrap()[..], b"LARGE");

        store.put(&digest, b"large");
        let reading = Reading { mapped: true, check: Check::OncePerBoot };
        let blob = store.blob(digest, 5);
        assert!(blob.has_to_be_read(reading));
        blob.map(Check::OncePerBoot).unwrap();
        assert!(!blob.has_to_be_read(reading), "it was checked");
        // As a disk does it: nothing tells of the change.
        let path = blob_path(store.0.path(), &digest);
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, b"LARGE").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert!(blob.map(Check::OncePerBoot).is_ok() && blob.map(Check::Always).is_err());
        assert!(blob.map(Check::OncePerBoot).is_err(), "who looked told the others");
    }

    #[test]
    fn a_link_in_place_of_a_blob_is_not_followed() {
        let store = Store::new();
        let digest = sha256(b"large");
        store.put(&digest, b"");
        let path = blob_path(store.0.path(), &digest);
        fs::remove_file(&path).unwrap();
        fs::write(store.0.path().join("elsewhere"), b"large").unwrap();
        std::os::unix::fs::symlink(store.0.path().join("elsewhere"), &path).unwrap();
        assert!(open(store.0.path(), &digest, 5).is_err());
    }
}
