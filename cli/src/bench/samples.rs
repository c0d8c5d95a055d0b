//! How long operations took: a histogram of nanoseconds, and the figures made of it.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// How exact a time is kept: to three digits.
const DIGITS: u8 = 3;
/// A longer time counts as this one: an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;

/// How long operations took.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Samples {
    histogram: Histogram<u64>,
    /// The exact sum, which the histogram does not have.
    total: Duration,
    /// How many processes were at it at the same time.
    processes: u32,
}

/// What is told of a row; scripts rely on the names.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Half of the operations took at most this long, in microseconds.
    pub(crate) p50_us: f64,
    /// The same for 90% of them.
    pub(crate) p90_us: f64,
    /// The same for 99% of them.
    pub(crate) p99_us: f64,
    /// How many were done in a second by all processes together, if they had done nothing else.
    pub(crate) per_s: f64,
}

/// Samples on their way from one process to another.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shipment {
    total_ns: u64,
    /// Nanoseconds, and how many operations took them.
    counts: Vec<(u64, u64)>,
}

impl Default for Samples {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("these bounds are in order");
        Self { histogram, total: Duration::ZERO, processes: 1 }
    }
}

impl Samples {
    /// Takes in one operation.
    pub(crate) fn record(&mut self, took: Duration) {
        self.histogram.saturating_record(nanoseconds(took));
        self.total += took;
    }

    /// Takes in what another process measured at the same time.
    pub(crate) fn join(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
        self.total += other.total;
        self.processes += other.processes;
    }

    /// Returns the time that `share` of the operations took at most, in nanoseconds.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        self.histogram.value_at_quantile(share)
    }

    /// Returns the figures to tell.
    pub(crate) fn figures(&self) -> Figures {
        let at = |share| microseconds(self.quantile(share));
        Figures { p50_us: at(0.50), p90_us: at(0.90), p99_us: at(0.99), per_s: self.per_second().round() }
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody reads 53 bits of a rate")]
    fn per_second(&self) -> f64 {
        let seconds = self.total.as_secs_f64();
        if seconds > 0.0 { self.histogram.len() as f64 * f64::from(self.processes) / seconds } else { 0.0 }
    }
}

impl From<&Samples> for Shipment {
    fn from(samples: &Samples) -> Self {
        let counts = samples.histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()));
        Self { total_ns: nanoseconds(samples.total), counts: counts.collect() }
    }
}

impl From<Shipment> for Samples {
    fn from(shipment: Shipment) -> Self {
        let mut samples = Self { total: Duration::from_nanos(shipment.total_ns), ..Self::default() };
        for (value, count) in shipment.counts {
            samples.histogram.saturating_record_n(value, count);
        }
        samples
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "three digits are exact, and 53 bits hold a hundred days")]
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(micros: impl IntoIterator<Item = u64>) -> Samples {
        let mut samples = Samples::default();
        micros.into_iter().for_each(|micros| samples.record(Duration::from_micros(micros)));
        samples
    }

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= expected / 500.0
    }

    #[test]
    fn the_figures_are_those_of_the_operations() {
        let figures = samples(1..=100).figures();
        assert!(near(figures.p50_us, 50.0) && near(figures.p90_us, 90.0) && near(figures.p99_us, 99.0), "{figures:?}");
        // 100 operations in 5,050 microseconds.
        assert!(near(figures.per_s, 19_802.0), "{figures:?}");
    }

    #[test]
    fn what_two_processes_did_at_once_counts_as_twice_the_rate() {
        let mut both = samples([10; 50]);
        both.join(&samples([30; 50]));
        let figures = both.figures();
        assert!(near(figures.p50_us, 10.0) && near(figures.p90_us, 30.0), "{figures:?}");
        // 100 operations of 20 microseconds on average, two at a time.
        assert!(near(figures.per_s, 100_000.0), "{figures:?}");
    }

    #[test]
    fn samples_survive_their_way_to_another_process() {
        let samples = samples([1, 1, 2, 70_000, 12_345_678]);
        let line = serde_json::to_string(&Shipment::from(&samples)).unwrap();
        let arrived = Samples::from(serde_json::from_str::<Shipment>(&line).unwrap());
        assert_eq!(arrived, samples);
    }

    #[test]
    fn nothing_measured_is_no_rate_and_no_division_by_zero() {
        assert_eq!(Samples::default().figures(), Figures { p50_us: 0.0, p90_us: 0.0, p99_us: 0.0, per_s: 0.0 });
    }
}
