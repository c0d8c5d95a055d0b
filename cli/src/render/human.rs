//! Sizes and spans of time as people read them.

use datacache_proto::time::Timestamp;
use indicatif::{HumanBytes, HumanDuration};

/// Returns a size with a binary unit, and the exact number where the unit hides it.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 { format!("{bytes} B") } else { format!("{} ({bytes} bytes)", HumanBytes(bytes)) }
}

/// Returns how far `moment` lies from `now`, rounded to its largest unit: `3 minutes ago`, `in 2 weeks`.
pub(crate) fn distance(moment: Timestamp, now: Timestamp) -> String {
    if moment > now {
        format!("in {}", HumanDuration(moment.since(now)))
    } else {
        format!("{} ago", HumanDuration(now.since(moment)))
    }
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
}
