//! A clock for what is done once a second: read without a system call, exact to some milliseconds.

use rustix::time::{ClockId, clock_gettime};

/// The clock that costs least.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::MonotonicCoarse;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Returns the seconds since some moment of the past; never 0.
#[inline]
pub(super) fn seconds() -> u64 {
    clock_gettime(CLOCK).tv_sec.unsigned_abs() + 1
}
