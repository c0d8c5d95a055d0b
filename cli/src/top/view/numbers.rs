//! Numbers in few columns.

use std::time::Duration;

/// Returns a count: as it is below 100,000, else in thousands or more: `99999`, `100k`, `1.2M`.
pub(super) fn count(count: u64) -> String {
    if count < 100_000 { count.to_string() } else { scaled(count as f64) }
}

/// Returns how often something happens in a second: `0`, `0.3`, `42`, `12.3k`.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate if rate < 999.5 => format!("{rate:.0}"),
        rate => scaled(rate),
    }
}

fn scaled(mut rest: f64) -> String {
    let mut unit = None;
    for larger in ['k', 'M', 'G', 'T', 'P', 'E'] {
        // What would be rounded up to a whole one of the next unit is one.
        if rest < 999.5 {
            break;
        }
        (rest, unit) = (rest / 1_000.0, Some(larger));
    }
    let digits = usize::from(rest < 99.95 && unit.is_some());
    format!("{rest:.digits$}{}", unit.map(String::from).unwrap_or_default())
}

/// Returns a share in percent: `97.5%`, `100%`; a dash where there is none.
pub(super) fn percent(share: Option<f64>) -> String {
    // Not all is not 100%, and some is not 0.
    match share.map(|share| share * 100.0) {
        None => "-".to_owned(),
        Some(percent) if percent >= 100.0 => "100%".to_owned(),
        Some(percent) => format!("{:.1}%", percent.min(99.9)),
    }
}

/// Returns a span in the unit that suits it: `850ns`, `12.3us`, `4.1ms`, `2.0s`.
pub(super) fn short_time(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds}ns"),
        1_000..999_950 => format!("{:.1}us", value / 1e3),
        999_950..999_950_000 => format!("{:.1}ms", value / 1e6),
        _ => format!("{:.1}s", value / 1e9),
    }
}

/// Returns an interval as it is typed: `250ms`, `2s`, `1m`.
pub(super) fn interval(interval: Duration) -> String {
    match interval.as_millis() {
        millis if !millis.is_multiple_of(1_000) => format!("{millis}ms"),
        millis => crate::render::human::short_span(Duration::from_millis(millis.try_into().unwrap_or(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_as_many_digits_as_say_something() {
        let counts = [0, 99_999, 100_000, 1_234_567, 999_950_000, u64::MAX].map(count);
        assert_eq!(counts, ["0", "99999", "100k", "1.2M", "1.0G", "18.4E"]);
        let rates = [0.0, 0.25, 9.96, 999.4, 999.6, 12_345.0, 150_000.0].map(rate);
        assert_eq!(rates, ["0", "0.2", "10", "999", "1.0k", "12.3k", "150k"]);
        let times = [0, 999, 1_000, 999_940, 999_950, 4_100_000, 2_000_000_000].map(short_time);
        assert_eq!(times, ["0ns", "999ns", "1.0us", "999.9us", "1.0ms", "4.1ms", "2.0s"]);
        assert_eq!([250, 2_000, 60_000].map(|millis| interval(Duration::from_millis(millis))), ["250ms", "2s", "1m"]);
    }

    #[test]
    fn a_share_is_all_only_where_it_is_all() {
        assert_eq!(
            [None, Some(0.0), Some(0.5), Some(0.999_99), Some(1.0)].map(percent),
            ["-", "0.0%", "50.0%", "99.9%", "100%"]
        );
    }
}
