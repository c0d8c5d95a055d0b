//! The daemon itself: who it is, what it counts, its check of the store, and its end.

use std::path::PathBuf;
use std::time::Instant;

use datacache_proto::codec::until;
use datacache_proto::error::WireError;
use datacache_proto::process::Process;
use datacache_proto::types::{Reloaded, Stats, TagStats, Verification};

use crate::cache::DataCache;
use crate::error::Error;
use crate::exchange::by;
use crate::fault::{Fault, settle};
use crate::repeat::Call;
use crate::start::Effort;

/// A running daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonInfo {
    /// Its build, for people to read.
    pub build: String,
    /// The protocol that it and we speak.
    pub protocol: u32,
    /// Its process.
    pub process: Process,
    /// When it began to run.
    pub started: std::time::SystemTime,
    /// Its store's folder, as it sees it.
    pub store: PathBuf,
    /// Where it listens.
    pub socket: PathBuf,
    /// Whether this process can reach the store's folder, so that large values travel as files.
    pub is_store_visible: bool,
}

impl DataCache {
    /// Tells which daemon serves this cache.
    ///
    /// # Errors
    /// Where none can be reached.
    pub async fn daemon(&self) -> Result<DaemonInfo, Error> {
        let session = self.session();
        session.look();
        let connection = session.connect().await?;
        Ok(DaemonInfo {
            build: connection.welcome.build.clone(),
            protocol: connection.welcome.protocol,
            process: connection.introduced.daemon,
            started: connection.introduced.started.into(),
            store: connection.told_store(),
            socket: connection.socket.clone(),
            is_store_visible: connection.store().is_some(),
        })
    }

    /// Returns counters and sizes of all namespaces, the store and the daemon.
    ///
    /// # Errors
    /// Where the daemon can't be reached.
    pub async fn stats(&self) -> Result<Stats, Error> {
        let call = Call::read("stats").after_checkpoint();
        let stats = self.ask(call, |connection, context| async move { settle(connection.client.stats(context).await) });
        Ok(*stats.await?)
    }

    /// Returns what is known of the tags of a namespace, or of all where none is named, and has them counted anew where that was long ago.
    /// What is counted and what is estimated, and how old it may be, is said at [`TagStats`].
    ///
    /// # Errors
    /// Where the daemon can't be reached, or the name can't be one.
    pub async fn tags(&self, namespace: Option<&str>) -> Result<TagStats, Error> {
        let namespace = namespace.map(str::to_owned);
        let tags = self.ask(Call::read("tags"), move |connection, context| {
            let namespace = namespace.clone();
            async move { settle(connection.client.tags(context, namespace).await) }
        });
        Ok(*tags.await?)
    }

    /// Checks the whole store, and mends what can be mended if `repair` is set. It reads everything: minutes for many
    /// gigabytes.
    ///
    /// # Errors
    /// Where the daemon can't be reached. What is wrong with the store is in the answer.
    pub async fn verify(&self, repair: bool) -> Result<Verification, Error> {
        let call = Call::read("verify").walking();
        self.ask(call, |connection, context| async move { settle(connection.client.verify(context, repair).await) })
            .await
    }

    /// Has the daemon read its settings again, as SIGHUP does; returns which of them don't hold, or not yet.
    ///
    /// # Errors
    /// Where the daemon can't be reached, or can't take its settings as they are now: then the old ones hold.
    pub async fn reload(&self) -> Result<Reloaded, Error> {
        let call = Call::read("reload");
        self.ask(call, |connection, context| async move { settle(connection.client.reload(context).await) }).await
    }

    /// Asks the daemon to end in good order, and returns once it has begun to. Where none runs there is nothing to do.
    ///
    /// # Errors
    /// Where the daemon that runs can't be asked.
    pub async fn stop_daemon(&self) -> Result<(), Error> {
        let session = self.session();
        session.look();
        let connection = match session.connection(Effort::Once).await {
            Ok(connection) => connection,
            Err(Error::NoDaemon { .. } | Error::ServedElsewhere { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        // It is not repeated: that could stop the next daemon.
        let waited = session.settings.call_timeout;
        let deadline = Instant::now() + waited;
        let answer = settle(by(deadline, connection.client.stop(until(deadline))).await);
        session.lose(&connection);
        match answer {
            Ok(()) | Err(Fault::Lost | Fault::Unsent | Fault::Refused(WireError::Stopping)) => Ok(()),
            Err(Fault::Refused(error)) => Err(error.into()),
            Err(_) => Err(Error::Late { verb: "stop", waited }),
        }
    }
}
