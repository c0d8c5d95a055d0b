//! A namespace that belongs to one run, and is empty when the run is over.
//!
//! The name of a namespace stays in its store for ever, so the ones of earlier runs are taken again: `bench-1`, `bench-2` and
//! so on, the first one that is empty and that no other run has.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use datacache_client::Options;
use datacache_client::blocking::DataCache;
use datacache_proto::hash::{HashType, hash_text};
use datacache_proto::types::Stats;
use indicatif::HumanBytes;

use crate::failure::Failure;

/// More runs at once than there can be.
const RUNS_MAX: u32 = 4_096;

/// A namespace of our own. Dropping it empties it.
pub(crate) struct Ground {
    cache: DataCache,
    name: String,
    /// What shows other runs that the name is taken; the system takes it back when the process ends, however that comes.
    _claim: UnixDatagram,
}

impl Ground {
    /// Opens the cache and takes a namespace.
    ///
    /// # Errors
    /// Where there is no daemon for us.
    pub(crate) fn take(options: Options, store: &Path) -> Result<Self, Failure> {
        let cache = DataCache::open(options)?;
        let stats = cache.stats()?;
        for number in 1..=RUNS_MAX {
            let name = format!("bench-{number}");
            if is_empty(&stats, &name)
                && let Some(claim) = claim(store, &name)?
            {
                let cache = cache.namespace(&name);
                // Another run may have had it since.
                if cache.is_empty()? {
                    return Ok(Self { cache, name, _claim: claim });
                }
            }
        }
        let source = io::Error::other(format!("{RUNS_MAX} namespaces `bench-N` are taken; clear some of them"));
        Err(Failure::System { what: "find a namespace for the benchmark", source })
    }

    /// Checks that the cache has room for so many entries and bytes more: nothing is to be evicted for a measurement.
    ///
    /// # Errors
    /// Where it has not.
    pub(crate) fn check_room(&self, (entries, bytes): (u64, u64)) -> Result<(), Failure> {
        let space = self.cache.stats()?.space;
        let lacks = |limit: Option<u64>, taken: u64, more: u64| {
            limit.filter(|limit| taken.saturating_add(more) > *limit).map(|limit| limit.saturating_sub(taken))
        };
        let told = match (lacks(space.limit, space.bytes, bytes), lacks(space.limit_entries, space.entries, entries)) {
            (Some(left), _) => format!("it takes up to {}, and {} are left", HumanBytes(bytes), HumanBytes(left)),
            (None, Some(left)) => format!("it takes up to {entries} entries, and {left} are left"),
            (None, None) => return Ok(()),
        };
        let source = io::Error::other(format!("{told} below the limit; measure less, or raise the limit"));
        Err(Failure::System { what: "measure without evicting what the cache has", source })
    }

    /// Returns the namespace's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the cache with the namespace selected.
    pub(crate) fn cache(&self) -> &DataCache {
        &self.cache
    }

    /// Has the log applied, so that reads go all their way.
    ///
    /// # Errors
    /// Where the daemon can't.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        Ok(self.cache.list().next().transpose().map(drop)?)
    }

    /// Returns how many entries were read from the map, by all processes.
    ///
    /// # Errors
    /// Where the daemon does not say.
    pub(crate) fn direct_hits(&self) -> Result<u64, Failure> {
        let stats = self.cache.stats()?;
        Ok(stats.namespaces.iter().find(|namespace| namespace.name == self.name).map_or(0, |found| found.direct_hits))
    }

    /// Empties the namespace.
    ///
    /// # Errors
    /// Where the daemon can't.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        Ok(self.cache.clear().map(drop)?)
    }
}

impl Drop for Ground {
    /// Again, where it was done before: that costs little. What can't be cleared now expires in an hour.
    fn drop(&mut self) {
        if let Err(error) = self.cache.clear() {
            tracing::warn!(namespace = self.name, %error, "the benchmark's entries can't be removed; they expire in an hour");
        }
    }
}

fn is_empty(stats: &Stats, name: &str) -> bool {
    stats.namespaces.iter().all(|namespace| namespace.name != name || namespace.entries == 0)
}

/// Takes a name on this machine; `None` where another process has it.
fn claim(store: &Path, name: &str) -> Result<Option<UnixDatagram>, Failure> {
    let owner = rustix::process::getuid().as_raw();
    let place = hash_text(&format!("{owner} {} {name}", store.display()), HashType::Sha256);
    let address = SocketAddr::from_abstract_name(format!("datacache-bench-{place}"));
    match address.and_then(|address| UnixDatagram::bind_addr(&address)) {
        Ok(claim) => Ok(Some(claim)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(source) => Err(Failure::System { what: "claim a namespace for the benchmark", source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::types::NamespaceStats;

    #[test]
    fn a_name_belongs_to_one_run_of_a_store_until_that_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let take = |store: &str| claim(&folder.path().join(store), "bench-1").unwrap();
        let first = take("a").expect("nobody has it");
        assert!(take("a").is_none());
        assert!(take("b").is_some());
        drop(first);
        assert!(take("a").is_some());
    }

    #[test]
    fn a_namespace_with_entries_is_somebodys() {
        let row = |name: &str, entries| NamespaceStats { name: name.into(), entries, ..NamespaceStats::default() };
        let stats = Stats { namespaces: vec![row("bench-1", 1), row("bench-2", 0)], ..Stats::default() };
        assert_eq!(["bench-1", "bench-2", "bench-3"].map(|name| is_empty(&stats, name)), [false, true, true]);
    }
}
