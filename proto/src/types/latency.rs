//! How long things took, and how many came at a time: what is left of a histogram on its way to who looks at it.
//!
//! Each has a count and a sum, quantiles since the daemon began to run, and counts for steps that are the same for all builds
//! of a protocol. Counts and sums only grow: the difference of two measurements is what happened in between.

use serde::{Deserialize, Serialize};

/// How long things took since the daemon began to run.
///
/// # Examples
/// ```
/// use datacache_proto::types::Latency;
///
/// let mut earlier = Latency { count: 1, sum_ns: 40_000, ..Latency::default() };
/// earlier.steps[5] = 1;
/// let mut later = Latency { count: 3, sum_ns: 46_000, ..Latency::default() };
/// later.steps[1] = 2;
/// later.steps[5] = 1;
/// let between = later.since(&earlier);
/// assert_eq!((between.count, between.sum_ns, between.p50_ns), (2, 6_000, 2_000));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// How long they took together, in nanoseconds.
    pub sum_ns: u64,
    /// Half of them took at most this long, in nanoseconds; this and what follows is exact to 1%, and 0 where there was none.
    pub p50_ns: u64,
    /// The same for 90% of them.
    pub p90_ns: u64,
    /// The same for 99% of them.
    pub p99_ns: u64,
    /// The same for 99.9% of them.
    pub p999_ns: u64,
    /// The longest, in nanoseconds; one above an hour counts as that.
    pub max_ns: u64,
    /// How many took longer than the bound before, and not longer than the one of [`Latency::BOUNDS_NS`] at the same place, to
    /// 1%; the last one, how many took longer than all bounds.
    pub steps: Vec<u64>,
}

/// How many things came at a time since the daemon began to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// How often any came.
    pub count: u64,
    /// How many came in all.
    pub sum: u64,
    /// Half of the times at most so many came; this and what follows is exact to 1%, and 0 where none ever came.
    pub p50: u64,
    /// The same for 90% of the times.
    pub p90: u64,
    /// The same for 99% of the times.
    pub p99: u64,
    /// The same for 99.9% of the times.
    pub p999: u64,
    /// The most that came at a time.
    pub max: u64,
    /// How often more came than the bound before, and not more than the one of [`Sizes::BOUNDS`] at the same place, to 1%;
    /// the last one, how often more than all bounds.
    pub steps: Vec<u64>,
}

/// How long what the daemon does takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyStats {
    /// Calls, by what they are for.
    pub calls: CallLatencies,
    /// Frames of the log: from the first decision about what is in them until all processes see it.
    pub frames: Latency,
    /// Transactions that apply the log to the index, from their begin until they are on the disk.
    pub transactions: Latency,
    /// Waits of writers for a segment to be applied.
    pub waits: Latency,
}

/// How long calls took, from when they are taken off the socket until their answer is there to be sent. Those that were given up
/// don't count, nor what clients do themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLatencies {
    /// Look-ups of keys: `get`, `get_many`, `contains`, `stat`.
    pub reads: Latency,
    /// Changes of entries by their keys: `add`, `add_many`, `touch`, `delete`.
    pub writes: Latency,
    /// Those additions that wait until they survive a loss of power; they don't count among the writes.
    pub durable_writes: Latency,
    /// Changes of entries that are looked for: `evict`, `expire`, `clear`, and the end of a scope.
    pub bulk: Latency,
    /// Looks at what there is: `len`, `list`, `stats`.
    pub looks: Latency,
    /// Values in pieces: each that is sent or read, and its begin and end.
    pub transfers: Latency,
    /// All else: introductions, `verify`, `stop`.
    pub others: Latency,
}

/// How many operations and batches share a frame of the log. Each frame is one write to the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameStats {
    /// Operations in a frame.
    pub operations: Sizes,
    /// Batches in a frame, where each is what one call, or one slice of a clean-up, brings.
    pub batches: Sizes,
}

impl Latency {
    /// The bounds of the steps, in nanoseconds.
    pub const BOUNDS_NS: [u64; 22] = {
        let mut bounds = [0; 22];
        let (mut at, mut decade) = (0, 1_000);
        while at < bounds.len() {
            bounds[at] = decade * [1, 2, 5][at % 3];
            at += 1;
            if at % 3 == 0 {
                decade *= 10;
            }
        }
        bounds
    };

    /// Returns what was measured after `earlier`, by the same daemon. Its quantiles and its maximum are bounds of steps, which are
    /// never too small, and at most two and a half times too large.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let steps = difference(&self.steps, &earlier.steps);
        let at =
            |share| quantile(&steps, share).map_or(0, |step| Self::BOUNDS_NS.get(step).copied().unwrap_or(self.max_ns));
        let [p50_ns, p90_ns, p99_ns, p999_ns, max_ns] = SHARES.map(at);
        let count = self.count.saturating_sub(earlier.count);
        let sum_ns = self.sum_ns.saturating_sub(earlier.sum_ns);
        Self { count, sum_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, steps }
    }
}

impl Sizes {
    /// The bounds of the steps: the powers of two.
    pub const BOUNDS: [u64; 15] = {
        let mut bounds = [1; 15];
        let mut at = 1;
        while at < bounds.len() {
            bounds[at] = 2 * bounds[at - 1];
            at += 1;
        }
        bounds
    };
}

impl Default for Latency {
    fn default() -> Self {
        let steps = vec![0; Self::BOUNDS_NS.len() + 1];
        Self { count: 0, sum_ns: 0, p50_ns: 0, p90_ns: 0, p99_ns: 0, p999_ns: 0, max_ns: 0, steps }
    }
}

impl Default for Sizes {
    fn default() -> Self {
        let steps = vec![0; Self::BOUNDS.len() + 1];
        Self { count: 0, sum: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0, steps }
    }
}

/// What the quantiles and the maximum are shares of, in thousandths.
const SHARES: [u64; 5] = [500, 900, 990, 999, 1_000];

fn difference(later: &[u64], earlier: &[u64]) -> Vec<u64> {
    let before = earlier.iter().copied().chain(std::iter::repeat(0));
    later.iter().zip(before).map(|(later, earlier)| later.saturating_sub(earlier)).collect()
}

/// Returns the step up to which that share of all lies; `None` where there is nothing.
fn quantile(steps: &[u64], thousandths: u64) -> Option<usize> {
    let all: u64 = steps.iter().sum();
    let rank = (u128::from(all) * u128::from(thousandths)).div_ceil(1_000).max(1);
    let mut sum = 0;
    steps.iter().position(|count| {
        sum += u128::from(*count);
        sum >= rank
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow_from_a_microsecond_to_ten_seconds_and_from_one_to_all_that_fits_a_frame() {
        assert!(Latency::BOUNDS_NS.is_sorted_by(|a, b| a < b) && Sizes::BOUNDS.is_sorted_by(|a, b| a < b));
        assert_eq!(Latency::BOUNDS_NS[..7], [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000]);
        assert_eq!((Latency::BOUNDS_NS[21], Sizes::BOUNDS[0], Sizes::BOUNDS[14]), (10_000_000_000, 1, 16_384));
        let both = (Latency::default().steps.len(), Sizes::default().steps.len());
        assert_eq!(both, (Latency::BOUNDS_NS.len() + 1, Sizes::BOUNDS.len() + 1), "one is for all beyond");
    }

    fn latency(steps: &[(usize, u64)], max_ns: u64) -> Latency {
        let mut latency = Latency { max_ns, count: steps.iter().map(|(_, count)| count).sum(), ..Latency::default() };
        steps.iter().for_each(|(step, count)| latency.steps[*step] = *count);
        latency
    }

    #[test]
    fn what_happened_between_two_measurements_has_quantiles_of_its_own() {
        let earlier = latency(&[(0, 1_000_000)], 900);
        let later = latency(&[(0, 1_000_000), (3, 989), (6, 10), (22, 1)], 77_000_000_000);
        let between = later.since(&earlier);
        assert_eq!((between.count, between.p50_ns, between.p90_ns), (1_000, 10_000, 10_000));
        assert_eq!((between.p99_ns, between.p999_ns), (100_000, 100_000));
        assert_eq!(between.max_ns, 77_000_000_000, "nothing else is known of what is beyond all bounds");
    }

    #[test]
    fn nothing_between_two_measurements_is_nothing() {
        let measured = latency(&[(3, 7)], 9_000);
        assert_eq!(measured.since(&measured), Latency::default());
        assert_eq!(measured.since(&Latency { steps: vec![], ..Latency::default() }).p50_ns, 10_000);
    }
}
