//! Scopes: what entries can be bound to, so that they go when their owner does.

use std::fmt;
use std::mem;
use std::process;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::error::Error;
use crate::session::Session;

/// A scope; entries that are bound to it are deleted when it ends.
///
/// It ends when it is dropped, when the process ends by any means, or when the connection is lost for longer than the
/// daemon's grace time and the daemon can't see the process. An entry that several scopes hold lives while one of them
/// does, and adding it again without a scope makes it stay. Ending a scope touches only the content that was added with
/// it, not what was put under the same key later.
///
/// A forked child has none of its parent's scopes: dropping one there does nothing.
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), datacache_client::Error> {
/// use datacache_client::{DataCache, Options};
///
/// let cache = DataCache::open(Options::new()).await?;
/// let scope = cache.scope()?;
/// cache.add("scratch").key("scratch").bind(&scope).await?;
/// assert_eq!(scope.end().await?, 1);
/// # Ok(()) }
/// ```
pub struct Scope {
    number: u64,
    pid: u32,
    /// `None` once it has ended.
    session: Option<Arc<Session>>,
    /// Where the release runs when the scope is dropped outside of a runtime.
    runtime: Option<Handle>,
}

impl Scope {
    pub(crate) fn open(session: &Arc<Session>) -> Self {
        Self {
            number: session.scopes.open(),
            pid: process::id(),
            session: Some(Arc::clone(session)),
            runtime: Handle::try_current().ok(),
        }
    }

    /// Tells whether this process opened it.
    pub(crate) fn is_own(&self) -> bool {
        self.pid == process::id()
    }

    /// Returns its number and process.
    pub(crate) fn identity(&self) -> (u64, u32) {
        (self.number, self.pid)
    }

    /// Ends the scope; returns how many entries went.
    ///
    /// Dropping it does the same in the background, as a task of the runtime that it was opened in.
    ///
    /// # Errors
    /// Where the daemon can't be told now; it is told at the next connection, or notices that the process has ended. In
    /// a forked child, [`Error::ForeignScope`].
    pub async fn end(mut self) -> Result<u64, Error> {
        if self.pid != process::id() {
            return Err(Error::ForeignScope { owner: self.pid });
        }
        match self.session.take() {
            Some(session) => session.release(self.number).await,
            None => Ok(0),
        }
    }
}

impl AsRef<Self> for Scope {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        if self.pid != process::id() {
            // The session is the parent's, see `fork`.
            mem::forget(session);
            return;
        }
        session.scopes.end(self.number);
        if let Some(runtime) = Handle::try_current().ok().or_else(|| self.runtime.take()) {
            let number = self.number;
            drop(runtime.spawn(async move {
                if let Err(error) = session.release(number).await {
                    tracing::warn!(%error, "a scope ended, and the daemon could not be told yet");
                }
            }));
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("number", &self.number).field("pid", &self.pid).finish_non_exhaustive()
    }
}
