//! Points in time and durations as they are stored, sent and typed: milliseconds of wall-clock time.
//! Nothing here decides when an entry expires; it only says how a moment is written down.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment of wall-clock time in milliseconds since the Unix epoch.
///
/// # Examples
/// ```
/// use datacache_proto::time::Timestamp;
/// use std::time::Duration;
///
/// let start = Timestamp::from_millis(1_000);
/// assert_eq!(start.after(Duration::from_millis(500)).as_millis(), 1_500);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest moment that can be told; stored expiries stay below it.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the moment `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Reads the system's wall clock.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Returns the moment `span` later, or [`Timestamp::MAX`] where that can't be told.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// Returns how long it is from `earlier` to this moment, zero if it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    /// Moments before 1970 become 1970.
    fn from(moment: SystemTime) -> Self {
        let span = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    /// Moments beyond what the platform can tell become the Unix epoch plus 10,000 years.
    fn from(moment: Timestamp) -> Self {
        const TEN_THOUSAND_YEARS: Duration = Duration::from_secs(10_000 * 366 * 86_400);
        let span = Duration::from_millis(moment.0).min(TEN_THOUSAND_YEARS);
        UNIX_EPOCH + span
    }
}

/// A length of time as people type it, where zero means "without end".
///
/// `90`, `0.5s`, `90s`, `15m`, `12h`, `14d`, also together as in `1h30m`; `never` and `0` are without end. Resolution is 1 ms,
/// the most is 10,000 years.
///
/// # Examples
/// ```
/// use datacache_proto::time::Lifetime;
/// use std::time::Duration;
///
/// assert_eq!("15m".parse(), Ok(Lifetime::For(Duration::from_secs(900))));
/// assert_eq!("0".parse(), Ok(Lifetime::Never));
/// assert!("-3s".parse::<Lifetime>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It does not end.
    Never,
    /// It ends after this long; never zero.
    For(Duration),
}

impl Lifetime {
    /// The longest length that is accepted, in seconds: 10,000 years of 365 days.
    pub const MAX_SECONDS: f64 = 10_000.0 * 365.0 * 86_400.0;

    /// Makes one of a number of seconds, as configurations spell it; 0 is [`Lifetime::Never`].
    ///
    /// # Errors
    /// Where the number is negative, not a number, or above [`Lifetime::MAX_SECONDS`].
    pub fn from_seconds(seconds: f64) -> Result<Self, LifetimeError> {
        let text = || seconds.to_string();
        if seconds < 0.0 {
            return Err(LifetimeError::Negative { text: text() });
        }
        if seconds.is_nan() {
            return Err(LifetimeError::Malformed { text: text() });
        }
        if seconds > Self::MAX_SECONDS {
            return Err(LifetimeError::TooLong { text: text() });
        }
        Ok(Self::rounded(seconds))
    }

    /// Rounds up to whole milliseconds, so that a short life is never taken for "without end".
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked against the range before")]
    fn rounded(seconds: f64) -> Self {
        match (seconds * 1_000.0).ceil() as u64 {
            0 => Self::Never,
            millis => Self::For(Duration::from_millis(millis)),
        }
    }

    /// Returns the length, `None` where there is no end.
    #[must_use]
    pub fn as_duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::For(span) => Some(span),
        }
    }
}

/// A length of time that can't be taken as it was typed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LifetimeError {
    /// It lies before now.
    #[error("the duration `{text}` is negative; give a positive one, or `never`")]
    Negative {
        /// What was typed.
        text: String,
    },
    /// It is above [`Lifetime::MAX_SECONDS`].
    #[error("the duration `{text}` is longer than 10000 years; for no end write `never`")]
    TooLong {
        /// What was typed.
        text: String,
    },
    /// It is no duration at all.
    #[error("`{text}` is not a duration; write for example `90`, `0.5s`, `15m`, `1h30m`, `14d` or `never`")]
    Malformed {
        /// What was typed.
        text: String,
    },
}

impl FromStr for Lifetime {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, LifetimeError> {
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("never") {
            return Ok(Self::Never);
        }
        let seconds = seconds_of(trimmed).ok_or_else(|| LifetimeError::Malformed { text: text.to_owned() })?;
        Self::from_seconds(seconds).map_err(|error| error.spelled(text))
    }
}

impl LifetimeError {
    /// The same error about the text as it was typed rather than about the number read from it.
    fn spelled(self, typed: &str) -> Self {
        let text = typed.to_owned();
        match self {
            Self::Negative { .. } => Self::Negative { text },
            Self::TooLong { .. } => Self::TooLong { text },
            Self::Malformed { .. } => Self::Malformed { text },
        }
    }
}

/// Adds up the parts of `1h30m`. What has no unit is seconds, and stands alone; what has a sign stands first.
fn seconds_of(text: &str) -> Option<f64> {
    let (mut seconds, mut rest) = (0.0, text);
    loop {
        let (number, others) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len()));
        let (unit, others) = others.split_at(others.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(others.len()));
        let is_first = rest.len() == text.len();
        if !is_first && (unit.is_empty() || !number.starts_with(|c: char| c.is_ascii_digit())) {
            return None;
        }
        seconds += number.trim_end().parse::<f64>().ok()? * seconds_in(unit)?;
        rest = others.trim_start();
        if rest.is_empty() {
            return Some(seconds);
        }
    }
}

fn seconds_in(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    })
}

impl fmt::Display for Lifetime {
    /// Writes it so that it can be typed again: `never` or seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::For(span) => write!(f, "{}s", span.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Lifetime, LifetimeError> {
        text.parse()
    }

    #[test]
    fn every_documented_spelling_is_understood() {
        let span = |millis| Ok(Lifetime::For(Duration::from_millis(millis)));
        assert_eq!(parsed("90"), span(90_000));
        assert_eq!(parsed("0.5s"), span(500));
        assert_eq!(parsed("90s"), span(90_000));
        assert_eq!(parsed("15m"), span(900_000));
        assert_eq!(parsed("12h"), span(43_200_000));
        assert_eq!(parsed("14d"), span(1_209_600_000));
        assert_eq!(parsed("1h30m"), span(5_400_000));
        assert_eq!(parsed("1d 12h 0.5s"), span(129_600_500));
        assert_eq!(parsed("never"), Ok(Lifetime::Never));
        assert_eq!(parsed("0"), Ok(Lifetime::Never));
        assert_eq!(parsed("0s"), Ok(Lifetime::Never));
    }

    #[test]
    fn absurd_and_negative_durations_are_refused_by_name() {
        assert!(matches!(parsed("-1"), Err(LifetimeError::Negative { text }) if text == "-1"));
        assert!(matches!(parsed("1e300d"), Err(LifetimeError::Malformed { .. } | LifetimeError::TooLong { .. })));
        assert!(matches!(parsed("99999999999d"), Err(LifetimeError::TooLong { .. })));
        for text in ["", "s", "soon", "5 parsecs", "NaN", "inf", "1,5s", "--", "1h30", "1h-30m", "1hm", "1h 30 m x"] {
            assert!(parsed(text).is_err(), "{text:?} was taken for a duration");
        }
    }

    #[test]
    fn a_life_shorter_than_a_millisecond_is_not_taken_for_endless() {
        assert_eq!(parsed("0.0001"), Ok(Lifetime::For(Duration::from_millis(1))));
    }

    #[test]
    fn a_lifetime_is_printed_so_that_it_can_be_typed_again() {
        for text in ["never", "90s", "0.5s"] {
            assert_eq!(parsed(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn moments_survive_the_way_through_system_time() {
        let moment = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(Timestamp::from(SystemTime::from(moment)), moment);
        assert_eq!(Timestamp::from(SystemTime::from(Timestamp::MAX)).as_millis(), 10_000 * 366 * 86_400_000);
    }
}
