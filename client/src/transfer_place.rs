//! A place among the transfers that the daemon holds open for a connection; it has room for a few only.

use std::time::{Duration, Instant};

use datacache_proto::codec::until;
use tokio::runtime::Handle;

use crate::exchange::{Client, by};
use crate::fault::settle;

/// How long the daemon has to close what was given up.
const CLOSING: Duration = Duration::from_secs(10);

/// An upload or an open value. Given up half-way, by an error, a deadline or a caller who waits no longer, the daemon is
/// told in the background.
pub(crate) struct TransferPlace {
    client: Client,
    number: u64,
    is_closed: bool,
}

impl TransferPlace {
    /// Takes charge of the transfer `number`.
    pub(crate) fn of(client: &Client, number: u64) -> Self {
        Self { client: client.clone(), number, is_closed: false }
    }

    /// Notes that the transfer has come to its end, and nothing is left to close.
    pub(crate) fn closed(mut self) {
        self.is_closed = true;
    }
}

impl Drop for TransferPlace {
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        // Outside of a runtime nothing can be said; the daemon closes it with the connection at the latest.
        let Ok(runtime) = Handle::try_current() else { return };
        let (client, number) = (self.client.clone(), self.number);
        drop(runtime.spawn(async move {
            let deadline = Instant::now() + CLOSING;
            if let Err(fault) = settle(by(deadline, client.close(until(deadline), number)).await) {
                tracing::debug!(number, ?fault, "a transfer that was given up is not closed");
            }
        }));
    }
}
