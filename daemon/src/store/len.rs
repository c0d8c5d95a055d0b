//! How many live entries a namespace has, counted page by page.

use datacache_proto::key::Key;
use datacache_proto::recent::KeyHash;
use datacache_proto::time::Timestamp;

use super::error::StoreError;
use super::store::Store;
use super::table_keys::namespace_prefix;

/// How many entries that have ended are looked at on a page of [`Store::go_on_with_len`].
const LEN_PAGE: usize = 1_024;

/// A count of live entries, as far as it has come.
#[derive(Debug)]
pub struct LenCount {
    namespace: u32,
    now: Timestamp,
    /// How many there were when it began, live or not.
    entries: u64,
    expired: u64,
    after: Vec<u8>,
}

impl LenCount {
    /// Returns how many are live.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.entries.saturating_sub(self.expired)
    }
}

impl Store {
    /// Counts the live entries of a namespace, exactly.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn len(&self, namespace: u32, now: Timestamp) -> Result<u64, StoreError> {
        let mut count = self.begin_len(namespace, now);
        while self.go_on_with_len(&mut count)? {}
        Ok(count.live())
    }

    /// Begins to count the live entries of a namespace page by page, for somebody who can't wait while as many as there are have
    /// just ended.
    #[must_use]
    pub fn begin_len(&self, namespace: u32, now: Timestamp) -> LenCount {
        let (entries, expired) = (self.memory.counts(namespace).entries, self.expiring.count_until(now, namespace));
        LenCount { namespace, now, entries, expired, after: namespace_prefix(namespace).to_vec() }
    }

    /// Goes on with a count; tells whether there may be more to count. What is removed between two pages counts as live, and
    /// nothing that is live as not.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn go_on_with_len(&self, count: &mut LenCount) -> Result<bool, StoreError> {
        let &mut LenCount { namespace, now, ref after, .. } = count;
        let due = self.reader().due(namespace, after, now, LEN_PAGE).map_err(|source| StoreError::Read { source })?;
        let Some((last, _)) = due.last() else { return Ok(false) };
        count.after.clone_from(last);
        let stands = |key: &Key| {
            let hash = KeyHash::of(namespace, key.encoded());
            self.lookup.locate(namespace, key.encoded(), hash).is_none()
        };
        count.expired += due.iter().filter(|(_, key)| key.as_ref().is_some_and(stands)).count() as u64;
        Ok(due.len() == LEN_PAGE)
    }
}
