//! Sizes and spans of time as people read them.

use std::time::Duration;

use datacache_proto::time::Timestamp;
use indicatif::HumanBytes;

/// Returns a size with a binary unit, and the exact number where the unit hides it.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 { format!("{bytes} B") } else { format!("{} ({bytes} bytes)", HumanBytes(bytes)) }
}

/// Returns a size in at most 8 columns, rounded to a digit behind the point below 100: `512 B`, `97.7 KiB`, `1023 MiB`.
#[expect(clippy::cast_precision_loss, reason = "a few digits of it are shown")]
pub(crate) fn short_size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut rest, mut unit) = (bytes as f64, 0);
    // What would be rounded up to a whole one of the next unit is one.
    while rest >= 1023.5 && unit < LARGER.len() {
        (rest, unit) = (rest / 1024.0, unit + 1);
    }
    let digits = usize::from(rest < 99.95);
    format!("{rest:.digits$} {}", LARGER[unit.saturating_sub(1)])
}

/// Units of 1024 of the one before; the first, of 1024 bytes.
const LARGER: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Units of time with their seconds, and the unit that a rest of them is told in.
const UNITS: [(&str, u64, u64); 6] = [
    ("year", 365 * DAY, DAY),
    ("week", 7 * DAY, DAY),
    ("day", DAY, 3_600),
    ("hour", 3_600, 60),
    ("minute", 60, 1),
    ("second", 1, 1),
];
const DAY: u64 = 86_400;

/// Returns how far `moment` lies from `now` in its largest unit, and the rest in the next: `3 minutes ago`, `in 1 hour 30 minutes`.
pub(crate) fn distance(moment: Timestamp, now: Timestamp) -> String {
    let told = |span: Duration| span_of((span + Duration::from_millis(500)).as_secs());
    if moment > now { format!("in {}", told(moment.since(now))) } else { format!("{} ago", told(now.since(moment))) }
}

fn span_of(seconds: u64) -> String {
    let counted = |(count, name): (u64, &str)| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    let (first, rest) = parts_of(seconds);
    counted(first) + &rest.map(|rest| format!(" {}", counted(rest))).unwrap_or_default()
}

/// Returns a span as durations are typed, but for years, in two units at most: `1m30s`, `2d`, `1w6d`, `1y35d`. Below ten years, that is
/// 6 columns.
pub(crate) fn short_span(span: Duration) -> String {
    let counted = |(count, name): (u64, &str)| format!("{count}{}", &name[..1]);
    let (first, rest) = parts_of((span + Duration::from_millis(500)).as_secs());
    counted(first) + &rest.map(counted).unwrap_or_default()
}

/// Takes a span apart: how many of its largest unit, and how many of the next.
fn parts_of(seconds: u64) -> ((u64, &'static str), Option<(u64, &'static str)>) {
    let at = UNITS.iter().position(|unit| seconds >= unit.1).unwrap_or(UNITS.len() - 1);
    let (name, unit, part) = UNITS[at];
    let rounded = (seconds + part / 2) / part * part;
    if at > 0 && rounded >= UNITS[at - 1].1 {
        return parts_of(rounded);
    }
    let rest = UNITS.iter().find(|(_, size, _)| *size == part).filter(|_| !rounded.is_multiple_of(unit));
    ((rounded / unit, name), rest.map(|&(name, ..)| (rounded % unit / part, name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::time::Lifetime;

    #[test]
    fn a_size_keeps_its_exact_number() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024), "1.00 KiB (1024 bytes)");
        assert_eq!(size(3 << 30), "3.00 GiB (3221225472 bytes)");
    }

    #[test]
    fn a_moment_lies_before_or_after_now() {
        let now = Timestamp::from_millis(1_000_000_000);
        let at = |seconds: i64| Timestamp::from_millis((1_000_000_000 + seconds * 1_000).cast_unsigned());
        assert_eq!(distance(at(-180), now), "3 minutes ago");
        assert_eq!(distance(at(14 * 86_400), now), "in 2 weeks");
        assert_eq!(distance(now, now), "0 seconds ago");
    }

    /// An hour and a half was told as two hours.
    #[test]
    fn a_span_is_told_in_two_units_at_most_and_rounded_to_the_second_of_them() {
        for (seconds, told) in [
            (1, "1 second"),
            (90, "1 minute 30 seconds"),
            (3_599, "59 minutes 59 seconds"),
            (5_399, "1 hour 30 minutes"),
            (86_399, "1 day"),
            (90_000, "1 day 1 hour"),
            (14 * DAY - 1, "2 weeks"),
            (400 * DAY, "1 year 35 days"),
        ] {
            assert_eq!(span_of(seconds), told);
        }
    }

    /// What 90 minutes and 13 days are is seen at a glance, and can be typed again.
    #[test]
    fn a_short_span_is_one_that_can_be_typed_and_fits_its_column() {
        let told = |seconds| short_span(Duration::from_secs(seconds));
        for (seconds, expected) in
            [(1, "1s"), (59, "59s"), (90, "1m30s"), (5_400, "1h30m"), (2 * DAY, "2d"), (13 * DAY, "1w6d")]
        {
            assert_eq!(told(seconds), expected);
            let typed: Lifetime = expected.parse().unwrap();
            assert_eq!(typed.as_duration(), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(told(400 * DAY), "1y35d", "which is no duration to type");
        for seconds in (0..3_650 * DAY).step_by(4_321) {
            assert!(told(seconds).len() <= 6, "{}", told(seconds));
        }
    }

    #[test]
    fn a_short_size_is_rounded_to_the_nearest_and_fits_its_column() {
        for (bytes, told) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (100_000, "97.7 KiB"),
            (102_348, "99.9 KiB"),
            (102_349, "100 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(short_size(bytes), told);
        }
        for shift in 0..64 {
            for bytes in [(1_u64 << shift) - 1, 1 << shift, (1 << shift) + (1 << shift) / 3 * 2] {
                assert!(short_size(bytes).len() <= 8, "{}", short_size(bytes));
            }
        }
    }
}
