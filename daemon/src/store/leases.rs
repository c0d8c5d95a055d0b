//! The leases that are held, in memory: which versions live for which scopes. Versions are numbers that no two contents share, so a
//! version alone names what is leased.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::command::Holder;

/// Every lease, by version and by holder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leases {
    by_version: HashMap<u64, Leased>,
    by_holder: BTreeMap<Holder, BTreeSet<u64>>,
}

/// An entry's version that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leased {
    pub(super) namespace: u32,
    /// The encoded key.
    pub(super) key: Vec<u8>,
    holders: BTreeSet<Holder>,
}

impl Leases {
    /// Takes a lease; `false` where the holder has it already.
    pub(super) fn take(&mut self, version: u64, namespace: u32, key: &[u8], holder: Holder) -> bool {
        let leased = self.by_version.entry(version).or_insert_with(|| Leased {
            namespace,
            key: key.to_vec(),
            holders: BTreeSet::new(),
        });
        self.by_holder.entry(holder).or_default().insert(version);
        leased.holders.insert(holder)
    }

    /// Gives a lease back. `None` where the holder has none of this version; else what was leased, and whether this
    /// was the last lease of it.
    pub(super) fn give_back(&mut self, version: u64, holder: &Holder) -> Option<(u32, Vec<u8>, bool)> {
        let leased = self.by_version.get_mut(&version).filter(|leased| leased.holders.contains(holder))?;
        leased.holders.remove(holder);
        let (namespace, key, last) = (leased.namespace, leased.key.clone(), leased.holders.is_empty());
        if last {
            self.by_version.remove(&version);
        }
        self.forget(version, holder);
        Some((namespace, key, last))
    }

    /// Ends all leases of a version; returns who held them.
    pub(super) fn drop_version(&mut self, version: u64) -> Option<(u32, Vec<u8>, Vec<Holder>)> {
        let leased = self.by_version.remove(&version)?;
        for holder in &leased.holders {
            self.forget(version, holder);
        }
        Some((leased.namespace, leased.key, leased.holders.into_iter().collect()))
    }

    fn forget(&mut self, version: u64, holder: &Holder) {
        if let Some(versions) = self.by_holder.get_mut(holder) {
            versions.remove(&version);
            if versions.is_empty() {
                self.by_holder.remove(holder);
            }
        }
    }

    /// Returns up to `limit` versions that a holder leases.
    pub(super) fn of(&self, holder: &Holder, limit: usize) -> Vec<u64> {
        self.by_holder.get(holder).into_iter().flatten().take(limit).copied().collect()
    }

    /// Returns everyone who holds a lease.
    pub(super) fn holders(&self) -> Vec<Holder> {
        self.by_holder.keys().copied().collect()
    }

    /// Returns the number of leases.
    pub(super) fn count(&self) -> u64 {
        self.by_holder.values().map(|versions| versions.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::process::Process;

    fn holder(scope: u64) -> Holder {
        Holder { process: Process { boot: 1, pid: 2, start: 3 }, scope }
    }

    #[test]
    fn a_version_is_held_until_its_last_lease_is_given_back() {
        let mut leases = Leases::default();
        let key = b"\x01k".to_vec();
        assert!(leases.take(5, 1, &key, holder(1)));
        assert!(leases.take(5, 1, &key, holder(2)));
        assert!(!leases.take(5, 1, &key, holder(2)), "taken twice is held once");
        assert_eq!(leases.count(), 2);
        assert_eq!(leases.give_back(5, &holder(1)), Some((1, key.clone(), false)));
        assert_eq!(leases.give_back(5, &holder(1)), None, "giving back is idempotent");
        assert_eq!(leases.give_back(5, &holder(2)), Some((1, key, true)));
        assert_eq!(leases, Leases::default());
    }

    #[test]
    fn an_overwritten_version_leaves_its_holders_with_nothing() {
        let mut leases = Leases::default();
        leases.take(5, 1, b"\x01k", holder(1));
        leases.take(6, 1, b"\x01l", holder(1));
        assert_eq!(leases.drop_version(5), Some((1, b"\x01k".to_vec(), vec![holder(1)])));
        assert_eq!(leases.of(&holder(1), 9), [6]);
        assert_eq!(leases.holders(), [holder(1)]);
    }
}
