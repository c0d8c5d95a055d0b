//! Values, each of which follows from two numbers.

use std::ops::RangeInclusive;

/// Rides in the call.
const SMALL: RangeInclusive<usize> = 0..=1_000;
/// Partly below and partly above what the daemon keeps inline.
const MIDDLE: RangeInclusive<usize> = 25_000..=40_000;
/// A file of its own.
const LARGE: RangeInclusive<usize> = 33_000..=150_000;
/// How many values there are that several keys have at a time: their files are shared, dropped, and wanted again.
const COMMON: u64 = 6;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    seed: u64,
    length: usize,
}

impl Content {
    /// Draws a value of any kind that travels in its call or as a file.
    #[must_use]
    pub fn draw(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..10) {
            0..6 => Self::draw_small(random),
            6..8 => Self { seed: random.u64(..), length: random.usize(MIDDLE) },
            _ => Self::draw_large(random),
        }
    }

    /// Draws a small one.
    #[must_use]
    pub fn draw_small(random: &mut fastrand::Rng) -> Self {
        Self { seed: random.u64(..), length: random.usize(SMALL) }
    }

    /// Draws one that is a file, and now and then one of those that others have too.
    #[must_use]
    pub fn draw_large(random: &mut fastrand::Rng) -> Self {
        let seed = if random.bool() { random.u64(..COMMON) } else { random.u64(..) };
        Self { seed, length: fastrand::Rng::with_seed(!seed).usize(LARGE) }
    }

    /// Returns its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty value is an ordinary one")]
    pub fn len(self) -> usize {
        self.length
    }

    /// Returns its bytes.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        fastrand::Rng::with_seed(self.seed).fill(&mut bytes);
        bytes
    }
}
