//! A throw of dice that falls the same way whenever it is repeated.

/// A generator of numbers without order (xorshift of 32 bits). Part of the policy's state, so that plans can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chance(u32);

impl Chance {
    pub(super) const fn new() -> Self {
        Self(1)
    }

    /// Takes a state up; it is never zero.
    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits.max(1))
    }

    pub(super) const fn to_bits(self) -> u32 {
        self.0
    }

    /// Returns `true` once in so many times.
    pub(super) const fn one_in(&mut self, times: u32) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.is_multiple_of(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_as_often_as_it_should_and_each_time_the_same_way() {
        let thrown = |mut chance: Chance| (0..16_000).map(|_| chance.one_in(16)).collect::<Vec<_>>();
        let first = thrown(Chance::new());
        assert!((900..1100).contains(&first.iter().filter(|hit| **hit).count()));
        assert_eq!(first, thrown(Chance::from_bits(Chance::new().to_bits())));
    }
}
