//! Moments that all processes of one machine put in the same order, and what the wall clock showed then.

use std::ops::RangeInclusive;

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

/// How often the clocks are compared: at least once nothing comes in between.
const LOOKS: usize = 100;

/// Returns the nanoseconds since some moment of the past, the same one for all processes.
#[must_use]
pub fn monotonic() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

fn nanoseconds(moment: Timespec) -> u64 {
    moment.tv_sec.unsigned_abs() * 1_000_000_000 + moment.tv_nsec.unsigned_abs()
}

/// By how many nanoseconds the wall clock is ahead of [`monotonic`], at least and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallClock {
    /// At least so much.
    pub least: i64,
    /// At most so much.
    pub most: i64,
}

impl WallClock {
    /// Compares the clocks.
    ///
    /// # Panics
    /// Where one of them is off by centuries.
    #[must_use]
    pub fn compare() -> Self {
        let look = || {
            let (before, wall, after) = (monotonic(), nanoseconds(clock_gettime(ClockId::Realtime)), monotonic());
            let ahead_of = |moment| wall.checked_signed_diff(moment).expect("clocks are no centuries apart");
            Self { least: ahead_of(after), most: ahead_of(before) }
        };
        (0..LOOKS).map(|_| look()).min_by_key(|clock| clock.most - clock.least).expect("it is looked more than once")
    }

    /// Returns what holds if the clocks were compared at two times, and the wall clock was set at most once in between.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }

    /// Returns between which moments the wall clock came to show these milliseconds since 1970.
    #[must_use]
    pub fn moment_of(self, millis: u64) -> RangeInclusive<u64> {
        let nanoseconds = millis.saturating_mul(1_000_000);
        nanoseconds.saturating_sub_signed(self.most)..=nanoseconds.saturating_sub_signed(self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_the_wall_clock_lies_between_what_was_compared() {
        let clock = WallClock { least: 5_000_000, most: 7_000_000 };
        assert_eq!(clock.moment_of(10), 3_000_000..=5_000_000);
        assert_eq!(clock.and(WallClock { least: 6_000_000, most: 9_000_000 }).moment_of(10), 1_000_000..=5_000_000);
    }

    #[test]
    fn the_wall_clock_of_now_is_found_on_the_other_one() {
        let clock = WallClock::compare();
        let (before, now, after) = (monotonic(), nanoseconds(clock_gettime(ClockId::Realtime)), monotonic());
        let found = clock.moment_of(now / 1_000_000);
        // A millisecond that the wall clock had begun.
        assert!(*found.start() <= after && *found.end() + 2_000_000 > before, "{found:?} {before} {after}");
    }
}
