//! How many clients called the daemon lately, as it sees them.

use std::sync::atomic::Ordering;

use super::Access;
use super::layout::CALLERS_AT;

impl Access<'_> {
    /// Says how many clients called lately. The daemon alone does.
    pub fn set_callers(self, callers: u64) {
        self.0[CALLERS_AT].store(callers, Ordering::Relaxed);
    }

    /// Returns how many clients called lately. A number that a dead daemon left, or that no daemon wrote, makes a client poll
    /// once too often or too seldom until its own call has been counted.
    #[inline]
    #[must_use]
    pub fn callers(self) -> u64 {
        self.0[CALLERS_AT].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::WORDS;
    use super::super::testing::fresh;
    use super::*;

    #[test]
    fn the_callers_have_a_word_between_header_and_counters() {
        let words = fresh();
        let access = Access::new(&words).unwrap();
        access.set_callers(3);
        assert_eq!(access.callers(), 3);
        let written: Vec<_> = (0..WORDS).filter(|&at| words[at].load(Ordering::Relaxed) != 0).collect();
        assert_eq!(written, [CALLERS_AT]);
    }
}
