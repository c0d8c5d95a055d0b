//! Waiting between attempts: not at all at first, then longer and longer.

use std::time::{Duration, Instant};

/// The longest time between two attempts.
const LONGEST: Duration = Duration::from_millis(100);

/// The waits between the attempts at one thing.
#[derive(Debug)]
pub(crate) struct Pause {
    next: Duration,
}

impl Pause {
    /// Begins; the first wait is none.
    pub(crate) fn new() -> Self {
        Self { next: Duration::ZERO }
    }

    /// Waits, but not beyond `deadline`.
    pub(crate) async fn wait(&mut self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let span = self.step().min(left);
        if span.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(span).await;
        }
    }

    /// Returns this wait's length, 0, 1, 2, 4, ... ms, and goes on to the next.
    fn step(&mut self) -> Duration {
        let longer = (self.next * 2).clamp(Duration::from_millis(1), LONGEST);
        std::mem::replace(&mut self.next, longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_begin_with_none_and_grow_to_a_bound() {
        let mut pause = Pause::new();
        let steps: Vec<u128> = (0..10).map(|_| pause.step().as_millis()).collect();
        assert_eq!(steps, [0, 1, 2, 4, 8, 16, 32, 64, 100, 100]);
    }
}
