//! Several keys at a time, one call after the other.

use datacache_client::blocking::DataCache;
use datacache_client::{Error, Key, Value};

/// Reads values, in the order of their keys.
///
/// # Errors
/// Those of [`DataCache::get`].
pub(crate) fn get_many<K: Into<Key>>(
    cache: &DataCache,
    keys: impl IntoIterator<Item = K>,
) -> Result<Vec<Option<Value>>, Error> {
    keys.into_iter().map(|key| cache.get(key)).collect()
}

/// Adds values under their keys.
///
/// # Errors
/// Those of [`DataCache::set`].
pub(crate) fn add_many(cache: &DataCache, values: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<(), Error> {
    values.into_iter().try_for_each(|(key, value)| cache.set(key, value))
}
