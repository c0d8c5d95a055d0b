//! The clock around each operation.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::samples::Samples;
use crate::failure::Failure;
use crate::interrupt::Interrupts;

/// Before it is measured, an operation is done this part of the times, so that pages and caches are as they stay.
const WARM_UP: u64 = 10;
/// More of that changes nothing.
const WARM_UP_MAX: u64 = 10_000;
/// How often the clock is read to learn what that takes.
const CLOCK_READINGS: u32 = 10_001;

/// What measures: it gives up between two operations when a signal has arrived.
#[derive(Clone, Copy)]
pub(crate) struct Meter<'a>(Option<&'a Interrupts>);

impl<'a> Meter<'a> {
    /// Makes one that gives up when one of these signals has arrived.
    pub(crate) fn until(interrupts: &'a Interrupts) -> Self {
        Self(Some(interrupts))
    }

    /// Makes one for a process that signals end at once.
    pub(crate) fn endless() -> Self {
        Self(None)
    }

    /// Measures `count` times what `work` takes for what `prepare` makes ready; `check` looks at the outcome. Only `work`
    /// counts. Some are done before, unmeasured.
    ///
    /// # Errors
    /// Those of `work` and `check`, and [`Failure::Interrupted`].
    pub(crate) fn measure<T, R>(
        self,
        count: u64,
        mut prepare: impl FnMut() -> T,
        mut work: impl FnMut(T) -> Result<R, Failure>,
        mut check: impl FnMut(R) -> Result<(), Failure>,
    ) -> Result<Samples, Failure> {
        let mut samples = Samples::default();
        let warm_up = (count / WARM_UP).min(WARM_UP_MAX);
        for number in 0..warm_up + count {
            self.go_on()?;
            let input = prepare();
            let begun = Instant::now();
            let outcome = black_box(work(input));
            let took = begun.elapsed();
            check(outcome?)?;
            if number >= warm_up {
                samples.record(took);
            }
        }
        Ok(samples)
    }

    /// Says how many operations [`Meter::measure`] does for `count`.
    pub(crate) fn all_of(count: u64) -> u64 {
        count + (count / WARM_UP).min(WARM_UP_MAX)
    }

    /// Tells whether to go on.
    ///
    /// # Errors
    /// [`Failure::Interrupted`] once a signal has arrived.
    pub(crate) fn go_on(self) -> Result<(), Failure> {
        let arrived = self.0.and_then(Interrupts::arrived);
        arrived.map_or(Ok(()), |signal| Err(Failure::Interrupted { signal }))
    }
}

/// Returns what two readings of the clock take; the middle of many.
pub(crate) fn clock() -> Duration {
    let mut samples = Samples::default();
    for _ in 0..CLOCK_READINGS {
        let begun = Instant::now();
        let took = begun.elapsed();
        samples.record(black_box(took));
    }
    Duration::from_nanos(samples.quantile(0.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io;

    #[test]
    fn each_operation_gets_its_own_input_and_its_outcome_is_looked_at() {
        let (made, seen) = (Cell::new(0), Cell::new(0));
        let prepare = || {
            made.set(made.get() + 1);
            made.get()
        };
        let check = |outcome| {
            seen.set(seen.get() + outcome);
            Ok(())
        };
        let samples = Meter::endless().measure(20, prepare, |input: u64| Ok(input * 2), check).unwrap();
        assert_eq!((Meter::all_of(20), made.get(), seen.get()), (22, 22, 22 * 23));
        assert!(samples.quantile(1.0) > 0);
    }

    #[test]
    fn a_wrong_outcome_ends_the_measurement() {
        let wrong = |()| Err(Failure::System { what: "test", source: io::Error::other("wrong") });
        assert!(Meter::endless().measure(20, || (), Ok, wrong).is_err());
    }
}
