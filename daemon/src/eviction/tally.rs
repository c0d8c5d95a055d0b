//! How often something turned out well, of late.

/// Tries and successes, of which older ones count less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) tries: f64,
    pub(super) successes: f64,
}

/// However few entries there are, so many tries are remembered.
const SHORTEST_MEMORY: f64 = 20.0;

impl Tally {
    /// Counts a try. Of earlier ones about the last `memory` are remembered.
    pub(super) fn count(&mut self, success: bool, memory: u64) {
        let kept = 1.0 - 1.0 / (memory as f64).max(SHORTEST_MEMORY);
        self.tries = self.tries * kept + 1.0;
        self.successes = self.successes * kept + f64::from(u8::from(success));
    }

    /// Returns the share of successes, from 0 to 1: a half where nothing is known.
    pub(super) fn share(&self) -> f64 {
        (self.successes + 0.5) / (self.tries + 1.0)
    }

    /// Returns the share of successes if the next try is one: what was never tried deserves to be.
    pub(super) fn hope(&self) -> f64 {
        (self.successes + 1.0) / (self.tries + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_tried_is_hoped_for() {
        assert_eq!((Tally::default().hope(), Tally::default().share()), (1.0, 0.5));
    }

    #[test]
    fn lately_counts_more_than_long_ago() {
        let mut tally = Tally::default();
        (0..1000).for_each(|_| tally.count(true, 100));
        assert!(tally.share() > 0.99);
        (0..200).for_each(|_| tally.count(false, 100));
        assert!((0.1..0.2).contains(&tally.share()), "{tally:?}");
    }
}
