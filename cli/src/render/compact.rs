//! Numbers in as few characters as a column has: counts, sizes, spans and ages with three digits, and names that end with a sign where
//! they are cut.

use std::borrow::Cow;
use std::time::Duration;

/// Returns a count in five characters at most: exact below 10,000, then `12.3k`, `456k`, `7.89M`.
pub(crate) fn count(count: u64) -> String {
    const UNITS: [(&str, f64); 6] = [("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15), ("E", 1e18)];
    if count < 10_000 { count.to_string() } else { with_unit(float(count), &UNITS, "") }
}

/// Returns a size in eight characters at most: `512 B`, `1.50 KiB`, `12.3 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    const UNITS: [(&str, f64); 6] = [
        ("KiB", KIB),
        ("MiB", KIB * KIB),
        ("GiB", KIB * KIB * KIB),
        ("TiB", KIB * KIB * KIB * KIB),
        ("PiB", KIB * KIB * KIB * KIB * KIB),
        ("EiB", KIB * KIB * KIB * KIB * KIB * KIB),
    ];
    if bytes < 1024 { format!("{bytes} B") } else { with_unit(float(bytes), &UNITS, " ") }
}

/// Returns a span of nanoseconds in eight characters at most: `640 ns`, `12.3 us`, `4.56 ms`, `7.89 s`, `16.7 min`, `27.8 h`.
pub(crate) fn span(nanoseconds: u64) -> String {
    const UNITS: [(&str, f64); 5] = [("us", 1e3), ("ms", 1e6), ("s", 1e9), ("min", 6e10), ("h", 3.6e12)];
    if nanoseconds < 1_000 { format!("{nanoseconds} ns") } else { with_unit(float(nanoseconds), &UNITS, " ") }
}

/// Returns an age in its largest whole unit: `59s`, `59m`, `23h`, `6d`, `51w`, `10y`.
pub(crate) fn age(age: Duration) -> String {
    const UNITS: [(&str, u64); 6] =
        [("y", 365 * 86_400), ("w", 7 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let seconds = age.as_secs();
    let (name, unit) = UNITS.into_iter().find(|(_, unit)| seconds >= *unit).unwrap_or(("s", 1));
    format!("{}{name}", seconds / unit)
}

/// Returns the share of hits in reads as `98.7%`; `-` where there was no read. It is 100% and 0% only where all or none were hits.
pub(crate) fn ratio(hits: u64, reads: u64) -> String {
    match hits {
        _ if reads == 0 => "-".to_owned(),
        0 => "0%".to_owned(),
        hits if hits == reads => "100%".to_owned(),
        hits => format!("{:.1}%", (100.0 * float(hits) / float(reads)).clamp(0.1, 99.9)),
    }
}

/// Returns `name` in `width` characters at most; what is cut off is marked by an ellipsis.
pub(crate) fn cut(name: &str, width: usize) -> Cow<'_, str> {
    if name.chars().count() <= width {
        return Cow::Borrowed(name);
    }
    let kept = name.chars().take(width.saturating_sub(1));
    Cow::Owned(kept.chain(['…']).collect())
}

/// Writes a number in the largest unit of which it has one, rounded, with three digits.
fn with_unit(number: f64, units: &[(&str, f64)], between: &str) -> String {
    let rounded = |unit: f64| {
        let number = number / unit;
        let decimals = if number < 9.995 { 2 } else { usize::from(number < 99.95) };
        format!("{number:.decimals$}")
    };
    let fits = |at: &usize| {
        let next = units.get(at + 1).map_or(f64::INFINITY, |(_, next)| next / units[*at].1);
        number / units[*at].1 < next - 0.5
    };
    let at = (0..units.len()).find(fits).unwrap_or_default();
    let (name, unit) = units[at];
    format!("{}{between}{name}", rounded(unit))
}

#[expect(clippy::cast_precision_loss, reason = "three digits are told")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares what is told of some numbers, and looks at the width of many more.
    fn check(tell: fn(u64) -> String, width: usize, told: &[(u64, &str)]) {
        for (number, told) in told {
            assert_eq!(tell(*number), *told, "{number}");
        }
        let near = |power: u32| {
            let about = 1_u64.checked_shl(power).unwrap_or(u64::MAX);
            [about - 1, about, about / 3, about / 1_000 * 999, about / 7]
        };
        for number in (0..=64).flat_map(near).chain((0..20).map(|power| 10_u64.pow(power) - 1)) {
            let told = tell(number);
            assert!(told.chars().count() <= width, "{number} is told as {told}");
        }
    }

    #[test]
    fn counts_take_five_characters() {
        let told =
            [(0, "0"), (9_999, "9999"), (10_000, "10.0k"), (99_949, "99.9k"), (99_951, "100k"), (999_499, "999k")];
        check(count, 5, &told);
        check(count, 5, &[(999_500, "1.00M"), (1_234_567, "1.23M"), (u64::MAX, "18.4E")]);
    }

    #[test]
    fn sizes_take_eight_characters() {
        let told = [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.00 KiB"), (1_536, "1.50 KiB"), (10 << 20, "10.0 MiB")];
        check(bytes, 8, &told);
        check(bytes, 8, &[((1 << 20) - 1, "1.00 MiB"), (1_000 << 20, "1000 MiB"), (u64::MAX, "16.0 EiB")]);
    }

    #[test]
    fn spans_take_eight_characters_up_to_a_year() {
        for (nanoseconds, told) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (12_345, "12.3 us"),
            (999_600, "1.00 ms"),
            (59_000_000_000, "59.0 s"),
            (60_000_000_000, "1.00 min"),
            (1_000_000_000_000, "16.7 min"),
            (31_536_000_000_000_000, "8760 h"),
        ] {
            assert_eq!(span(nanoseconds), told);
            assert!(told.len() <= 8);
        }
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        for (seconds, told) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (7_199, "1h"),
            (86_400, "1d"),
            (700_000, "1w"),
            (u64::MAX / 2, "292471208677y"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), told);
        }
    }

    #[test]
    fn a_ratio_is_never_rounded_to_all_or_nothing() {
        assert_eq!([ratio(0, 0), ratio(0, 9), ratio(9, 9)], ["-", "0%", "100%"]);
        assert_eq!([ratio(1, 1 << 40), ratio((1 << 40) - 1, 1 << 40), ratio(2, 3)], ["0.1%", "99.9%", "66.7%"]);
    }

    #[test]
    fn a_name_that_is_cut_says_so() {
        assert_eq!(cut("größe", 5), "größe");
        assert_eq!(cut("größer", 5), "größ…");
    }
}
