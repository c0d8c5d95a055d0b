//! What becomes of a value that turns out to be damaged while it is read: the daemon looks at it itself, and where it sees the same,
//! the entry is a miss, here and for all others.

use datacache_proto::key::Key;

use crate::cache::DataCache;
use crate::error::Error;
use crate::fault::settle;
use crate::repeat::Call;

/// How often a value may turn out to be damaged that the daemon finds nothing wrong with.
const DOUBTS: u32 = 3;

/// What follows from damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The entry is a miss.
    Miss,
    /// Another value has taken its place, and is there to be got.
    Replaced,
}

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

    /// Says what follows from an attempt to get a value that failed. Damage that the daemon sees too makes a miss of it; where it sees
    /// none, the value was replaced while it was read. Of these, `doubts` counts how many there were.
    ///
    /// # Errors
    /// What failed, where it was no damage, or damage that the daemon can't see for itself.
    pub(crate) async fn judge(&self, key: &Key, error: Error, doubts: &mut u32) -> Result<Verdict, Error> {
        if !matches!(error, Error::Damaged { .. }) {
            return Err(error.about(key));
        }
        *doubts += 1;
        match self.suspect(key.clone()).await {
            Ok(true) => Ok(Verdict::Miss),
            Ok(false) if *doubts < DOUBTS => Ok(Verdict::Replaced),
            // What came of asking matters less than why that was done.
            Ok(false) | Err(_) => Err(error.about(key)),
        }
    }
}
