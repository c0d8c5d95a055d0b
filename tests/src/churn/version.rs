//! What a key holds at a version: all of it follows from the two numbers.

use std::ops::{Range, RangeInclusive};

use datacache_client::{HashType, Hasher};

/// The bytes before the body: key, number and length as little-endian words, and the SHA-256 of those and the body.
const HEAD: usize = 3 * WORD + DIGEST;
const WORD: usize = 8;
const DIGEST: usize = 32;

/// Rides in the call whatever the key.
const SMALL: RangeInclusive<usize> = HEAD..=1_024;
/// Partly below and partly above what the daemon keeps inline.
const MIDDLE: RangeInclusive<usize> = HEAD..=40 * 1_024;
/// A file of its own.
const LARGE: usize = 200 * 1_024;
/// The same, for keys whose values come and go so often that readers find many a file gone when they come to open it.
const HOT: RangeInclusive<usize> = 33 * 1_024..=40 * 1_024;
/// Every so many keys there is a hot one.
const HOT_EVERY: u64 = 16;

/// A version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The key.
    pub key: u64,
    /// Counts the key's versions from 1; 0 is before all of them.
    pub number: u64,
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing: it was deleted, or was never there.
    Absent,
    /// A value without a byte.
    Empty,
    /// A value of this length, which names its version.
    Value(usize),
}

impl Version {
    /// Returns what the key holds.
    #[must_use]
    pub fn state(self) -> State {
        let mut random = self.random();
        match (self.number, random.u8(0..100)) {
            (0, _) | (_, 0..8) => State::Absent,
            (_, 8..10) => State::Empty,
            (_, 10..13) => State::Value(LARGE),
            _ if self.key.is_multiple_of(HOT_EVERY) => State::Value(random.usize(HOT)),
            (_, 13..35) => State::Value(random.usize(MIDDLE)),
            _ => State::Value(random.usize(SMALL)),
        }
    }

    /// Returns the value's bytes, `None` where there is no value.
    #[must_use]
    pub fn value(self) -> Option<Vec<u8>> {
        let length = match self.state() {
            State::Absent => return None,
            State::Empty => return Some(Vec::new()),
            State::Value(length) => length,
        };
        let mut bytes = vec![0; length];
        let words = [self.key, self.number, length as u64].map(u64::to_le_bytes);
        bytes[..3 * WORD].copy_from_slice(words.as_flattened());
        let mut random = fastrand::Rng::with_seed(!self.seed());
        random.fill(&mut bytes[HEAD..]);
        let digest = digest(&bytes);
        bytes[3 * WORD..HEAD].copy_from_slice(&digest);
        Some(bytes)
    }

    /// Returns the version whose value these bytes are, `None` where they are none's: a byte of them is wrong.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + WORD)?.try_into().ok()?));
        let (version, length) = (Self { key: word(0)?, number: word(WORD)? }, word(2 * WORD)?);
        let is_whole = bytes.len() as u64 == length && State::Value(bytes.len()) == version.state();
        (is_whole && bytes[3 * WORD..HEAD] == digest(bytes)).then_some(version)
    }

    /// Draws a key, and a hot one half of the time.
    #[must_use]
    pub fn draw_key(random: &mut fastrand::Rng, keys: Range<u64>) -> u64 {
        let key = random.u64(keys);
        if random.bool() { key - key % HOT_EVERY } else { key }
    }

    fn random(self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed())
    }

    fn seed(self) -> u64 {
        self.key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.number
    }
}

/// Returns the SHA-256 of a value without the place where it stands itself.
fn digest(bytes: &[u8]) -> [u8; DIGEST] {
    let mut hasher = Hasher::new(HashType::Sha256);
    hasher.update(&bytes[..3 * WORD]);
    hasher.update(&bytes[HEAD..]);
    let hex = hasher.finish();
    std::array::from_fn(|at| {
        u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("a hash is written in hexadecimal")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions() -> impl Iterator<Item = Version> {
        (0..40).flat_map(|key| (0..40).map(move |number| Version { key, number }))
    }

    #[test]
    fn every_kind_and_length_of_value_occurs_and_is_recognised() {
        let (mut lengths, mut absent, mut empty) = (Vec::new(), 0, 0);
        for version in versions() {
            match (version.state(), version.value()) {
                (State::Absent, None) => absent += 1,
                (State::Empty, Some(value)) if value.is_empty() => empty += 1,
                (State::Value(length), Some(value)) if value.len() == length => {
                    assert_eq!(Version::of(&value), Some(version));
                    lengths.push(length);
                }
                other => panic!("{version:?}: {:?}", other.0),
            }
        }
        assert!(absent > 40 && empty > 10);
        for range in [0..1_025, 1_025..32_769, 32_769..40_961, 204_800..204_801] {
            assert!(lengths.iter().filter(|length| range.contains(*length)).count() > 10, "{range:?}");
        }
    }

    #[test]
    fn a_wrong_bit_anywhere_and_a_missing_byte_are_noticed() {
        let is_short = |version: &Version| matches!(version.state(), State::Value(length) if length < 200);
        let value = versions().find(is_short).and_then(Version::value).unwrap();
        for bit in 0..value.len() * 8 {
            let mut wrong = value.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Version::of(&wrong), None, "bit {bit}");
        }
        for length in 0..value.len() {
            assert_eq!(Version::of(&value[..length]), None, "{length} bytes");
        }
    }
}
