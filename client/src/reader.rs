//! A value that is read piece by piece, and checked while it is.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};

use datacache_proto::lost::is_lost;
use datacache_proto::types::{Codec, Digest};
use sha2::{Digest as _, Sha256};

use crate::blob::{Blob, damaged};
use crate::value::Value;

/// Reads a value of any size in constant memory.
///
/// A large value is checked against its SHA-256: the read that reaches the end fails if it is not the value that was
/// added, so whoever reads to the end without an error has the right bytes.
pub struct ValueReader {
    codec: Codec,
    version: u64,
    length: u64,
    source: Source,
}

enum Source {
    Memory(Cursor<Vec<u8>>),
    File { file: File, left: u64, hasher: Sha256, digest: Digest },
}

impl ValueReader {
    pub(crate) fn of_memory(value: Value) -> Self {
        let (codec, version, length) = (value.codec(), value.version(), value.len() as u64);
        Self { codec, version, length, source: Source::Memory(Cursor::new(value.into_vec())) }
    }

    /// Reads from the file's own position, which is its beginning.
    pub(crate) fn of_blob(blob: Blob) -> Self {
        let Blob { codec, version, length, digest, file, .. } = blob;
        Self { codec, version, length, source: Source::File { file, left: length, hasher: Sha256::new(), digest } }
    }

    /// Returns what the bytes stand for.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns the version of the content.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the length of the whole value in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Tells whether the value has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Read for ValueReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Source::File { file, left, hasher, digest } = &mut self.source else {
            let Source::Memory(bytes) = &mut self.source else { return Ok(0) };
            return bytes.read(buffer);
        };
        let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = match file.read(&mut buffer[..wanted]) {
            Err(error) if is_lost(&error) => return Err(io::Error::new(io::ErrorKind::InvalidData, damaged(digest))),
            read => read?,
        };
        hasher.update(&buffer[..read]);
        let rest = *left - read as u64;
        if read == 0 || rest == 0 && Digest(hasher.clone().finalize().into()) != *digest {
            // IMPORTANT: with `left` as it was. Who reads on is not to take this for the end.
            return Err(io::Error::new(io::ErrorKind::InvalidData, damaged(digest)));
        }
        *left = rest;
        Ok(read)
    }
}

impl fmt::Debug for ValueReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueReader").field("codec", &self.codec).field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::sha256;
    use std::io::{Seek, Write};

    fn reader(content: &[u8], digest: Digest, length: u64) -> ValueReader {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        ValueReader::of_blob(Blob { codec: Codec::Bytes, version: 1, length, digest, file, proof: None })
    }

    #[test]
    fn a_file_that_the_disk_can_not_read_is_damaged() {
        // Nothing is mapped there, which the system tells as it tells of a bad sector.
        let file = File::open("/proc/self/mem").unwrap();
        let blob = Blob { codec: Codec::Bytes, version: 1, length: 5, digest: Digest([1; 32]), file, proof: None };
        let error = ValueReader::of_blob(blob).read(&mut [0; 5]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_blob_is_read_to_its_end_in_pieces() {
        let mut reader = reader(b"some bytes", sha256(b"some bytes"), 10);
        let mut bytes = [0; 10];
        reader.read_exact(&mut bytes[..4]).unwrap();
        reader.read_exact(&mut bytes[4..]).unwrap();
        assert_eq!(&bytes, b"some bytes");
        assert_eq!(reader.read(&mut bytes).unwrap(), 0);
    }

    #[test]
    fn damage_is_noticed_before_the_last_byte_is_handed_out() {
        let mut reader = reader(b"same bytes", sha256(b"some bytes"), 10);
        let mut bytes = [0; 10];
        reader.read_exact(&mut bytes[..9]).unwrap();
        for _ in 0..2 {
            let error = reader.read_exact(&mut bytes[9..]).unwrap_err();
            assert!(error.to_string().contains("is damaged"), "{error}");
        }
        assert!(reader.read(&mut bytes).is_err(), "it is no end either");
    }

    #[test]
    fn a_blob_that_ends_early_is_damaged() {
        let error = reader(b"some", sha256(b"some bytes"), 10).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
