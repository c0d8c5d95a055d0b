//! What the daemon's process is told by signals.

use std::io;

use futures::StreamExt;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGPIPE, SIGTERM};
use signal_hook_tokio::Signals;

use crate::settings::Settings;

/// Registers for the signals. Must be called on a runtime.
///
/// # Errors
/// Where the system refuses.
pub(crate) fn register() -> io::Result<Signals> {
    // SIGPIPE only so that it does not kill: who started this process may not have it ignored.
    Signals::new([SIGTERM, SIGINT, SIGHUP, SIGPIPE])
}

/// Reads the configuration again at each SIGHUP; returns when the process is told to end.
pub(crate) async fn obey(mut signals: Signals, settings: &Settings) {
    while let Some(signal) = signals.next().await {
        match signal {
            SIGPIPE => {}
            // What came of it, the log was told.
            SIGHUP => drop(settings.reload()),
            signal => return tracing::info!(signal, "told to end"),
        }
    }
}
