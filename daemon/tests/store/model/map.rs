//! What a store should hold: a map, with the rules of expiry, tags and leases in their plainest form.

use std::collections::{BTreeMap, BTreeSet};

use datacache_proto::key::Key;
use datacache_proto::types::Codec;

/// An entry that is there, perhaps expired and not yet removed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) codec: Codec,
    pub(crate) value: Vec<u8>,
    pub(crate) is_blob: bool,
    pub(crate) expires: Option<u64>,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) pinned: bool,
    /// The scopes it lives for; `None` for an entry that is there for good.
    pub(crate) scopes: Option<BTreeSet<u64>>,
    pub(crate) version: u64,
    /// The version that the key had when it became an entry; 0 for one that became one just now.
    pub(crate) birth: u64,
    /// The number of the step that last wrote it.
    pub(crate) written: u64,
}

impl Entry {
    pub(crate) fn is_live(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn has_content_of(&self, other: &Entry) -> bool {
        (self.codec, self.is_blob, &self.value) == (other.codec, other.is_blob, &other.value)
    }
}

/// The namespaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    pub(crate) spaces: BTreeMap<String, BTreeMap<Key, Entry>>,
}

impl Map {
    pub(crate) fn get(&self, space: &str, key: &Key, now: u64) -> Option<&Entry> {
        self.spaces.get(space)?.get(key).filter(|entry| entry.is_live(now))
    }

    /// Puts an entry; `scope` binds it. Tells whether a live one was replaced, and whether its version goes on.
    pub(crate) fn put(&mut self, space: &str, key: &Key, mut new: Entry, scope: Option<u64>, now: u64) -> (bool, bool) {
        let entries = self.spaces.entry(space.to_owned()).or_default();
        let live = entries.get(key).filter(|entry| entry.is_live(now)).cloned();
        let equal = live.as_ref().filter(|old| old.has_content_of(&new));
        let keeps = equal.is_some_and(|old| scope.is_some() || old.scopes.is_none());
        new.scopes = match (scope, equal.map(|old| &old.scopes)) {
            (None, _) | (Some(_), Some(None)) => None,
            (Some(scope), Some(Some(scopes))) => Some(scopes.iter().copied().chain([scope]).collect()),
            (Some(scope), None) => Some([scope].into()),
        };
        if let Some(old) = equal.filter(|_| keeps) {
            new.version = old.version;
        }
        new.birth = entries.get(key).map_or(0, |old| old.birth);
        entries.insert(key.clone(), new);
        (live.is_some(), keeps)
    }

    /// Removes the entries that `goes` holds for; returns how many of them were live.
    pub(crate) fn remove(&mut self, space: Option<&str>, now: u64, goes: impl Fn(&Entry) -> bool) -> u64 {
        let mut live = 0;
        for (_, entries) in self.spaces.iter_mut().filter(|(name, _)| space.is_none_or(|space| space == *name)) {
            entries.retain(|_, entry| {
                let keep = !goes(entry);
                live += u64::from(!keep && entry.is_live(now));
                keep
            });
        }
        live
    }

    /// Ends a scope; returns how many live entries went with it.
    pub(crate) fn release(&mut self, scope: u64, now: u64) -> u64 {
        for entry in self.spaces.values_mut().flat_map(BTreeMap::values_mut) {
            if let Some(scopes) = &mut entry.scopes {
                scopes.remove(&scope);
            }
        }
        self.remove(None, now, |entry| entry.scopes.as_ref().is_some_and(BTreeSet::is_empty))
    }

    /// Returns the contents that are blobs, each once.
    pub(crate) fn blobs(&self) -> BTreeSet<&Vec<u8>> {
        let entries = self.spaces.values().flat_map(BTreeMap::values);
        entries.filter(|entry| entry.is_blob).map(|entry| &entry.value).collect()
    }

    /// Counts the leases that are held.
    pub(crate) fn leases(&self) -> u64 {
        let entries = self.spaces.values().flat_map(BTreeMap::values);
        entries.filter_map(|entry| entry.scopes.as_ref()).map(|scopes| scopes.len() as u64).sum()
    }
}
