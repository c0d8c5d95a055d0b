//! The content of files: comparing it, and hashing it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use datacache_proto::lost::is_lost;
use datacache_proto::types::Digest;
use sha2::Digest as _;

/// How much of a file is read at a time.
pub(super) const CHUNK: usize = 256 * 1024;

/// Compares two files from their beginnings, wherever their positions are.
pub(super) fn same_content(one: &File, other: &File) -> io::Result<bool> {
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
pub(super) fn is_content(file: &File, digest: &Digest) -> io::Result<bool> {
    match hash_of(file) {
        Err(error) if is_lost(&error) => Ok(false),
        hashed => Ok(hashed? == *digest),
    }
}

/// Hashes a file from its beginning.
pub(super) fn hash_of(file: &File) -> io::Result<Digest> {
    let digest = hash_unless(file, || false)?;
    digest.ok_or_else(|| io::ErrorKind::Interrupted.into())
}

/// Hashes a file from its beginning; `None` where it is `given_up` before it is done.
pub(super) fn hash_unless(file: &File, given_up: impl Fn() -> bool) -> io::Result<Option<Digest>> {
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
