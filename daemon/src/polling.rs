//! When the daemon tries for a client's next call for a moment before it sleeps: waking it costs more than most calls do. What is
//! tried, and what comes of it, is the business of [`crate::conversation`].

use std::time::{Duration, Instant};

use datacache_proto::polling::Polling;

/// How often sockets are tried before the runtime asks the system for all other events and everybody else gets their turn: every
/// few microseconds. To try costs a third of that.
const TRIES: u64 = 32;

/// The looks of one connection.
#[derive(Debug)]
pub(crate) struct Looks {
    polling: Polling,
    /// What `polling` was made with.
    limit: Duration,
    goes_on: bool,
}

impl Looks {
    /// Begins without one.
    pub(crate) fn new() -> Self {
        Self { polling: Polling::new(Duration::ZERO), limit: Duration::ZERO, goes_on: false }
    }

    /// Begins a look for at most `limit`, if it may be one while `callers` clients call.
    pub(crate) fn begin(&mut self, limit: Duration, callers: u64) {
        if limit != self.limit {
            (self.polling, self.limit) = (Polling::new(limit), limit);
        }
        self.goes_on = self.polling.begin(callers, Instant::now());
    }

    /// Returns how often to try now; 0 where no look goes on. All that look share the time.
    pub(crate) fn tries(&mut self, callers: u64) -> usize {
        self.goes_on = self.goes_on && self.polling.goes_on(Instant::now());
        let tries = if self.goes_on { (TRIES / callers.max(1)).max(1) } else { 0 };
        usize::try_from(tries).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_tried_for_before_a_call_without_a_limit_and_where_every_core_is_wanted() {
        let mut looks = Looks::new();
        assert_eq!(looks.tries(1), 0);
        looks.begin(Duration::ZERO, 1);
        assert_eq!(looks.tries(1), 0);
        looks.begin(Duration::from_secs(60), u64::MAX);
        assert_eq!(looks.tries(u64::MAX), 0);
    }
}
