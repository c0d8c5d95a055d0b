//! The most bytes that a value may have whose length is not known before it is read: what the daemon told, asked again before anything
//! is refused for it.

use std::sync::Arc;

use datacache_proto::process::Process;

use crate::connection::Connection;
use crate::error::Error;
use crate::repeat::Call;
use crate::session::Session;

impl Session {
    /// Returns the most bytes of a value of this length, `None` for one that is not known yet. A known one is judged by the daemon
    /// alone: with the call where it rides in that, else when it is asked whether the value fits, before any of it is sent.
    ///
    /// The daemon's setting may have changed since it told, and a reader can't be read again: it is asked again where it had a limit.
    ///
    /// # Errors
    /// Where the daemon can't be reached.
    pub(crate) async fn value_max(&self, connection: &Connection, length: Option<u64>) -> Result<u64, Error> {
        if length.is_some() || connection.value_max() == u64::MAX {
            return Ok(u64::MAX);
        }
        self.told_value_max().await
    }

    async fn told_value_max(&self) -> Result<u64, Error> {
        let fault = |source| Error::System { action: "tell which process this is", source };
        let process = Process::current().map_err(fault)?;
        let attempt = |connection: Arc<Connection>, context| async move {
            connection.renew_value_max(context, process).await?;
            Ok(connection.value_max())
        };
        self.call(Call::read("introduce"), attempt).await
    }
}
