//! When an entry ends, as callers say it, and the moment that is sent for it.

use std::time::{Duration, SystemTime};

use datacache_proto::time::{Lifetime, Timestamp};

/// The life of an entry that is added without saying how long: 14 days.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// When an entry ends by itself; the resolution is 1 ms.
///
/// Zero has no second meaning here: `After(Duration::ZERO)` is an entry that has already ended. Where people type a
/// number, `0` means "never"; a [`Lifetime`] reads that spelling and becomes an `Expire`.
///
/// # Examples
/// ```
/// use datacache_client::{Expire, Lifetime};
/// use std::time::Duration;
///
/// assert_eq!(Expire::from("90s".parse::<Lifetime>()?), Expire::After(Duration::from_secs(90)));
/// assert_eq!(Expire::from("0".parse::<Lifetime>()?), Expire::Never);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expire {
    /// After the configured time, see [`Config::expire_time`](crate::Config::expire_time).
    #[default]
    Default,
    /// Not by itself.
    Never,
    /// This long after the call is made, not after it is done.
    After(Duration),
    /// At this moment; one that has passed makes an entry that has already ended.
    At(SystemTime),
}

impl From<Lifetime> for Expire {
    fn from(lifetime: Lifetime) -> Self {
        lifetime.as_duration().map_or(Self::Never, Self::After)
    }
}

impl Expire {
    /// Returns the moment that is meant, `None` for never.
    pub(crate) fn resolve(self, now: Timestamp, default: Lifetime) -> Option<Timestamp> {
        let moment = match self {
            Self::Default => match default {
                Lifetime::Never => return None,
                Lifetime::For(span) => now.after(whole_millis(span)),
            },
            Self::Never => return None,
            Self::After(span) => now.after(whole_millis(span)),
            Self::At(moment) => moment.into(),
        };
        // Zero is how the store writes "never", and the latest moment of all stands for no moment.
        Some(moment.clamp(Timestamp::from_millis(1), Timestamp::from_millis(Timestamp::MAX.as_millis() - 1)))
    }
}

/// Rounds up, so that a life shorter than a millisecond is not one that is over.
fn whole_millis(span: Duration) -> Duration {
    match span.subsec_nanos() % 1_000_000 {
        0 => span,
        rest => span.saturating_add(Duration::from_nanos(u64::from(1_000_000 - rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const WEEK: Lifetime = Lifetime::For(Duration::from_secs(604_800));

    fn millis(expire: Expire) -> Option<u64> {
        expire.resolve(NOW, WEEK).map(Timestamp::as_millis)
    }

    #[test]
    fn each_way_to_say_it_becomes_a_moment() {
        assert_eq!(millis(Expire::Default), Some(605_800_000));
        assert_eq!(millis(Expire::Never), None);
        assert_eq!(millis(Expire::After(Duration::from_millis(1_500))), Some(1_001_500));
        assert_eq!(millis(Expire::At(UNIX_EPOCH + Duration::from_secs(5))), Some(5_000));
    }

    #[test]
    fn a_default_of_never_is_never() {
        assert_eq!(Expire::Default.resolve(NOW, Lifetime::Never), None);
    }

    #[test]
    fn no_time_at_all_ends_now_and_is_not_taken_for_never() {
        assert_eq!(millis(Expire::After(Duration::ZERO)), Some(1_000_000));
        assert_eq!(millis(Expire::At(UNIX_EPOCH)), Some(1));
        assert_eq!(millis(Expire::At(UNIX_EPOCH - Duration::from_secs(1))), Some(1));
    }

    #[test]
    fn a_part_of_a_millisecond_counts_as_a_whole_one() {
        assert_eq!(millis(Expire::After(Duration::from_nanos(1))), Some(1_000_001));
        assert_eq!(millis(Expire::After(Duration::from_micros(1_001))), Some(1_000_002));
    }

    #[test]
    fn a_moment_beyond_telling_stays_below_the_last_one() {
        assert_eq!(millis(Expire::After(Duration::MAX)), Some(u64::MAX - 1));
    }
}
