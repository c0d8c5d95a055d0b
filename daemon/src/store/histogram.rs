//! Histograms that take in one number after the other for as long as the daemon runs: of spans of time, and of how many came at
//! a time. Each takes some 30 KB at the most, of which only what numbers fall into is ever touched.

use std::time::Duration;

use datacache_proto::types::{Latency, Sizes};
use hdrhistogram::Histogram;

/// How exact a number is kept: to two digits, which is 1%.
const DIGITS: u8 = 2;
/// A longer span counts as this one: an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;
/// A shorter difference between two spans is not seen, in nanoseconds.
const FINEST: u64 = 16;
/// More at a time count as so many: no frame has room for as many operations.
const MOST: u64 = 1 << 24;

/// How long things took.
#[derive(Debug)]
pub struct Spans(Exact);

/// How many came at a time.
#[derive(Debug)]
pub struct Amounts(Exact);

/// A histogram, with the sum that it does not have.
#[derive(Debug)]
struct Exact {
    histogram: Histogram<u64>,
    sum: u64,
}

impl Exact {
    fn new(least: u64, most: u64) -> Self {
        let histogram = Histogram::new_with_bounds(least, most, DIGITS).expect("these bounds are in order");
        Self { histogram, sum: 0 }
    }

    fn take(&mut self, value: u64) {
        self.histogram.saturating_record(value);
        self.sum = self.sum.saturating_add(value);
    }

    /// Returns the number below which that share of all is; never more than the largest.
    fn quantile(&self, share: f64) -> u64 {
        self.histogram.value_at_quantile(share).min(self.max())
    }

    /// The most there was, to 1%: the histogram would tell the upper end of what it can't tell apart.
    fn max(&self) -> u64 {
        if self.histogram.is_empty() { 0 } else { self.histogram.max() }
    }

    /// Counts what lies between bounds. A number that can't be told from a bound counts as not above it, always, so that no
    /// count ever shrinks.
    fn steps(&self, bounds: &[u64]) -> Vec<u64> {
        let mut steps = vec![0; bounds.len() + 1];
        for recorded in self.histogram.iter_recorded() {
            let least = self.histogram.lowest_equivalent(recorded.value_iterated_to());
            steps[bounds.partition_point(|bound| *bound < least)] += recorded.count_at_value();
        }
        steps
    }
}

impl Spans {
    /// Takes in one.
    pub fn take(&mut self, span: Duration) {
        self.0.take(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Returns what is told of them.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let Self(all) = self;
        Latency {
            count: all.histogram.len(),
            sum_ns: all.sum,
            p50_ns: all.quantile(0.5),
            p90_ns: all.quantile(0.9),
            p99_ns: all.quantile(0.99),
            p999_ns: all.quantile(0.999),
            max_ns: all.max(),
            steps: all.steps(&Latency::BOUNDS_NS),
        }
    }
}

impl Amounts {
    /// Takes in one.
    pub fn take(&mut self, amount: usize) {
        self.0.take(amount as u64);
    }

    /// Returns what is told of them.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let Self(all) = self;
        Sizes {
            count: all.histogram.len(),
            sum: all.sum,
            p50: all.quantile(0.5),
            p90: all.quantile(0.9),
            p99: all.quantile(0.99),
            p999: all.quantile(0.999),
            max: all.max(),
            steps: all.steps(&Sizes::BOUNDS),
        }
    }
}

impl Default for Spans {
    fn default() -> Self {
        Self(Exact::new(FINEST, LONGEST))
    }
}

impl Default for Amounts {
    fn default() -> Self {
        Self(Exact::new(1, MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: u64, expected: u64) -> bool {
        found.abs_diff(expected) <= expected.div_ceil(100) + FINEST
    }

    #[test]
    fn the_figures_are_those_of_the_spans() {
        let mut spans = Spans::default();
        (1..=1_000).for_each(|micros| spans.take(Duration::from_micros(micros)));
        let told = spans.latency();
        assert_eq!((told.count, told.sum_ns), (1_000, 500_500_000), "these two are exact");
        let figures = [told.p50_ns, told.p90_ns, told.p99_ns, told.p999_ns, told.max_ns];
        for (found, micros) in figures.into_iter().zip([500, 900, 990, 999, 1_000]) {
            assert!(near(found, micros * 1_000), "{found} of {micros}: {told:?}");
        }
        assert!(figures.is_sorted(), "{told:?}");
    }

    #[test]
    fn every_span_is_in_one_step_and_one_at_a_bound_is_not_above_it() {
        let mut spans = Spans::default();
        let beyond = [Duration::ZERO, Duration::from_secs(11), Duration::from_secs(10_000_000)];
        let at = Latency::BOUNDS_NS.map(Duration::from_nanos);
        at.into_iter().chain(beyond).for_each(|span| spans.take(span));
        let told = spans.latency();
        let mut expected = vec![1; Latency::BOUNDS_NS.len() + 1];
        (expected[0], expected[Latency::BOUNDS_NS.len()]) = (2, 2);
        assert_eq!(told.steps, expected);
        assert_eq!(told.count, told.steps.iter().sum::<u64>());
        assert!(near(told.max_ns, LONGEST), "{told:?}");
    }

    #[test]
    fn small_amounts_are_exact_and_the_steps_are_powers_of_two() {
        let mut amounts = Amounts::default();
        [1, 1, 2, 3, 4, 100, 20_000].into_iter().for_each(|amount| amounts.take(amount));
        let told = amounts.sizes();
        assert_eq!((told.count, told.sum, told.p50), (7, 20_111, 3));
        assert_eq!((told.steps[0], told.steps[1], told.steps[2], told.steps[7]), (2, 1, 2, 1), "{told:?}");
        assert_eq!(told.steps.last(), Some(&1));
    }

    #[test]
    fn nothing_measured_is_all_zero() {
        assert_eq!((Spans::default().latency(), Amounts::default().sizes()), (Latency::default(), Sizes::default()));
    }

    /// There is one for each kind of call, and more.
    #[test]
    fn one_takes_less_than_thirty_two_kilobytes() {
        for exact in [Spans::default().0, Amounts::default().0] {
            assert!(
                exact.histogram.distinct_values() * size_of::<u64>() <= 32 << 10,
                "{}",
                exact.histogram.distinct_values()
            );
        }
    }
}
