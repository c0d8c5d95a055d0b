//! A slot of the index: which operation in a segment is a key's newest.

use std::fmt;
use std::num::NonZeroU32;

use super::KeyHash;

/// Where an operation begins in its segment, a multiple of 8 bytes below 32 GiB.
///
/// Of the operation, not of its frame: no two keys have the same. Never zero, since a segment begins with its header,
/// so a used slot is never the zero word that a free one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(NonZeroU32);

impl Offset {
    /// The unit of offsets in bytes: operations are aligned to it.
    pub const UNIT: u64 = 8;

    /// Returns the offset of `bytes`, or `None` if no operation can be there: zero, not a multiple of 8, or 32 GiB
    /// and more.
    #[inline]
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        if !bytes.is_multiple_of(Self::UNIT) {
            return None;
        }
        u32::try_from(bytes / Self::UNIT).ok().and_then(NonZeroU32::new).map(Self)
    }

    /// Returns the distance from the segment's start in bytes.
    #[inline]
    pub fn bytes(self) -> u64 {
        u64::from(self.0.get()) * Self::UNIT
    }
}

/// Where an operation is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The number of its segment.
    pub segment: u64,
    /// Where it begins in that.
    pub offset: Offset,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} at byte {}", self.segment, self.offset.bytes())
    }
}

/// A used slot: the tag in the upper 32 bits, the offset in units of 8 bytes in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    tag: u32,
    offset: Offset,
}

impl Slot {
    #[inline]
    pub(super) const fn new(hash: KeyHash, offset: Offset) -> Self {
        Self { tag: hash.tag(), offset }
    }

    /// Returns what a word says, or `None` for a free slot. A word with a tag and no offset, which nobody writes, is
    /// a free one.
    #[inline]
    pub(super) fn from_word(word: u64) -> Option<Self> {
        let offset = Offset(NonZeroU32::new(word as u32)?);
        Some(Self { tag: (word >> 32) as u32, offset })
    }

    #[inline]
    pub(super) fn to_word(self) -> u64 {
        u64::from(self.tag) << 32 | u64::from(self.offset.0.get())
    }

    #[inline]
    pub(super) const fn is_of(self, hash: KeyHash) -> bool {
        self.tag == hash.tag()
    }

    #[inline]
    pub(super) const fn offset(self) -> Offset {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_aligned_and_never_zero_and_fit_into_32_bits() {
        let last = u64::from(u32::MAX) * 8;
        assert_eq!([8, 64, last].map(|bytes| Offset::from_bytes(bytes).map(Offset::bytes)), [8, 64, last].map(Some));
        assert_eq!([0, 1, 12, last + 8].map(Offset::from_bytes), [None; 4]);
    }

    #[test]
    fn a_slot_comes_back_from_its_word() {
        let slot = Slot::new(KeyHash::from_bits(0xabcd_ef01_2345_6789), Offset::from_bytes(0x80).unwrap());
        assert_eq!(slot.to_word(), 0xabcd_ef01_0000_0010);
        assert_eq!(Slot::from_word(slot.to_word()), Some(slot));
    }

    #[test]
    fn a_used_slot_is_never_taken_for_a_free_one() {
        let least = Slot::new(KeyHash::from_bits(0), Offset::from_bytes(8).unwrap());
        assert_ne!(least.to_word(), 0);
        assert_eq!(Slot::from_word(0), None);
        assert_eq!(Slot::from_word(0xffff_ffff_0000_0000), None);
    }
}
