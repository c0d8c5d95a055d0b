//! One of the entries that are added together.

use datacache_proto::key::Key;
use serde::Serialize;

use crate::expire::Expire;
use crate::new_value::NewValue;
use crate::value::Json;

/// An entry of an [`AddMany`](crate::AddMany): a value, with its own key, expiry and tags where it has them.
///
/// A value alone, and a pair of key and value, become items by themselves.
///
/// # Examples
/// ```no_run
/// # fn example(cache: &datacache_client::blocking::DataCache) -> Result<(), datacache_client::Error> {
/// use datacache_client::{Expire, Item};
///
/// cache.add_many([("a", "1"), ("b", "2")]).run()?;
/// let keys = cache.add_many(["under its hash"]).run()?;
/// cache.add_many([Item::new("3").key("c").tag("demo"), Item::new(b"4").expire(Expire::Never)]).run()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "an item is added by `add_many`"]
pub struct Item {
    pub(crate) value: NewValue,
    pub(crate) key: Option<Key>,
    pub(crate) expire: Option<Expire>,
    pub(crate) tags: Vec<String>,
    pub(crate) pinned: Option<bool>,
}

impl Item {
    /// Takes a value.
    pub fn new(value: impl Into<NewValue>) -> Self {
        Self { value: value.into(), key: None, expire: None, tags: Vec::new(), pinned: None }
    }

    /// Sets the key. Default: [`Config::access_key`](crate::Config::access_key), else the hash of the value.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Says when the entry ends. Default: what [`AddMany::expire`](crate::AddMany::expire) says.
    pub fn expire(mut self, expire: impl Into<Expire>) -> Self {
        self.expire = Some(expire.into());
        self
    }

    /// Says whether the entry stays when others are evicted. Default: what [`AddMany::pin`](crate::AddMany::pin) says.
    pub fn pin(mut self, pinned: bool) -> Self {
        self.pinned = Some(pinned);
        self
    }

    /// Adds a tag, next to those of [`AddMany::tag`](crate::AddMany::tag) and [`Config::tag`](crate::Config::tag).
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds tags.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }
}

impl<K: Into<Key>, V: Into<NewValue>> From<(K, V)> for Item {
    fn from((key, value): (K, V)) -> Self {
        Self::new(value).key(key)
    }
}

impl<T: Serialize> From<Json<T>> for Item {
    fn from(value: Json<T>) -> Self {
        Self::new(value)
    }
}

impl<const N: usize> From<&[u8; N]> for Item {
    fn from(bytes: &[u8; N]) -> Self {
        Self::new(bytes)
    }
}

/// What becomes a value becomes an item; one `impl` for all would overlap with that of pairs.
macro_rules! items_of {
    ($($value:ty),*) => {$(
        impl From<$value> for Item {
            fn from(value: $value) -> Self {
                Self::new(value)
            }
        }
    )*};
}

items_of!(NewValue, Vec<u8>, &Vec<u8>, &[u8], &str, &String, String);
