//! The time, read without asking the processor's counter, which costs more than all else that a look does with it.

use datacache_proto::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Clocks that are as old as the kernel's last tick, some milliseconds.
#[cfg(target_os = "linux")]
const CLOCKS: (ClockId, ClockId) = (ClockId::MonotonicCoarse, ClockId::RealtimeCoarse);
#[cfg(not(target_os = "linux"))]
const CLOCKS: (ClockId, ClockId) = (ClockId::Monotonic, ClockId::Realtime);

/// More than such a clock is ever behind, in milliseconds.
const LAG: u64 = 1_000;

/// Returns the seconds since some moment of the past; never 0.
#[inline]
pub(super) fn seconds() -> u64 {
    clock_gettime(CLOCKS.0).tv_sec.unsigned_abs() + 1
}

/// Tells whether a moment has come, to the millisecond. The exact time is asked for only where it matters.
#[inline]
pub(super) fn has_come(moment: Timestamp) -> bool {
    let about = clock_gettime(CLOCKS.1);
    let about = about.tv_sec.unsigned_abs() * 1_000 + about.tv_nsec.unsigned_abs() / 1_000_000;
    if moment.as_millis() > about.saturating_add(LAG) { false } else { moment <= Timestamp::now() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_to_the_millisecond() {
        let now = Timestamp::now().as_millis();
        let has_come = |millis| has_come(Timestamp::from_millis(millis));
        assert!([0, 1, now - LAG, now - 1, now].into_iter().all(has_come));
        assert!(![now + 10 * LAG, u64::MAX].into_iter().any(has_come));
    }

    #[test]
    fn what_is_about_to_come_comes() {
        let soon = Timestamp::from_millis(Timestamp::now().as_millis() + 20);
        while !has_come(soon) {
            std::thread::yield_now();
        }
        assert!(Timestamp::now() >= soon);
    }
}
