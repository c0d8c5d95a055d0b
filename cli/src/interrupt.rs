//! Signals that ask us to end, held back until a file that is half written is out of the way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Signals that are held back from now on; the second one ends the process all the same.
pub(crate) struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// Holds back what `^C` and `kill` send.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn hold_back() -> io::Result<Self> {
        Self::hold_back_all(&[SIGINT, SIGTERM])
    }

    fn hold_back_all(signals: &[i32]) -> io::Result<Self> {
        let arrived = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for &signal in signals {
            // IMPORTANT: in this order, or the first signal would already count as the second.
            flag::register_conditional_default(signal, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            let number = usize::try_from(signal).map_err(io::Error::other)?;
            flag::register_usize(signal, Arc::clone(&arrived), number)?;
        }
        Ok(Self(arrived))
    }

    /// Returns the signal that arrived, if one did.
    pub(crate) fn arrived(&self) -> Option<i32> {
        i32::try_from(self.0.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }
}

/// Ends the process as `signal` would have; returns only where the system refuses.
pub(crate) fn end_by(signal: i32) {
    if let Err(error) = low_level::emulate_default_handler(signal) {
        tracing::debug!(signal, %error, "the signal can't be passed on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::consts::SIGUSR1;

    #[test]
    fn a_signal_that_is_held_back_is_told_and_does_not_end_the_process() {
        let interrupts = Interrupts::hold_back_all(&[SIGUSR1]).unwrap();
        assert_eq!(interrupts.arrived(), None);
        low_level::raise(SIGUSR1).unwrap();
        assert_eq!(interrupts.arrived(), Some(SIGUSR1));
    }
}
