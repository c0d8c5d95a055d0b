//! A hash that grows with the data, so that a file of any size is hashed in constant memory.

use std::{fmt, io};

use blake2::{Blake2b512, Blake2s256};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};

use super::HashType;

/// Hashes data that comes in pieces.
///
/// It is also an [`io::Write`] that never fails, so `io::copy` feeds it.
///
/// ```
/// use datacache_proto::hash::{HashType, Hasher, hash_bytes};
///
/// let mut hasher = Hasher::new(HashType::Sha256);
/// hasher.update(b"in two ");
/// hasher.update(b"pieces");
/// assert_eq!(hasher.finish(), hash_bytes(b"in two pieces", HashType::Sha256));
/// ```
pub struct Hasher {
    hash_type: HashType,
    state: Box<dyn DynDigest + Send + Sync>,
}

impl Hasher {
    /// Begins a hash of no data.
    #[must_use]
    pub fn new(hash_type: HashType) -> Self {
        let state: Box<dyn DynDigest + Send + Sync> = match hash_type {
            HashType::Md5 => Box::new(Md5::default()),
            HashType::Sha1 => Box::new(Sha1::default()),
            HashType::Sha224 => Box::new(Sha224::default()),
            HashType::Sha256 => Box::new(Sha256::default()),
            HashType::Sha384 => Box::new(Sha384::default()),
            HashType::Sha512 => Box::new(Sha512::default()),
            HashType::Sha3_224 => Box::new(Sha3_224::default()),
            HashType::Sha3_256 => Box::new(Sha3_256::default()),
            HashType::Sha3_384 => Box::new(Sha3_384::default()),
            HashType::Sha3_512 => Box::new(Sha3_512::default()),
            HashType::Blake2b => Box::new(Blake2b512::default()),
            HashType::Blake2s => Box::new(Blake2s256::default()),
        };
        Self { hash_type, state }
    }

    /// Adds `data` to what is hashed.
    pub fn update(&mut self, data: &[u8]) {
        self.state.update(data);
    }

    /// Returns the hash of everything added, in lower-case hexadecimal.
    #[must_use]
    pub fn finish(self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let nibbles = self.state.finalize().into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        nibbles.map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("hash_type", &self.hash_type).finish_non_exhaustive()
    }
}

impl io::Write for Hasher {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_bytes;

    #[test]
    fn pieces_of_any_size_make_the_hash_of_the_whole() {
        let data: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for hash_type in HashType::ALL {
            for size in [1, 63, 64, 65, 127, 128, 129, 4999] {
                let mut hasher = Hasher::new(hash_type);
                data.chunks(size).for_each(|piece| hasher.update(piece));
                assert_eq!(hasher.finish(), hash_bytes(&data, hash_type), "{hash_type} by {size}");
            }
        }
    }

    #[test]
    fn a_reader_can_be_copied_into_a_hasher() {
        let data = vec![7; 100_000];
        let mut hasher = Hasher::new(HashType::Blake2b);
        io::copy(&mut data.as_slice(), &mut hasher).unwrap();
        assert_eq!(hasher.finish(), hash_bytes(&data, HashType::Blake2b));
    }

    #[test]
    fn a_hasher_can_move_to_another_thread() {
        let mut hasher = Hasher::new(HashType::Sha1);
        hasher.update(b"a");
        let hash = std::thread::spawn(move || hasher.finish()).join().unwrap();
        assert_eq!(hash, "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8");
    }
}
