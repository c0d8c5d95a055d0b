//! What becomes of a value that turns out to be damaged while it is read: the daemon looks at it itself, and where it sees the same,
//! the entry is a miss, here and for all others.

use datacache_proto::key::Key;

use crate::cache::DataCache;
use crate::error::Error;
use crate::fault::settle;
use crate::repeat::Call;

impl DataCache {
    /// Has the daemon look at a value that was found to be damaged, as by a [`ValueReader`](crate::ValueReader); tells whether the
    /// entry is a miss now. All other ways to get a value do that themselves.
    ///
    /// # Errors
    /// Where the daemon can't be reached, or can't read the value's file.
    pub async fn suspect(&self, key: impl Into<Key>) -> Result<bool, Error> {
        let (namespace, key) = self.names(key.into())?;
        self.ask(Call::read("suspect"), move |connection, context| {
            let (namespace, key) = (namespace.clone(), key.clone());
            async move { settle(connection.client.suspect(context, namespace, key).await) }
        })
        .await
    }

    /// Makes a miss of damage that the daemon sees too.
    pub(crate) async fn or_miss<T>(&self, key: &Key, outcome: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
        match outcome {
            Err(Error::Damaged { .. }) if self.suspect(key.clone()).await.unwrap_or(false) => Ok(None),
            Err(error) => Err(error.about(key)),
            found => found,
        }
    }
}
