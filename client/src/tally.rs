//! What is counted along with the bytes of a value: its length, its hashes, whether it is text, and how far it is.

use datacache_proto::error::WireError;
use datacache_proto::hash::{HashType, Hasher};
use datacache_proto::types::{Codec, Digest};
use datacache_proto::utf8::Utf8Check;
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// Is told how many bytes have been taken so far.
pub(crate) type Progress = Box<dyn FnMut(u64) + Send>;

/// A count that goes along with the data.
pub(crate) struct Tally {
    pub(crate) length: u64,
    limit: u64,
    /// For the name of the blob.
    digest: Option<Sha256>,
    key: KeyHash,
    text: Option<Utf8Check>,
    progress: Option<Progress>,
}

/// The hash for the key. Where it is the blob's, it is counted once.
enum KeyHash {
    None,
    Digest,
    Own(Hasher),
}

/// What came of a count.
pub(crate) struct Counted {
    pub(crate) length: u64,
    /// The SHA-256, if it was asked for.
    pub(crate) digest: Option<Digest>,
    /// The hash for the key, if it was asked for.
    pub(crate) key_hash: Option<String>,
}

impl Tally {
    /// Begins to count; text is checked to be UTF-8.
    pub(crate) fn begin(codec: Codec, needs_digest: bool, key_hash: Option<HashType>) -> Self {
        let key = match key_hash {
            None => KeyHash::None,
            Some(HashType::Sha256) if needs_digest => KeyHash::Digest,
            Some(hash_type) => KeyHash::Own(Hasher::new(hash_type)),
        };
        let text = (codec == Codec::Text).then(Utf8Check::default);
        Self { length: 0, limit: u64::MAX, digest: needs_digest.then(Sha256::new), key, text, progress: None }
    }

    /// Refuses more bytes than `limit`.
    pub(crate) fn limited(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// Tells `progress` how far it is.
    pub(crate) fn told(self, progress: Option<Progress>) -> Self {
        Self { progress, ..self }
    }

    /// Goes on with a piece.
    ///
    /// # Errors
    /// Where there are too many bytes, or they are not the text that they should be.
    pub(crate) fn update(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.length += piece.len() as u64;
        check_size(self.length, self.limit)?;
        if let Some(text) = &mut self.text {
            text.update(piece)?;
        }
        if let Some(digest) = &mut self.digest {
            digest.update(piece);
        }
        if let KeyHash::Own(hasher) = &mut self.key {
            hasher.update(piece);
        }
        if let Some(progress) = &mut self.progress {
            progress(self.length);
        }
        Ok(())
    }

    /// Ends the count.
    ///
    /// # Errors
    /// Where text ends within a character.
    pub(crate) fn finish(self) -> Result<Counted, Error> {
        self.text.map_or(Ok(()), |text| text.finish())?;
        let digest = self.digest.map(|digest| Digest(digest.finalize().into()));
        let key_hash = match self.key {
            KeyHash::None => None,
            KeyHash::Digest => digest.as_ref().map(ToString::to_string),
            KeyHash::Own(hasher) => Some(hasher.finish()),
        };
        Ok(Counted { length: self.length, digest, key_hash })
    }
}

/// Refuses a value of `size` bytes where it is above the daemon's limit.
///
/// # Errors
/// [`WireError::TooLarge`], as the daemon itself would say.
pub(crate) fn check_size(size: u64, limit: u64) -> Result<(), Error> {
    if size > limit { Err(WireError::TooLarge { size, limit }.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::sha256;
    use datacache_proto::hash::hash_bytes;

    fn counted(needs_digest: bool, key_hash: Option<HashType>) -> Counted {
        let mut tally = Tally::begin(Codec::Bytes, needs_digest, key_hash);
        tally.update(b"in two ").unwrap();
        tally.update(b"pieces").unwrap();
        tally.finish().unwrap()
    }

    #[test]
    fn only_the_hashes_that_are_asked_for_are_counted() {
        let (sha, md5) = (sha256(b"in two pieces"), hash_bytes(b"in two pieces", HashType::Md5));
        for (needs_digest, key_hash, expected) in [
            (false, None, (None, None)),
            (true, None, (Some(sha), None)),
            (false, Some(HashType::Sha256), (None, Some(sha.to_string()))),
            (true, Some(HashType::Sha256), (Some(sha), Some(sha.to_string()))),
            (true, Some(HashType::Md5), (Some(sha), Some(md5))),
        ] {
            let counted = counted(needs_digest, key_hash);
            assert_eq!((counted.length, (counted.digest, counted.key_hash)), (13, expected));
        }
    }

    #[test]
    fn one_byte_above_the_limit_is_too_large() {
        let mut tally = Tally::begin(Codec::Bytes, false, None).limited(5);
        tally.update(b"12345").unwrap();
        assert!(tally.update(b"6").unwrap_err().is_too_large());
    }

    #[test]
    fn only_text_has_to_be_utf8() {
        assert!(Tally::begin(Codec::Bytes, false, None).update(b"\xff").is_ok());
        assert!(Tally::begin(Codec::Text, false, None).update(b"\xff").is_err());
        let mut cut = Tally::begin(Codec::Text, false, None);
        cut.update(b"a\xc3").unwrap();
        assert!(cut.finish().is_err());
    }
}
