//! How the cost of an operation grows with the number of entries.

use crate::bench::Bench;
use crate::outcome::{Outcome, US};
use crate::sizes::grouped;

/// Adds a row about the smallest and the largest cache that were measured, where there are two.
pub(crate) fn add(bench: &mut Bench) {
    let small = bench.sizes.small;
    let large = bench.sizes.huge.unwrap_or(bench.sizes.million);
    let mut growth = Outcome::new("growth", format!("from {} to {} entries", grouped(small), grouped(large)));
    for (verb, most) in [("get", 2.0), ("set", 3.0)] {
        let of = |entries| {
            let name = format!("{verb} {}", grouped(entries));
            bench.outcomes.iter().find(|outcome| outcome.name == name)
        };
        if let Some((few, many)) = of(small).zip(of(large)) {
            for (outcome, entries) in [(few, small), (many, large)] {
                let ours = outcome.measurements.iter().find(|measurement| measurement.who == US);
                let amounts = ours.map(|measurement| measurement.amounts.clone()).unwrap_or_default();
                growth.add(format!("{verb}, {}", grouped(entries)), amounts);
            }
            let ratio = few.amount(US, "p50").zip(many.amount(US, "p50")).map(|(few, many)| many / few);
            growth.goal(format!("{verb}: p50 grows at most {most} ×"), ratio, |ratio| ratio <= most);
        }
    }
    if !growth.measurements.is_empty() {
        bench.take([growth]);
    }
}
