//! What commands do to the map, given what they did to the store.

use std::collections::HashMap;

use datacache_daemon::store::{Command, Condition, NewValue, Outcome, Put};
use datacache_proto::key::Key;
use datacache_proto::types::Digest;

use crate::model::map::{Entry, Map};

/// The map, and what has to be known to change it.
pub(crate) struct Effect<'e> {
    pub(crate) map: &'e mut Map,
    /// By name, with their numbers.
    pub(crate) namespaces: &'e [(String, u32)],
    /// The bytes of every blob.
    pub(crate) blobs: &'e HashMap<Digest, Vec<u8>>,
    pub(crate) now: u64,
}

impl Effect<'_> {
    /// Does to the map what a command has done to the store; returns the place that this was about, if any.
    pub(crate) fn of(&mut self, command: &Command, outcome: Outcome) -> Option<(String, Key)> {
        match (command, outcome) {
            (Command::Put(put), Outcome::Added(added)) => {
                let (entry, scope) = (self.entry_of(put, added.version), put.holder.map(|holder| holder.scope));
                let (space, key) = (put.namespace.to_string(), Key::from_encoded(&put.key).unwrap());
                self.map.put(&space, &key, entry, scope, self.now);
                let entry = self.map.spaces.get_mut(&space)?.get_mut(&key)?;
                if entry.birth == 0 {
                    entry.birth = added.version;
                }
                Some((space, key))
            }
            (Command::Touch { namespace, key, expires }, _) => {
                let (space, now) = (self.name(*namespace)?, self.now);
                let entry = self.map.spaces.get_mut(&space)?.get_mut(key).filter(|entry| entry.is_live(now))?;
                entry.expires = expires.map(|expires| expires.as_millis());
                Some((space, key.clone()))
            }
            (Command::Delete { namespace, key, when }, _) => {
                let (space, now) = (self.name(*namespace)?, self.now);
                let entries = self.map.spaces.get_mut(&space)?;
                if goes(entries.get(key)?, when, now) {
                    entries.remove(key);
                }
                Some((space, key.clone()))
            }
            (Command::Release { holder, version }, _) => self.release(holder.scope, *version),
            (Command::Evict { namespace, key, .. }, Outcome::Evicted(evicted)) => {
                let space = self.name(*namespace)?;
                let entries = self.map.spaces.get_mut(&space)?;
                if evicted {
                    entries.remove(key);
                }
                Some((space, key.clone()))
            }
            (Command::Verified { .. } | Command::Keep { .. }, _) => None,
            (command, outcome) => panic!("{command:?} came out as {outcome:?}"),
        }
    }

    fn release(&mut self, scope: u64, version: u64) -> Option<(String, Key)> {
        let is_leased = |entry: &Entry| entry.version == version && entry.scopes.is_some();
        let (space, entries, key) = self.map.spaces.iter_mut().find_map(|(space, entries)| {
            let (key, _) = entries.iter().find(|(_, entry)| is_leased(entry))?;
            let key = key.clone();
            Some((space.clone(), entries, key))
        })?;
        let scopes = entries.get_mut(&key)?.scopes.as_mut()?;
        scopes.remove(&scope);
        if scopes.is_empty() {
            entries.remove(&key);
        }
        Some((space, key))
    }

    fn name(&self, number: u32) -> Option<String> {
        self.namespaces.iter().find(|space| space.1 == number).map(|space| space.0.clone())
    }

    fn entry_of(&self, put: &Put, version: u64) -> Entry {
        let value = match &put.value {
            NewValue::Inline(bytes) => bytes.to_vec(),
            NewValue::Blob(incoming) => self.blobs[&incoming.digest()].clone(),
        };
        Entry {
            codec: put.codec,
            value,
            is_blob: matches!(put.value, NewValue::Blob(_)),
            expires: put.expires.map(|expires| expires.as_millis()),
            tags: put.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            pinned: put.pinned,
            scopes: None,
            version,
            birth: 0,
            written: 0,
        }
    }
}

fn goes(entry: &Entry, when: &Condition, now: u64) -> bool {
    match when {
        Condition::Live => entry.is_live(now),
        Condition::Expired => !entry.is_live(now),
        Condition::Tagged(tag) => entry.is_live(now) && entry.tags.contains(tag.as_str()),
        // Nobody writes meanwhile.
        Condition::NotAfter(_) => true,
        Condition::Version(version) | Condition::Lost { version, .. } => entry.version == *version,
    }
}
