//! The hash by which a key finds its slot.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::layout::probe_limit;

/// The seed of [`KeyHash`]. It, the hash function and the order of what goes in are part of the layout's version.
const SEED: u64 = u64::from_le_bytes(*b"recent 1");

/// Keys up to this length are hashed in one go: setting up a streaming hash costs more than they do.
const SHORT: usize = 252;
/// Up to this one, in which a key that is a hash has room, in a buffer that costs next to nothing to clear.
const TINY: usize = 124;

/// The bytes of a namespace.
const HEAD: usize = size_of::<u32>();

/// The hash of a namespace and a key: xxh3 with a fixed seed over the namespace (32 bits, little-endian) and the
/// encoded key.
///
/// The place comes from the lower bits and the tag from the upper 32, so that keys which share a place still differ in
/// their tags. It has to avalanche fully: a weaker hash cost 12 slots a miss at half load instead of 2.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(u64);

impl KeyHash {
    /// Hashes `key`, encoded as for the store, in `namespace`.
    #[inline]
    pub fn of(namespace: u32, key: &[u8]) -> Self {
        if key.len() <= TINY {
            Self::in_one_go::<{ HEAD + TINY }>(namespace, key)
        } else if key.len() <= SHORT {
            Self::in_one_go::<{ HEAD + SHORT }>(namespace, key)
        } else {
            Self::of_long(namespace, key)
        }
    }

    #[inline]
    fn in_one_go<const ROOM: usize>(namespace: u32, key: &[u8]) -> Self {
        let mut bytes = [0; ROOM];
        bytes[..HEAD].copy_from_slice(&namespace.to_le_bytes());
        bytes[HEAD..HEAD + key.len()].copy_from_slice(key);
        Self(xxh3_64_with_seed(&bytes[..HEAD + key.len()], SEED))
    }

    #[cold]
    fn of_long(namespace: u32, key: &[u8]) -> Self {
        let mut hash = Xxh3::with_seed(SEED);
        hash.update(&namespace.to_le_bytes());
        hash.update(key);
        Self(hash.digest())
    }

    /// Takes `bits` for a hash: for models and tests that need keys to collide.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns all its bits: the seed of the record's checksum.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns what a slot keeps of the hash.
    #[inline]
    pub const fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns where the probe begins in a table of `slots`, a power of two of at most 2^32.
    #[inline]
    pub const fn place(self, slots: usize) -> usize {
        self.0 as u32 as usize & (slots - 1)
    }

    /// Returns the slots in which the key may be, in the order in which they are looked at: one more than half of them.
    #[inline]
    pub const fn places(self, slots: usize) -> Places {
        Places { next: self.place(slots), left: probe_limit(slots), slots }
    }
}

/// The slots of a probe, from [`KeyHash::places`].
#[derive(Clone, Debug)]
pub struct Places {
    next: usize,
    left: usize,
    slots: usize,
}

impl Iterator for Places {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.next;
        self.next = (place + 1) & (self.slots - 1);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SLOTS;
    use super::*;

    /// Counts over which a fair coin's deviation of five standard deviations is 1.4 %.
    const SAMPLES: u64 = 32_768;

    fn assert_like_a_coin(heads: u64, what: &str) {
        let spread = (SAMPLES as f64 / 4.0).sqrt();
        let off = (heads as f64 - SAMPLES as f64 / 2.0).abs() / spread;
        assert!(off < 5.0, "{what}: {heads} of {SAMPLES}");
    }

    fn hash_of_number(number: u64) -> u64 {
        KeyHash::of(1, &number.to_le_bytes()).0
    }

    #[test]
    fn the_hash_is_the_same_in_every_build_of_this_layout() {
        let hashes = [KeyHash::of(0, b""), KeyHash::of(7, b"tkey"), KeyHash::of(7, &[b'x'; 1000])];
        assert_eq!(hashes.map(|hash| hash.0), [0x32ae3b44e5dfe421, 0x0d9814a3575c77ab, 0x952d6e043d985c02]);
    }

    #[test]
    fn short_and_long_keys_are_hashed_alike() {
        for length in [0, 1, TINY, TINY + 1, 200, SHORT, SHORT + 1, SHORT + 2, 65_536] {
            let key = vec![0x5a; length];
            let mut whole = 9_u32.to_le_bytes().to_vec();
            whole.extend_from_slice(&key);
            let expected = KeyHash(xxh3_64_with_seed(&whole, SEED));
            assert_eq!(KeyHash::of(9, &key), expected, "{length} bytes");
            assert_eq!(KeyHash::of_long(9, &key), expected, "{length} bytes");
        }
    }

    #[test]
    fn each_bit_of_a_key_changes_half_of_the_hash() {
        for input in 0..64 {
            let mut flips = [0; 64];
            for number in 0..SAMPLES {
                let change = hash_of_number(number) ^ hash_of_number(number ^ 1 << input);
                for (bit, count) in flips.iter_mut().enumerate() {
                    *count += change >> bit & 1;
                }
            }
            for (bit, count) in flips.into_iter().enumerate() {
                assert_like_a_coin(count, &format!("input bit {input}, output bit {bit}"));
            }
        }
    }

    #[test]
    fn a_place_says_nothing_about_the_tag() {
        let place_bits = SLOTS.trailing_zeros();
        for place_bit in 0..place_bits {
            let mut equal = [0; 32];
            for number in 0..SAMPLES {
                let hash = KeyHash(hash_of_number(number));
                let place = hash.place(SLOTS) as u64 >> place_bit & 1;
                for (bit, count) in equal.iter_mut().enumerate() {
                    *count += u64::from(u64::from(hash.tag() >> bit & 1) == place);
                }
            }
            for (bit, count) in equal.into_iter().enumerate() {
                assert_like_a_coin(count, &format!("place bit {place_bit}, tag bit {bit}"));
            }
        }
    }

    #[test]
    fn place_and_tag_share_no_bit() {
        assert_eq!(KeyHash(u64::MAX << 32).place(SLOTS), 0);
        assert_eq!(KeyHash(SLOTS as u64 - 1).tag(), 0);
        assert_eq!(KeyHash(SLOTS as u64 - 1).place(SLOTS), SLOTS - 1);
    }

    #[test]
    fn namespaces_have_hashes_of_their_own() {
        assert_ne!(KeyHash::of(1, b"key"), KeyHash::of(2, b"key"));
    }

    #[test]
    fn a_probe_wraps_around_and_ends() {
        assert!(KeyHash(3).places(4).eq([3, 0, 1]));
        assert!(KeyHash(6).places(2).eq([0, 1]));
        assert!(KeyHash(6).places(1).eq([0]));
    }
}
