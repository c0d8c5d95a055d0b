//! What a segment says about itself, and the seeds of the checksums in it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{LogError, SEGMENT_HEADER, u32_at, u64_at};

const MAGIC: u64 = u64::from_le_bytes(*b"dcache\x01L");
const FORMAT: u32 = 1;

/// The constant facts of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Its number; the first is 1.
    pub number: u64,
    /// The store it belongs to.
    pub store_id: u128,
    /// Random; seeds the checksums.
    pub salt: u64,
}

impl SegmentHeader {
    /// Returns the header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[0..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.store_id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = xxh3_64_with_seed(&bytes[..56], 0);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`LogError`] where it is cut short, damaged, or of a newer format.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        let bytes = bytes.get(..SEGMENT_HEADER).ok_or(LogError::Short)?;
        if u64_at(bytes, 0) != MAGIC || u64_at(bytes, 56) != xxh3_64_with_seed(&bytes[..56], 0) {
            return Err(LogError::Checksum);
        }
        match u32_at(bytes, 8) {
            FORMAT => Ok(Self {
                number: u64_at(bytes, 16),
                store_id: u128::from(u64_at(bytes, 24)) | u128::from(u64_at(bytes, 32)) << 64,
                salt: u64_at(bytes, 40),
            }),
            format => Err(LogError::Format { format }),
        }
    }

    /// Returns the seed of a checksum at `offset` of this segment.
    pub(super) fn seed(&self, offset: u64) -> u64 {
        let mut place = [0; 16];
        place[..8].copy_from_slice(&self.number.to_le_bytes());
        place[8..].copy_from_slice(&offset.to_le_bytes());
        xxh3_64_with_seed(&place, self.salt)
    }
}
