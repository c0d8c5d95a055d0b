//! Who polls now: a slot for each process that does. What is written into them is the pollers' affair.

use std::sync::atomic::AtomicU64;

use super::Access;
use super::layout::{POLLER_WORDS, POLLERS, POLLERS_AT};

/// The slots of the pollers.
#[derive(Clone, Copy, Debug)]
pub struct Pollers<'a>(&'a [[AtomicU64; POLLER_WORDS]]);

impl<'a> Access<'a> {
    /// Returns the slots of the pollers.
    pub fn pollers(self) -> Pollers<'a> {
        let words = &self.0[POLLERS_AT..POLLERS_AT + POLLERS * POLLER_WORDS];
        Pollers(words.as_chunks().0)
    }
}

impl<'a> Pollers<'a> {
    /// Returns the slots, [`POLLERS`] of them; each is alone on its cache lines.
    #[inline]
    pub fn slots(self) -> &'a [[AtomicU64; POLLER_WORDS]] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::COUNTERS_AT;
    use super::super::testing::fresh;
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn every_poller_has_lines_of_its_own_between_header_and_counters() {
        let words = fresh();
        let slots = Access::new(&words).unwrap().pollers().slots();
        assert_eq!(slots.len(), POLLERS);
        for word in slots.iter().flatten() {
            word.fetch_add(1, Ordering::Relaxed);
        }
        for (at, word) in words.iter().enumerate() {
            let expected = u64::from((POLLERS_AT..COUNTERS_AT).contains(&at));
            assert_eq!(word.load(Ordering::Relaxed), expected, "word {at}");
        }
    }
}
