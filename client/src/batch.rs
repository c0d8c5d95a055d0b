//! Entries that are added together, on their way from items to what can be sent: nothing is staged before all is checked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use datacache_proto::additions::{AdditionRef, Additions, AdditionsBuilder, BodyRef};
use datacache_proto::codec::MAX_MESSAGE;
use datacache_proto::hash::{HashType, hash_bytes};
use datacache_proto::key::{Key, Tag, check_tags};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{BATCH_FILES_MAX, Body, Codec};

use crate::connection::Connection;
use crate::error::Error;
use crate::item::Item;
use crate::new_value::NewValue;
use crate::options::Settings;
use crate::prepared::Prepared;
use crate::room::Room;
use crate::route::Route;
use crate::staging::{Order, Source};

/// The most bytes of additions in one call: a message has a limit, and some of it is the envelope's.
pub(crate) const BYTES_MAX: usize = MAX_MESSAGE - 4_096;
/// The most that an addition takes besides what has a length of its own: lengths, numbers, a scope.
const BESIDES: usize = 48;
/// The most that the name of a staged file takes, with its length and its SHA-256.
const FILE: usize = 96;
/// The longest hash as a key.
const HASH: usize = 130;

/// What all additions of a batch share.
pub(crate) struct Common {
    pub(crate) namespace: String,
    /// The key of those that have none.
    pub(crate) key: Option<Key>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) scope: Option<u64>,
    pub(crate) durable: bool,
}

/// An item that was checked.
pub(crate) struct Draft {
    /// `None` where it is to be the value's hash.
    key: Option<Key>,
    codec: Codec,
    value: Vec<u8>,
    expires: Option<Timestamp>,
    tags: Vec<Tag>,
    pinned: bool,
}

/// What can be sent: small values in their entries, large ones beside them, with the number of their entry.
pub(crate) struct Batch {
    common: Common,
    entries: Vec<Entry>,
    pub(crate) large: Vec<(usize, Arc<Prepared>)>,
    size: Size,
}

/// A draft that has a key; the value is empty where it is a large one.
struct Entry {
    key: Key,
    codec: Codec,
    value: Vec<u8>,
    expires: Option<Timestamp>,
    tags: Vec<Tag>,
    pinned: bool,
}

/// How much there is in a batch.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// The sum of the values' lengths in bytes.
    pub(crate) values: u64,
    /// At least as many bytes as the call takes.
    call: usize,
}

/// How drafts are made ready.
pub(crate) struct Preparation {
    common: Common,
    hash_type: HashType,
    inline_max: u64,
    route: Route,
}

impl Draft {
    /// Returns how many bytes the value has.
    pub(crate) fn length(&self) -> u64 {
        self.value.len() as u64
    }
}

impl Common {
    /// Checks an item.
    ///
    /// # Errors
    /// What can't be meant.
    pub(crate) fn draft(&self, item: Item, expires: Option<Timestamp>, pinned: bool) -> Result<Draft, Error> {
        let key = item.key.or_else(|| self.key.clone());
        key.as_ref().map_or(Ok(()), Key::check)?;
        let (codec, value) = (item.value.codec(), item.value.into_bytes()?);
        Ok(Draft { key, codec, value, expires, tags: self.tags(&item.tags)?, pinned })
    }

    fn tags(&self, own: &[String]) -> Result<Vec<Tag>, Error> {
        let own = own.iter().map(|tag| Tag::new(tag));
        Ok(check_tags(self.tags.iter().cloned().map(Ok).chain(own).collect::<Result<_, _>>()?)?)
    }
}

impl Preparation {
    /// Goes by what the daemon at the other end of a connection takes in a call.
    pub(crate) fn of(common: Common, settings: &Settings, connection: &Connection) -> Self {
        let inline_max = connection.introduced.inline_max;
        let route = Route::of(connection, settings.transfer);
        Self { common, hash_type: settings.config.hash_type, inline_max, route }
    }

    /// Returns the name of the namespace that they go to.
    pub(crate) fn namespace(&self) -> &str {
        &self.common.namespace
    }

    /// Checks that all fit one call; returns how much that is.
    ///
    /// # Errors
    /// Which bound they break.
    pub(crate) fn check(&self, drafts: &[Draft]) -> Result<Size, Error> {
        let (mut large, mut size) = (0, Size { values: 0, call: 0 });
        for draft in drafts {
            if self.is_large(&draft.value) {
                large += 1;
            }
            size.call += self.length_in_call(draft);
            size.values += draft.length();
        }
        check_number("large values", large, BATCH_FILES_MAX)?;
        check_number("bytes", size.call, BYTES_MAX)?;
        Ok(size)
    }

    /// Returns the longest of the values that don't travel in the call, and which draft has it.
    pub(crate) fn longest(&self, drafts: &[Draft]) -> Option<(usize, u64)> {
        let large = drafts.iter().enumerate().filter(|(_, draft)| self.is_large(&draft.value));
        large.map(|(index, draft)| (index, draft.length())).max_by_key(|(_, length)| *length)
    }

    /// Returns how many bytes all of them have.
    pub(crate) fn together(&self, drafts: &[Draft]) -> u64 {
        drafts.iter().filter(|draft| self.is_large(&draft.value)).map(Draft::length).sum()
    }

    /// The same of those that are there at once in the end: the last one of a key, and equal ones once. It reads all of them.
    pub(crate) fn distinct(&self, drafts: &[Draft]) -> u64 {
        let last: HashMap<_, _> = drafts.iter().map(|draft| (draft.key.as_ref(), draft)).collect();
        let stays = |draft: &&Draft| draft.key.is_none() || std::ptr::eq(last[&draft.key.as_ref()], *draft);
        let large = drafts.iter().filter(|draft| self.is_large(&draft.value)).filter(stays);
        let values: HashSet<&[u8]> = large.map(|draft| &draft.value[..]).collect();
        values.into_iter().map(|value| value.len() as u64).sum()
    }

    fn is_large(&self, value: &[u8]) -> bool {
        value.len() as u64 > self.inline_max
    }

    /// At least as much as it takes.
    fn length_in_call(&self, draft: &Draft) -> usize {
        let tags: usize = draft.tags.iter().map(|tag| tag.as_str().len() + 2).sum();
        let key = draft.key.as_ref().map_or(HASH, |key| key.encoded().len());
        let value = if self.is_large(&draft.value) { FILE } else { draft.value.len() };
        BESIDES + self.common.namespace.len() + key + tags + value
    }

    /// Counts the hashes that are keys, and stages the large values.
    ///
    /// # Errors
    /// Where a value can't be staged.
    pub(crate) fn prepare(self, drafts: Vec<Draft>, size: Size) -> Result<Batch, Error> {
        let mut large = Vec::new();
        let entry = |(index, draft): (usize, Draft)| {
            let Draft { key, codec, value, expires, tags, pinned } = draft;
            if !self.is_large(&value) {
                let key = key.unwrap_or_else(|| Key::text(&hash_bytes(&value, self.hash_type)));
                return Ok(Entry { key, codec, value, expires, tags, pinned });
            }
            let prepared = self.stage(NewValue::of(codec, value), key.is_none()).map_err(in_batch(index))?;
            let hash = prepared.key_hash.as_deref().map(Key::text);
            large.push((index, Arc::new(prepared)));
            let key = key.or(hash).expect("its hash was counted where it has no key");
            Ok(Entry { key, codec, value: Vec::new(), expires, tags, pinned })
        };
        let entries = drafts.into_iter().enumerate().map(entry).collect::<Result<_, Error>>()?;
        Ok(Batch { common: self.common, entries, large, size })
    }

    fn stage(&self, value: NewValue, needs_key: bool) -> Result<Prepared, Error> {
        let order = Order {
            codec: value.codec(),
            key_hash: needs_key.then_some(self.hash_type),
            inline_max: self.inline_max,
            // The daemon was asked whether all of them fit.
            value_max: u64::MAX,
            route: self.route.clone(),
            room: Room::known(),
            progress: None,
        };
        Source::Value(value).prepare(order)
    }
}

impl Batch {
    /// Writes down what is sent; `large` says by the entry's number how each large value travels.
    pub(crate) fn additions(&self, large: &BTreeMap<usize, Body>) -> Additions {
        let Common { namespace, scope, durable, .. } = &self.common;
        let mut additions = AdditionsBuilder::with_capacity(self.size.call);
        for (index, entry) in self.entries.iter().enumerate() {
            additions.push(&AdditionRef {
                namespace,
                key: entry.key.encoded(),
                codec: entry.codec,
                body: large.get(&index).map_or(BodyRef::Inline(&entry.value), BodyRef::from),
                expires: entry.expires,
                tags: entry.tags.iter().map(Tag::as_str).collect(),
                scope: *scope,
                pinned: entry.pinned,
                durable: *durable,
            });
        }
        additions.finish()
    }

    /// Returns how many bytes the values have.
    pub(crate) fn length(&self) -> u64 {
        self.size.values
    }

    /// Returns the keys, in the order of the items.
    pub(crate) fn into_keys(self) -> Vec<Key> {
        self.entries.into_iter().map(|entry| entry.key).collect()
    }
}

/// Checks that there is not too much of something.
///
/// # Errors
/// [`Error::BatchTooLarge`] where there is.
pub(crate) fn check_number(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size > limit {
        return Err(Error::BatchTooLarge { what, size: size as u64, limit: limit as u64 });
    }
    Ok(())
}

/// Says of an error which item it is about.
pub(crate) fn in_batch<E: Into<Error>>(index: usize) -> impl FnOnce(E) -> Error {
    move |error| Error::InBatch { index, source: Box::new(error.into()) }
}
