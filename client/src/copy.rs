//! Copying a value's file to one of the caller's own, checked, in constant memory: shared blocks, else a copy within the
//! kernel, else a copy through here.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use datacache_proto::lost::is_lost;
use datacache_proto::types::Digest;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::blob::Blob;
use crate::tally::Progress;

/// How much is copied and checked in one go, in bytes. A multiple of any block, so that a filesystem can share them.
const PIECE: u64 = 1 << 20;

/// How the bytes get there; each way falls back to the next where the filesystem does not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Shared,
    Kernel,
    Stream,
}

/// Tells how a copy failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// The value's file can't be read.
    Source(io::Error),
    /// The copy can't be written or read back.
    Target(io::Error),
    /// The bytes are not those that were added.
    Damaged,
}

/// Copies `blob` to `target`, an empty file open for reading and writing.
///
/// Each piece is read back from the copy for the check, while it is still in memory: what is checked is what the caller gets.
///
/// # Errors
/// [`CopyError`]; the target then has some of the bytes.
pub(crate) fn copy(blob: &Blob, target: &File, progress: &mut Option<Progress>) -> Result<(), CopyError> {
    let is_shared = rustix::fs::ioctl_ficlone(target, &blob.file).is_ok();
    if is_shared {
        // The whole file was shared, however long that is: a shorter one is damaged, and behind a longer one's value is nothing.
        target.set_len(blob.length).map_err(CopyError::Target)?;
    }
    let way = if is_shared { Way::Shared } else { Way::Kernel };
    copy_by(way, blob, target, progress)
}

fn copy_by(mut way: Way, blob: &Blob, target: &File, progress: &mut Option<Progress>) -> Result<(), CopyError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; usize::try_from(PIECE.min(blob.length)).unwrap_or_default()];
    let mut offset = 0;
    while offset < blob.length {
        let piece = &mut buffer[..usize::try_from(PIECE.min(blob.length - offset)).unwrap_or_default()];
        if way == Way::Kernel && !copy_in_kernel(&blob.file, target, offset, piece.len())? {
            way = Way::Stream;
        }
        if way == Way::Stream {
            blob.file.read_exact_at(piece, offset).map_err(source_fault)?;
            target.write_all_at(piece, offset).map_err(CopyError::Target)?;
        }
        target.read_exact_at(piece, offset).map_err(CopyError::Target)?;
        hasher.update(&*piece);
        offset += piece.len() as u64;
        if let Some(progress) = progress {
            progress(offset);
        }
    }
    if Digest(hasher.finalize().into()) == blob.digest { Ok(()) } else { Err(CopyError::Damaged) }
}

/// Copies a piece without bringing it here; tells whether all of it could be.
fn copy_in_kernel(source: &File, target: &File, offset: u64, length: usize) -> Result<bool, CopyError> {
    let (mut from, mut to) = (offset, offset);
    let end = offset + length as u64;
    while from < end {
        let left = usize::try_from(end - from).unwrap_or(length);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), left) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => return Err(CopyError::Target(errno.into())),
            // The filesystems can't do it between them, or not at all; a real fault shows again in the next way.
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// A file that ends too early is damaged, not unreadable, and so is one that the disk can't read.
fn source_fault(error: io::Error) -> CopyError {
    let is_damaged = error.kind() == io::ErrorKind::UnexpectedEof || is_lost(&error);
    if is_damaged { CopyError::Damaged } else { CopyError::Source(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::sha256;
    use datacache_proto::types::Codec;
    use std::io::{Read, Write};

    fn content() -> Vec<u8> {
        (0..3 * PIECE + 5).map(|n| u8::try_from(n % 253).unwrap()).collect()
    }

    fn blob(content: &[u8], digest: Digest, length: u64) -> Blob {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Blob { codec: Codec::Bytes, version: 1, length, digest, file, proof: None }
    }

    #[test]
    fn every_way_yields_the_same_bytes_and_tells_how_far_it_is() {
        for way in [Way::Kernel, Way::Stream] {
            let (sender, receiver) = std::sync::mpsc::channel();
            let mut progress: Option<Progress> = Some(Box::new(move |bytes| sender.send(bytes).unwrap()));
            let blob = blob(&content(), sha256(&content()), content().len() as u64);
            let mut target = tempfile::tempfile().unwrap();
            copy_by(way, &blob, &target, &mut progress).unwrap();
            let mut copied = Vec::new();
            target.read_to_end(&mut copied).unwrap();
            assert!(copied == content(), "{way:?}");
            drop(progress);
            assert_eq!(receiver.iter().last(), Some(content().len() as u64));
        }
    }

    #[test]
    fn whatever_the_filesystem_can_the_copy_is_right() {
        let blob = blob(&content(), sha256(&content()), content().len() as u64);
        let mut target = tempfile::tempfile().unwrap();
        copy(&blob, &target, &mut None).unwrap();
        let mut copied = Vec::new();
        target.read_to_end(&mut copied).unwrap();
        assert!(copied == content());
    }

    #[test]
    fn damage_is_noticed_in_every_way() {
        for way in [Way::Kernel, Way::Stream] {
            let mut changed = content();
            changed[1_500_000] ^= 1;
            let blob = blob(&changed, sha256(&content()), content().len() as u64);
            let copied = copy_by(way, &blob, &tempfile::tempfile().unwrap(), &mut None);
            assert!(matches!(copied, Err(CopyError::Damaged)), "{way:?}: {copied:?}");
        }
    }

    #[test]
    fn a_file_that_ends_early_is_damaged_and_does_not_loop() {
        let blob = blob(b"short", sha256(b"longer"), 6);
        let copied = copy(&blob, &tempfile::tempfile().unwrap(), &mut None);
        assert!(matches!(copied, Err(CopyError::Damaged)), "{copied:?}");
    }

    #[test]
    fn a_file_that_the_disk_can_not_read_is_damaged() {
        // Nothing is mapped there, which the system tells as it tells of a bad sector.
        let blob = Blob { file: File::open("/proc/self/mem").unwrap(), ..blob(b"", sha256(b"longer"), 6) };
        let copied = copy(&blob, &tempfile::tempfile().unwrap(), &mut None);
        assert!(matches!(copied, Err(CopyError::Damaged)), "{copied:?}");
    }

    #[test]
    fn of_a_file_that_goes_on_only_the_value_is_copied() {
        let blob = blob(b"longer", sha256(b"long"), 4);
        let mut target = tempfile::tempfile().unwrap();
        copy(&blob, &target, &mut None).unwrap();
        let mut copied = Vec::new();
        target.read_to_end(&mut copied).unwrap();
        assert_eq!(copied, b"long");
    }
}
