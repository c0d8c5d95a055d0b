//! A value that can be sent, more than once if need be, and the place where it lies until it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use datacache_proto::types::{Codec, Digest};

use crate::error::{Error, IoContext};
use crate::staged::Staged;

/// A value that can be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) codec: Codec,
    pub(crate) length: u64,
    /// The hash for the key, if it was asked for.
    pub(crate) key_hash: Option<String>,
    pub(crate) body: Body,
}

/// Where a value lies.
#[derive(Debug)]
pub(crate) enum Body {
    /// In memory.
    Memory(Arc<Vec<u8>>),
    /// In the store's staging folder.
    Staged(Staged, Digest),
    /// In a file without a name.
    Spooled(File),
}

impl Body {
    /// Returns the bytes from `offset` on, `length` of them.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub(crate) fn piece(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = match self {
            Self::Memory(bytes) => {
                let from = usize::try_from(offset).map_err(io::Error::other)?;
                return Ok(bytes[from..from + length].to_vec());
            }
            Self::Staged(staged, _) => &staged.file,
            Self::Spooled(file) => file,
        };
        let mut piece = vec![0; length];
        file.read_exact_at(&mut piece, offset)?;
        Ok(piece)
    }
}

/// A file that a value is being written to.
pub(crate) enum Place {
    /// In the store's staging folder; needs the value's SHA-256.
    Staged(Staged),
    /// Without a name.
    Spooled(File),
}

impl Place {
    /// Writes all of `piece` at `offset`.
    ///
    /// # Errors
    /// Where the system fails.
    pub(crate) fn write(&self, piece: &[u8], offset: u64) -> Result<(), Error> {
        match self {
            Self::Staged(staged) => staged.write(piece, offset),
            Self::Spooled(file) => {
                file.write_all_at(piece, offset).during("write a temporary file in", &std::env::temp_dir())
            }
        }
    }

    /// Takes the whole value; `digest` was counted if the place is a staged one.
    pub(crate) fn into_body(self, digest: Option<Digest>) -> Body {
        match self {
            Self::Staged(staged) => Body::Staged(staged, digest.expect("it is counted for every staged value")),
            Self::Spooled(file) => Body::Spooled(file),
        }
    }
}

/// Makes a file without a name, for what is read once and may have to be sent or read again.
pub(crate) fn spool() -> Result<File, Error> {
    tempfile::tempfile().during("create a temporary file in", &std::env::temp_dir())
}
