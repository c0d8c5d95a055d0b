//! Moments as RFC 3339 writes them, in UTC.

use datacache_proto::time::Timestamp;

/// Returns `moment` in UTC with milliseconds: `2024-05-01T12:00:00.250Z`.
///
/// RFC 3339 ends with the year 9999: later moments are shown as its last day.
pub(crate) fn rfc3339(moment: Timestamp) -> String {
    let millis = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{moment:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_a_zone_and_milliseconds() {
        assert_eq!(rfc3339(Timestamp::from_millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp::from_millis(1_714_564_800_250)), "2024-05-01T12:00:00.250Z");
    }

    #[test]
    fn a_moment_beyond_the_calendar_is_its_last_day() {
        assert_eq!(rfc3339(Timestamp::MAX), rfc3339(Timestamp::from_millis(1 << 60)));
        assert!(rfc3339(Timestamp::MAX).starts_with("9999-12-30T"));
    }
}
