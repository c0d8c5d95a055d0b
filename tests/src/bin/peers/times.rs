//! How long operations took.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::outcome::Amount;
use crate::{Fault, stop};

/// A longer time counts as this one: an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;

/// How long operations took, to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    histogram: Histogram<u64>,
    total: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3).expect("these bounds are in order");
        Self { histogram, total: Duration::ZERO }
    }
}

impl Times {
    /// Measures `count` times what `work` takes for what `prepare` makes ready. A tenth more is done before, unmeasured.
    ///
    /// # Errors
    /// Those of `work`, and when a signal has arrived.
    pub(crate) fn measure<T, R>(
        count: u64,
        mut prepare: impl FnMut() -> T,
        mut work: impl FnMut(T) -> Result<R, Fault>,
    ) -> Result<Self, Fault> {
        let mut times = Self::default();
        let warm_up = count / 10;
        for number in 0..warm_up + count {
            stop::check()?;
            let input = prepare();
            let begun = Instant::now();
            let outcome = black_box(work(input));
            let took = begun.elapsed();
            outcome?;
            if number >= warm_up {
                times.record(took);
            }
        }
        Ok(times)
    }

    /// Takes in one operation.
    pub(crate) fn record(&mut self, took: Duration) {
        self.histogram.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.total += took;
    }

    /// Takes in what others measured, in nanoseconds.
    pub(crate) fn extend(&mut self, nanoseconds: impl IntoIterator<Item = u64>) {
        nanoseconds.into_iter().for_each(|took| self.record(Duration::from_nanos(took)));
    }

    /// Takes in what was measured elsewhere.
    pub(crate) fn join(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
        self.total += other.total;
    }

    /// Returns the time that `share` of the operations took at most, in nanoseconds.
    #[expect(clippy::cast_precision_loss, reason = "three digits are exact")]
    pub(crate) fn at(&self, share: f64) -> f64 {
        self.histogram.value_at_quantile(share) as f64
    }

    /// Returns how many are done in a second, one after the other.
    #[expect(clippy::cast_precision_loss, reason = "three digits are exact")]
    pub(crate) fn per_second(&self) -> f64 {
        self.histogram.len() as f64 / self.total.as_secs_f64().max(1e-9)
    }

    /// Returns what is told of many operations.
    pub(crate) fn amounts(&self) -> Vec<(&'static str, Amount)> {
        let time = |share| Amount::Nanoseconds(self.at(share));
        vec![
            ("p50", time(0.5)),
            ("p90", time(0.9)),
            ("p99", time(0.99)),
            ("p99.9", time(0.999)),
            ("per second", Amount::PerSecond(self.per_second())),
        ]
    }

    /// Returns what is told of few.
    pub(crate) fn middle(&self) -> Vec<(&'static str, Amount)> {
        vec![("p50", Amount::Nanoseconds(self.at(0.5))), ("worst", Amount::Nanoseconds(self.at(1.0)))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_work_after_the_warm_up_is_taken_in() {
        let mut done = 0;
        let work = |()| {
            done += 1;
            Ok(())
        };
        let times = Times::measure(20, || (), work).unwrap();
        assert_eq!((done, times.histogram.len()), (22, 20));
    }

    #[test]
    fn the_rate_is_that_of_one_after_the_other() {
        let mut times = Times::default();
        times.extend([1_000_000, 3_000_000]);
        assert!((times.per_second() - 500.0).abs() < 1e-6, "{}", times.per_second());
        assert!((times.at(1.0) - 3e6).abs() < 1e4);
    }
}
