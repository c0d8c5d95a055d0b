//! The most bytes that a value may have: what the daemon told, asked again before anything is refused for it.

use std::sync::Arc;

use datacache_proto::process::Process;

use crate::connection::Connection;
use crate::error::Error;
use crate::repeat::Call;
use crate::session::Session;

impl Session {
    /// Returns the most bytes of a value of this length, `None` for one that is not known yet. What rides in the call is judged
    /// by the daemon alone.
    ///
    /// The daemon's setting may have changed since it told: it is asked again where what is known would refuse the value, or may,
    /// since its length is only known once a reader has been read, and can't be read again.
    ///
    /// # Errors
    /// Where the daemon can't be reached.
    pub(crate) async fn value_max(&self, connection: &Connection, length: Option<u64>) -> Result<u64, Error> {
        let known = connection.value_max();
        let may_refuse = match length {
            Some(length) => length > known.max(connection.introduced.inline_max),
            None => known < u64::MAX,
        };
        if may_refuse { self.told_value_max().await } else { Ok(known) }
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
