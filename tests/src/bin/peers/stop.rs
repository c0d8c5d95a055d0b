//! Signals that ask us to end: looked for between two steps, so that processes and folders go first.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::Fault;

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Begins to hold back what `^C` and `kill` send; the second one ends the process all the same.
///
/// # Errors
/// Where the system refuses.
pub(crate) fn listen() -> io::Result<()> {
    let stop = STOP.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // IMPORTANT: in this order, or the first signal would already count as the second.
        flag::register_conditional_default(signal, Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

/// Tells whether to go on.
///
/// # Errors
/// Once a signal has arrived.
pub(crate) fn check() -> Result<(), Fault> {
    let stop = STOP.get().is_some_and(|stop| stop.load(Ordering::Relaxed));
    if stop { Err("interrupted".into()) } else { Ok(()) }
}
