//! Getting many values: one look at the store for all of them, or as few calls as their size allows.

use std::sync::Arc;

use datacache_proto::key::Key;
use datacache_proto::service::Keys;
use datacache_proto::types::{BATCH_MAX, Fallback, Lookup};

use crate::cache::{DataCache, off_thread};
use crate::connection::Connection;
use crate::download::{Sink, Wanted};
use crate::error::Error;
use crate::fault::settle;
use crate::found::{Directly, Found, here, lookup_of};
use crate::repeat::Call;
use crate::value::Value;

/// The most bytes of keys in one call.
const BYTES_IN_A_CALL: usize = 1 << 20;

impl DataCache {
    /// Returns the values under keys, in their order; `None` where there is no live entry. Any number of keys will do.
    ///
    /// Each value is what was there at some moment during the call, not all at the same one: between two keys of a batch that
    /// is being added, others may see the one and not yet the other.
    ///
    /// # Errors
    /// Those of [`DataCache::get`]; then none is returned.
    pub async fn get_many<K: Into<Key>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Option<Value>>, Error> {
        let keys: Vec<Key> = keys.into_iter().map(Into::into).collect();
        let lookups = match self.look_many_directly(&keys)? {
            Ok(lookups) => lookups,
            Err(fallback) => return Box::pin(self.get_many_by_call(&keys, fallback)).await,
        };
        let mut values = Vec::with_capacity(keys.len());
        for (key, lookup) in keys.into_iter().zip(lookups) {
            values.push(match lookup {
                Lookup::Blob { .. } => self.get(key).await?,
                small => here(small).map(|found| found.into_value(self.settings().reading)).transpose()?,
            });
        }
        Ok(values)
    }

    /// Looks keys up in the store itself. Those of large values are to be got by themselves; the others are counted.
    pub(crate) fn look_many_directly(&self, keys: &[Key]) -> Directly<Vec<Lookup>> {
        keys.iter().try_for_each(Key::check)?;
        self.selected().check()?;
        let direct = &self.session().direct;
        let mut lookups = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH_MAX) {
            match direct.look_many(self.selected(), keys, lookup_of, counts) {
                Ok(found) => lookups.extend(found),
                Err(fallback) => return Ok(Err(fallback)),
            }
        }
        Ok(Ok(lookups))
    }

    /// Gets values through the daemon, which answers for as many as fit a message.
    pub(crate) async fn get_many_by_call(&self, keys: &[Key], fallback: Fallback) -> Result<Vec<Option<Value>>, Error> {
        let mut values = Vec::with_capacity(keys.len());
        while values.len() < keys.len() {
            let page = page(&keys[values.len()..]);
            for (key, lookup) in page.iter().zip(self.look_many_by_call(page, fallback).await?) {
                let value = match self.open_by_call(key, lookup, fallback).await {
                    Ok(Some(found)) => self.read(found).await.map(Some),
                    other => other.map(|_| None),
                };
                values.push(match value {
                    // Got once more by itself, it is judged.
                    Err(Error::Damaged { .. }) => self.get_value(key).await?,
                    value => value?,
                });
            }
        }
        Ok(values)
    }

    async fn look_many_by_call(&self, keys: &[Key], fallback: Fallback) -> Result<Vec<Lookup>, Error> {
        let namespace = self.namespace_name()?;
        let attempt = |connection: Arc<Connection>, context| {
            let (namespace, keys) = (namespace.clone(), Keys(keys.to_vec()));
            async move { settle(connection.client.get_many(context, namespace, keys, fallback).await) }
        };
        let verb = "get_many";
        let found = self.ask(Call::read(verb), attempt).await?;
        // A daemon that answers for none would be asked for ever.
        if found.is_empty() { Err(Error::Aborted { verb }) } else { Ok(found) }
    }

    async fn open_by_call(&self, key: &Key, lookup: Lookup, fallback: Fallback) -> Result<Option<Found>, Error> {
        let Lookup::Blob { codec, version, length, digest } = lookup else { return Ok(here(lookup)) };
        let wanted = Wanted { codec, version, length, digest };
        match self.open_blob(key, wanted, Sink::Memory).await? {
            Some(found) => Ok(Some(found)),
            None => self.find_by_call(key.clone(), Sink::Memory, fallback).await,
        }
    }

    /// Takes the value that was found, on another thread where that takes long.
    pub(crate) async fn read(&self, found: Found) -> Result<Value, Error> {
        let reading = self.settings().reading;
        if found.is_slow(reading) {
            off_thread(move || found.into_value(reading)).await
        } else {
            found.into_value(reading)
        }
    }
}

/// Tells whether a direct look at a key is all, and then what it counts as.
fn counts(lookup: &Lookup) -> Option<bool> {
    match lookup {
        Lookup::Miss => Some(false),
        Lookup::Inline { .. } => Some(true),
        Lookup::Blob { .. } => None,
    }
}

/// Returns as many keys from the front as go in one call: at least one.
fn page(keys: &[Key]) -> &[Key] {
    let mut bytes = 0;
    let fits = |key: &&Key| {
        bytes += key.encoded().len();
        bytes <= BYTES_IN_A_CALL
    };
    let count = keys.iter().take(BATCH_MAX).take_while(fits).count();
    &keys[..count.clamp(keys.len().min(1), keys.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_cut_by_number_and_by_bytes() {
        let count = |keys: &[Key]| page(keys).len();
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&vec![Key::integer(1); BATCH_MAX + 1]), BATCH_MAX);
        assert_eq!(count(&vec![Key::text(&"k".repeat(60_000)); 20]), 17);
        assert_eq!(count(&[Key::text(&"k".repeat(BYTES_IN_A_CALL + 1)), Key::integer(1)]), 1);
    }
}
