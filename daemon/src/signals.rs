//! What the daemon's process is told by signals.

use std::io;

use futures::StreamExt;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGPIPE, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::sync::watch;

use crate::config::{Config, Flags};
use crate::logging::Logging;
use crate::notify;

/// Registers for the signals. Must be called on a runtime.
///
/// # Errors
/// Where the system refuses.
pub(crate) fn register() -> io::Result<Signals> {
    // SIGPIPE only so that it does not kill: who started this process may not have it ignored.
    Signals::new([SIGTERM, SIGINT, SIGHUP, SIGPIPE])
}

/// Reads the configuration again at each SIGHUP; returns when the process is told to end.
pub(crate) async fn obey(mut signals: Signals, flags: &Flags, config: &watch::Sender<Config>, logging: &Logging) {
    while let Some(signal) = signals.next().await {
        match signal {
            SIGPIPE => {}
            SIGHUP => {
                notify::reloading();
                reload(flags, config, logging);
                notify::ready("serving");
            }
            signal => return tracing::info!(signal, "told to end"),
        }
    }
}

/// Takes over what changed in the configuration; where it can't be read, everything stays as it is.
fn reload(flags: &Flags, config: &watch::Sender<Config>, logging: &Logging) {
    let new = match Config::load(flags) {
        Ok(new) => new,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            return tracing::error!(error, "the configuration can't be read again, the old one holds");
        }
    };
    let (new, waiting) = config.borrow().reloaded(new);
    for setting in waiting {
        tracing::warn!(setting, "this setting has changed, it holds after a restart");
    }
    logging.set(&new.log);
    config.send_replace(new);
    tracing::info!("the configuration was read again");
}
