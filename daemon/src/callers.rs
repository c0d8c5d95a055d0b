//! Which clients called lately: what decides whether anybody looks for messages instead of sleeping.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use datacache_proto::polling::LATELY;

use crate::scopes::ConnectionId;

/// The connections over which calls came lately.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    lately: RefCell<Vec<(ConnectionId, Instant)>>,
    /// What was told to the clients.
    told: Cell<u64>,
}

impl Callers {
    /// Notes a call; returns how many call, if that is to be told to the clients.
    pub(crate) fn note(&self, caller: ConnectionId, now: Instant) -> Option<u64> {
        let mut lately = self.lately.borrow_mut();
        lately.retain(|&(other, last)| other != caller && now.saturating_duration_since(last) < LATELY);
        lately.push((caller, now));
        let count = lately.len() as u64;
        (self.told.replace(count) != count).then_some(count)
    }

    /// Returns how many called lately, as of the last call.
    pub(crate) fn count(&self) -> u64 {
        self.told.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_until_it_has_not_called_for_a_while() {
        let (callers, now) = (Callers::default(), Instant::now());
        assert_eq!(callers.note(1, now), Some(1));
        assert_eq!(callers.note(1, now + LATELY / 2), None);
        assert_eq!(callers.note(2, now + LATELY), Some(2));
        assert_eq!(callers.note(2, now + LATELY), None);
        assert_eq!(callers.note(2, now + LATELY * 3 / 2), Some(1));
        assert_eq!(callers.count(), 1);
    }
}
