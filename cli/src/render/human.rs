//! Sizes and spans of time as people read them.

use std::time::Duration;

use datacache_proto::time::Timestamp;
use indicatif::HumanBytes;

/// Returns a size with a binary unit, and the exact number where the unit hides it.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 { format!("{bytes} B") } else { format!("{} ({bytes} bytes)", HumanBytes(bytes)) }
}

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
    let at = UNITS.iter().position(|unit| seconds >= unit.1).unwrap_or(UNITS.len() - 1);
    let (name, unit, part) = UNITS[at];
    let rounded = (seconds + part / 2) / part * part;
    if at > 0 && rounded >= UNITS[at - 1].1 {
        return span_of(rounded);
    }
    let counted = |count: u64, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    let rest = UNITS.iter().find(|(_, size, _)| *size == part).filter(|_| !rounded.is_multiple_of(unit));
    let rest = rest.map(|(name, ..)| format!(" {}", counted(rounded % unit / part, name)));
    counted(rounded / unit, name) + &rest.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
