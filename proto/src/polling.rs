//! When one end of a connection looks for the other's next message for a moment, instead of sleeping until it comes.
//!
//! To be woken costs more than most calls do: on a machine with two cores a ping between two processes that sleep takes some ten times as
//! long as between two that look. But whoever looks keeps a core from others, so both ends look only while one is idle for
//! them: while fewer clients call than there are cores. The daemon sees all of them, counts those that called lately, and
//! tells their number in shared memory ([`crate::access`]); so nobody has to register, and nothing is left behind by a process
//! that is killed. What else runs on the machine shows in that a look is interrupted, or comes to nothing again and again, since
//! the other end waits for the core of the one that looks; then nobody looks for a while. With one of two cores kept busy by
//! somebody else, a `set` takes 120 µs where both ends look to the end each time, and 16 where they don't.

use std::num::NonZero;
use std::sync::LazyLock;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// How long a client counts as one that calls.
pub const LATELY: Duration = Duration::from_millis(2);

/// Between two steps of an undisturbed look there is less than this.
const INTERRUPTION: Duration = Duration::from_micros(200);
/// How long not to look after an interruption.
const RETREAT: Duration = Duration::from_millis(1);
/// So many looks in a row that come to nothing are not by chance: a call that takes long is mostly alone.
const IN_VAIN: u32 = 2;
/// How often the retreat doubles while every look comes to nothing.
const DOUBLINGS: u32 = 4;

/// One end's looks.
#[derive(Clone, Copy, Debug)]
pub struct Polling {
    limit: Duration,
    cores: u64,
    /// When the look that goes on has to end.
    end: Instant,
    /// When it last took a step.
    step: Instant,
    /// Until when nobody looks.
    retreat: Option<Instant>,
    /// How many looks in a row came to nothing.
    in_vain: u32,
    /// Whether the last one did, or was interrupted.
    ran_out: bool,
}

impl Polling {
    /// Looks for at most `limit` at a time; zero: never.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        static CORES: LazyLock<u64> = LazyLock::new(|| available_parallelism().map_or(1, NonZero::get) as u64);
        Self::with_cores(limit, *CORES)
    }

    fn with_cores(limit: Duration, cores: u64) -> Self {
        let now = Instant::now();
        Self { limit, cores, end: now, step: now, retreat: None, in_vain: 0, ran_out: true }
    }

    /// Begins a look, if it may be one while `callers` clients call.
    #[inline]
    pub fn begin(&mut self, callers: u64, now: Instant) -> bool {
        // The client that this is about may not be counted yet.
        if self.limit.is_zero() || callers.max(1) >= self.cores || self.retreat.is_some_and(|until| now < until) {
            return false;
        }
        if !self.ran_out {
            self.in_vain = 0;
        }
        (self.retreat, self.ran_out) = (None, false);
        (self.end, self.step) = (now + self.limit, now);
        true
    }

    /// Tells at each step whether the look goes on.
    #[inline]
    pub fn goes_on(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.step) > INTERRUPTION {
            (self.retreat, self.ran_out) = (Some(now + RETREAT), true);
            return false;
        }
        self.step = now;
        if now >= self.end {
            self.run_out(now);
        }
        !self.ran_out
    }

    fn run_out(&mut self, now: Instant) {
        self.ran_out = true;
        self.in_vain = self.in_vain.saturating_add(1);
        if let Some(more) = self.in_vain.checked_sub(IN_VAIN) {
            self.retreat = Some(now + RETREAT * (1 << more.min(DOUBLINGS)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(50);
    const STEP: Duration = Duration::from_micros(10);

    #[test]
    fn a_look_ends_with_its_time() {
        let (mut polling, now) = (Polling::with_cores(LIMIT, 2), Instant::now());
        assert!(polling.begin(1, now));
        let steps = (1..).take_while(|&step| polling.goes_on(now + STEP * step)).count();
        assert_eq!(steps, 4);
        assert!(polling.begin(1, now + LIMIT), "the next may begin at once");
    }

    /// Looks from `now` on until that comes to nothing; returns when it did.
    fn in_vain(polling: &mut Polling, now: Instant) -> Instant {
        assert!(polling.begin(1, now) && !polling.goes_on(now + LIMIT));
        now + LIMIT
    }

    #[test]
    fn looks_that_come_to_nothing_again_and_again_become_rare() {
        let (mut polling, mut now) = (Polling::with_cores(LIMIT, 2), Instant::now());
        let retreats = [(); 8].map(|()| {
            now = in_vain(&mut polling, now);
            let retreat = (0..).find(|&times| { polling }.begin(1, now + RETREAT * times)).unwrap();
            now += RETREAT * retreat;
            retreat
        });
        assert_eq!(retreats, [0, 1, 2, 4, 8, 16, 16, 16]);
    }

    #[test]
    fn a_look_that_comes_to_something_makes_up_for_those_that_did_not() {
        let (mut polling, now) = (Polling::with_cores(LIMIT, 2), Instant::now());
        let mut now = in_vain(&mut polling, now);
        for _ in 0..3 {
            assert!(polling.begin(1, now) && polling.goes_on(now + STEP));
            now = in_vain(&mut polling, now + STEP);
            assert!({ polling }.begin(1, now), "no retreat");
        }
    }

    #[test]
    fn nobody_looks_where_as_many_call_as_there_are_cores() {
        let now = Instant::now();
        let may = |callers, cores| Polling::with_cores(LIMIT, cores).begin(callers, now);
        assert!(may(0, 2) && may(1, 2) && may(3, 4));
        assert!(!may(1, 1) && !may(2, 2) && !may(9, 4));
        assert!(!may(0, 1), "the other end needs the only core");
    }

    #[test]
    fn a_look_that_was_interrupted_is_followed_by_none_for_a_while() {
        let (mut polling, now) = (Polling::with_cores(LIMIT, 2), Instant::now());
        assert!(polling.begin(1, now));
        assert!(polling.goes_on(now + STEP));
        let later = now + STEP + INTERRUPTION + Duration::from_micros(1);
        assert!(!polling.goes_on(later));
        assert!(!polling.begin(1, later + RETREAT / 2));
        assert!(polling.begin(1, later + RETREAT));
    }

    #[test]
    fn without_a_limit_nobody_looks() {
        assert!(!Polling::with_cores(Duration::ZERO, 64).begin(0, Instant::now()));
    }
}
