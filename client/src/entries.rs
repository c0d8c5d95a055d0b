//! What can be done with entries without looking at their values.

use std::future::Future;
use std::sync::Arc;

use datacache_proto::key::{Key, Tag};
use datacache_proto::service::{Keys, Tags};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{BATCH_MAX, Metadata};
use tarpc::context::Context;

use crate::batch::{BYTES_MAX, check_number};
use crate::cache::DataCache;
use crate::connection::Connection;
use crate::error::Error;
use crate::expire::Expire;
use crate::fault::{Fault, settle};
use crate::found::Directly;
use crate::repeat::Call;

/// The most names in one call, and about the most bytes of them: a message has a limit.
const NAMES_IN_A_CALL: usize = 1_024;
const BYTES_IN_A_CALL: usize = 1 << 20;

impl DataCache {
    /// Tells whether a live entry has this key.
    ///
    /// # Errors
    /// Where the daemon can't be reached, or the key is none.
    pub async fn contains(&self, key: impl Into<Key>) -> Result<bool, Error> {
        let key = key.into();
        match self.contains_directly(&key)? {
            Ok(contained) => Ok(contained),
            Err(_) => Box::pin(self.contains_by_call(key)).await,
        }
    }

    /// Tells the same from the store itself.
    pub(crate) fn contains_directly(&self, key: &Key) -> Directly<bool> {
        let mut is_there = false;
        let look = self.look(key, |record| is_there = record.is_some())?;
        Ok(look.map(|_| is_there))
    }

    pub(crate) async fn contains_by_call(&self, key: Key) -> Result<bool, Error> {
        let (namespace, key) = self.names(key)?;
        self.ask(Call::read("contains"), move |connection, context| {
            let (namespace, key) = (namespace.clone(), key.clone());
            async move { settle(connection.client.contains(context, namespace, key).await) }
        })
        .await
    }

    /// Counts the live entries of the namespace, exactly.
    ///
    /// # Errors
    /// Where the daemon can't be reached.
    pub async fn len(&self) -> Result<u64, Error> {
        let namespace = self.namespace_name()?;
        self.ask(Call::read("len").after_checkpoint(), move |connection, context| {
            let namespace = namespace.clone();
            async move { settle(connection.client.len(context, namespace).await) }
        })
        .await
    }

    /// Tells whether the namespace has no live entries.
    ///
    /// # Errors
    /// Those of [`DataCache::len`].
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len().await? == 0)
    }

    /// Returns what is kept about an entry, `None` where there is no live one.
    ///
    /// # Errors
    /// Where the daemon can't be reached, or the key is none.
    pub async fn stat(&self, key: impl Into<Key>) -> Result<Option<Metadata>, Error> {
        let key = key.into();
        match self.stat_directly(&key)? {
            Ok(metadata) => Ok(metadata),
            Err(_) => Box::pin(self.stat_by_call(key)).await,
        }
    }

    /// Returns the same from the store itself.
    pub(crate) fn stat_directly(&self, key: &Key) -> Directly<Option<Metadata>> {
        let mut metadata = None;
        let look = self.look(key, |record| metadata = record.map(|record| record.metadata(key.clone())))?;
        Ok(look.map(|_| metadata))
    }

    pub(crate) async fn stat_by_call(&self, key: Key) -> Result<Option<Metadata>, Error> {
        let (namespace, key) = self.names(key)?;
        self.ask(Call::read("stat"), move |connection, context| {
            let (namespace, key) = (namespace.clone(), key.clone());
            async move { settle(connection.client.stat(context, namespace, key).await) }
        })
        .await
    }

    /// Gives an entry a new expiry; tells whether there is a live entry.
    ///
    /// # Errors
    /// Where the daemon can't be reached, or the key is none.
    pub async fn touch(&self, key: impl Into<Key>, expire: impl Into<Expire>) -> Result<bool, Error> {
        let (namespace, key) = self.names(key.into())?;
        let expires = expire.into().resolve(Timestamp::now(), self.settings().config.expire_time);
        let call = self.session().next_call();
        self.ask(Call::change("touch"), move |connection, context| {
            let (namespace, key) = (namespace.clone(), key.clone());
            async move { settle(connection.client.touch(context, call, namespace, key, expires).await) }
        })
        .await
    }

    /// Deletes an entry; tells whether there was a live one.
    ///
    /// # Errors
    /// Where the daemon can't be reached, or the key is none.
    pub async fn delete(&self, key: impl Into<Key>) -> Result<bool, Error> {
        Ok(self.delete_many([key]).await? > 0)
    }

    /// Deletes entries, all in one step; returns how many there were. At most 8,192, and about 4 MiB of keys.
    ///
    /// # Errors
    /// Where the daemon can't be reached, a key is none, or they are too many ([`Error::is_too_large`]); then nothing is
    /// deleted.
    pub async fn delete_many<K: Into<Key>>(&self, keys: impl IntoIterator<Item = K>) -> Result<u64, Error> {
        let keys: Vec<Key> = keys.into_iter().map(Into::into).collect();
        keys.iter().try_for_each(Key::check)?;
        check_number("keys", keys.len(), BATCH_MAX)?;
        check_number("bytes", keys.iter().map(|key| key.encoded().len() + 4).sum(), BYTES_MAX)?;
        let (namespace, call) = (self.namespace_name()?, self.session().next_call());
        self.ask(Call::change("delete"), move |connection, context| {
            let (namespace, keys) = (namespace.clone(), keys.clone());
            async move { settle(connection.client.delete(context, call, namespace, Keys(keys)).await) }
        })
        .await
    }

    /// Deletes the entries that have a tag; returns how many.
    ///
    /// # Errors
    /// Where the daemon can't be reached, or the tag is none.
    pub async fn evict(&self, tag: impl Into<String>) -> Result<u64, Error> {
        self.evict_many([tag]).await
    }

    /// Deletes the entries that have one of these tags; returns how many.
    ///
    /// # Errors
    /// Where the daemon can't be reached, or a tag is none; then nothing is deleted.
    pub async fn evict_many<T: Into<String>>(&self, tags: impl IntoIterator<Item = T>) -> Result<u64, Error> {
        let tags: Result<Vec<Tag>, _> = tags.into_iter().map(|tag| Tag::new(&tag.into())).collect();
        let namespace = self.namespace_name()?;
        let mut evicted = 0;
        for tags in slices(tags?, |tag| tag.as_str().len()) {
            let (namespace, call) = (namespace.clone(), self.session().next_call());
            evicted += self
                .ask(Call::change("evict").walking(), move |connection, context| {
                    let (namespace, tags) = (namespace.clone(), tags.clone());
                    async move { settle(connection.client.evict(context, call, namespace, Tags(tags)).await) }
                })
                .await?;
        }
        Ok(evicted)
    }

    /// Removes the entries whose time is over; returns how many. The daemon does so by itself, this does it now.
    ///
    /// # Errors
    /// Where the daemon can't be reached.
    pub async fn expire(&self) -> Result<u64, Error> {
        let (namespace, call) = (self.namespace_name()?, self.session().next_call());
        self.ask(Call::change("expire").walking(), move |connection, context| {
            let namespace = namespace.clone();
            async move { settle(connection.client.expire(context, call, namespace).await) }
        })
        .await
    }

    /// Deletes all entries of the namespace that are there when the call begins; returns how many.
    ///
    /// # Errors
    /// Where the daemon can't be reached.
    pub async fn clear(&self) -> Result<u64, Error> {
        let (namespace, call) = (self.namespace_name()?, self.session().next_call());
        self.ask(Call::change("clear").walking(), move |connection, context| {
            let namespace = namespace.clone();
            async move { settle(connection.client.clear(context, call, namespace).await) }
        })
        .await
    }

    pub(crate) fn names(&self, key: Key) -> Result<(String, Key), Error> {
        key.check()?;
        Ok((self.namespace_name()?, key))
    }

    pub(crate) async fn ask<T, F, A>(&self, call: Call, attempt: F) -> Result<T, Error>
    where
        F: Fn(Arc<Connection>, Context) -> A,
        A: Future<Output = Result<T, Fault>>,
    {
        self.session().call(call, attempt).await
    }
}

/// Cuts names into lists that fit into a message each.
fn slices<T>(names: Vec<T>, length: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut slices: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0;
    for name in names {
        bytes += length(&name);
        match slices.last_mut() {
            Some(slice) if slice.len() < NAMES_IN_A_CALL && bytes <= BYTES_IN_A_CALL => slice.push(name),
            _ => {
                bytes = length(&name);
                slices.push(vec![name]);
            }
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_cut_by_number_and_by_bytes() {
        let sizes = |names: Vec<String>| slices(names, String::len).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(Vec::new()), [0; 0]);
        assert_eq!(sizes(vec!["k".into(); 2_500]), [1_024, 1_024, 452]);
        assert_eq!(sizes(vec!["k".repeat(600_000); 3]), [1, 1, 1]);
        assert_eq!(sizes(vec!["k".repeat(400_000); 3]), [2, 1]);
    }
}
