//! Values on their way through the socket in chunks, for clients that can't reach the store's folder: the uploads and the
//! open values of one connection. They go with it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use datacache_proto::error::{Resource, WireError};
use datacache_proto::lost::is_lost;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::daemon::{Daemon, blocking};
use crate::store::{StoreError, Upload};

/// The most bytes of a value in one call (1 MiB).
pub(crate) const CHUNK_MAX: u64 = 1 << 20;
/// The most uploads of a connection at a time.
pub(crate) const UPLOADS_MAX: usize = 16;
/// The most open values of a connection at a time.
pub(crate) const VALUES_MAX: usize = 64;

/// An upload between two chunks; `None` once a write failed. Calls queue for it in the order of their arrival.
type Shared = Arc<Mutex<Option<Upload>>>;

/// The transfers of one connection.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    last: Cell<u64>,
    uploads: RefCell<HashMap<u64, Shared>>,
    values: RefCell<HashMap<u64, OpenValue>>,
}

/// A value that stays readable although its entry may go.
#[derive(Clone, Debug)]
pub(crate) enum OpenValue {
    /// A blob.
    File(Arc<File>),
    /// The bytes of a small value.
    Bytes(Arc<[u8]>),
}

impl Transfers {
    fn number(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// Begins an upload; returns its number.
    ///
    /// # Errors
    /// Where there are too many, or the store has no room.
    pub(crate) async fn begin(&self, daemon: &Daemon) -> Result<u64, WireError> {
        if self.uploads.borrow().len() >= UPLOADS_MAX {
            return Err(WireError::Busy { what: Resource::Uploads, limit: UPLOADS_MAX as u64 });
        }
        let (number, upload) = (self.number(), Shared::default());
        // Its place is taken while the file is made, so that the limit holds for calls that come at once.
        self.uploads.borrow_mut().insert(number, Arc::clone(&upload));
        let blobs = daemon.blobs.clone();
        let created = blocking(move || blobs.create_upload()).await.and_then(|created| Ok(created?));
        match created {
            Ok(created) => *upload.lock().await = Some(created),
            Err(error) => {
                self.uploads.borrow_mut().remove(&number);
                return Err(error.into());
            }
        }
        Ok(number)
    }

    /// Appends a chunk that begins at `offset`, which must be where the upload ends.
    ///
    /// # Errors
    /// Where there is no such upload, or it is not that long, or the chunk can't be written: it is of no use any more then.
    pub(crate) async fn append(&self, number: u64, offset: u64, chunk: Vec<u8>) -> Result<(), WireError> {
        let refuse = || WireError::Upload { upload: number, length: offset };
        let upload = self.uploads.borrow().get(&number).cloned().ok_or_else(refuse)?;
        let mut upload = upload.lock_owned().await;
        if upload.as_ref().is_none_or(|upload| upload.len() != offset) {
            return Err(refuse());
        }
        let write = move || match upload.as_mut() {
            Some(open) => open.write_chunk(&chunk).inspect_err(|_| *upload = None),
            None => Ok(()),
        };
        blocking(write).await?.map_err(WireError::from).inspect_err(|_| {
            self.uploads.borrow_mut().remove(&number);
        })
    }

    /// Takes a whole upload away; it must be `length` bytes long.
    ///
    /// # Errors
    /// Where there is none, or it is not; it stays then.
    pub(crate) async fn take(&self, number: u64, length: u64) -> Result<Upload, WireError> {
        let refuse = || WireError::Upload { upload: number, length };
        let upload = self.uploads.borrow().get(&number).cloned().ok_or_else(refuse)?;
        let taken = upload.lock().await.take_if(|upload| upload.len() == length).ok_or_else(refuse)?;
        self.uploads.borrow_mut().remove(&number);
        Ok(taken)
    }

    /// Checks that one more value may be opened.
    ///
    /// # Errors
    /// Where there are too many.
    pub(crate) fn check_values(&self) -> Result<(), WireError> {
        match self.values.borrow().len() {
            count if count >= VALUES_MAX => Err(WireError::Busy { what: Resource::Handles, limit: VALUES_MAX as u64 }),
            _ => Ok(()),
        }
    }

    /// Keeps a value open; returns its number.
    ///
    /// # Errors
    /// Where there are too many.
    pub(crate) fn keep(&self, value: OpenValue) -> Result<u64, WireError> {
        self.check_values()?;
        let number = self.number();
        self.values.borrow_mut().insert(number, value);
        Ok(number)
    }

    /// Reads up to `length` bytes from `offset` on; fewer only at the end.
    ///
    /// # Errors
    /// Where there is no such value, too much is asked for, or the file can't be read.
    pub(crate) async fn read(&self, number: u64, offset: u64, length: u64) -> Result<Vec<u8>, WireError> {
        if !(1..=CHUNK_MAX).contains(&length) {
            return Err(WireError::OutOfRange { field: "length".into(), value: length, min: 1, max: CHUNK_MAX });
        }
        let value = self.values.borrow().get(&number).cloned().ok_or(WireError::Handle { handle: number })?;
        match value {
            OpenValue::Bytes(bytes) => Ok(piece(&bytes, offset, length).to_vec()),
            OpenValue::File(file) => {
                let read = blocking(move || read_at(&file, offset, length)).await?;
                read.map_err(|source| StoreError::Blob { action: "read", source }.into())
            }
        }
    }

    /// Closes a value, or gives up an upload.
    ///
    /// # Errors
    /// Where there is neither.
    pub(crate) fn close(&self, number: u64) -> Result<(), WireError> {
        let closed = (self.values.borrow_mut().remove(&number), self.uploads.borrow_mut().remove(&number));
        if matches!(closed, (None, None)) {
            return Err(WireError::Handle { handle: number });
        }
        drop_elsewhere(closed);
        Ok(())
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        let left = (self.values.take(), self.uploads.take());
        if !(left.0.is_empty() && left.1.is_empty()) {
            drop_elsewhere(left);
        }
    }
}

/// Drops files on the blocking pool: who is the last to let go of a large one waits until its blocks are free.
fn drop_elsewhere(files: impl Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(files))),
        Err(_) => drop(files),
    }
}

/// Returns up to `length` of the bytes from `offset` on.
fn piece(bytes: &[u8], offset: u64, length: u64) -> &[u8] {
    let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
    &rest[..rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))]
}

fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    if i64::try_from(offset.saturating_add(length)).is_err() {
        // The system refuses such an offset; no file is that long.
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let mut have = 0;
    while have < bytes.len() {
        match file.read_at(&mut bytes[have..], offset + have as u64) {
            Ok(0) => break,
            Ok(more) => have += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // As where the file ends too early: who reads it has damage looked at.
            Err(error) if is_lost(&error) => break,
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_disk_can_not_read_ends_the_value_early() {
        // Nothing is mapped there, which the system tells as it tells of a bad sector.
        assert_eq!(read_at(&File::open("/proc/self/mem").unwrap(), 0, 5).unwrap(), []);
    }

    #[test]
    fn a_piece_ends_where_the_bytes_end() {
        assert_eq!(piece(b"abcdef", 2, 3), b"cde");
        assert_eq!(piece(b"abcdef", 4, 9), b"ef");
        assert_eq!(piece(b"abcdef", 6, 1), b"");
        assert_eq!(piece(b"abcdef", u64::MAX, u64::MAX), b"");
    }

    #[test]
    fn a_file_is_read_from_any_offset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"abcdef").unwrap();
        let file = File::open(path).unwrap();
        assert_eq!(read_at(&file, 2, 3).unwrap(), b"cde");
        assert_eq!(read_at(&file, 4, 9).unwrap(), b"ef");
        assert_eq!(read_at(&file, 99, 9).unwrap(), b"");
        assert_eq!(read_at(&file, u64::MAX, 9).unwrap(), b"");
    }

    #[tokio::test(flavor = "local")]
    async fn open_values_are_counted_read_and_closed() {
        let transfers = Transfers::default();
        let numbers: Vec<_> =
            (0..VALUES_MAX).map(|_| transfers.keep(OpenValue::Bytes(Arc::from(*b"value"))).unwrap()).collect();
        let busy = WireError::Busy { what: Resource::Handles, limit: VALUES_MAX as u64 };
        assert_eq!(transfers.keep(OpenValue::Bytes(Arc::from([]))), Err(busy));
        assert_eq!(transfers.read(numbers[3], 1, 2).await, Ok(b"al".to_vec()));
        transfers.close(numbers[3]).unwrap();
        let gone = WireError::Handle { handle: numbers[3] };
        assert_eq!(transfers.read(numbers[3], 1, 2).await, Err(gone.clone()));
        assert_eq!(transfers.close(numbers[3]), Err(gone));
        for length in [0, CHUNK_MAX + 1] {
            assert!(matches!(transfers.read(numbers[4], 0, length).await, Err(WireError::OutOfRange { .. })));
        }
    }
}
