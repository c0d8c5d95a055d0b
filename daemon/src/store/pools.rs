//! Who tells new entries their places: the policies of those who share a limit.

use datacache_proto::recent::KeyHash;

use crate::eviction::{Evictor, Place, Policy};

/// The pools of a store: all namespaces share one.
#[derive(Debug)]
pub(super) struct Pools {
    shared: Evictor,
}

impl Default for Pools {
    fn default() -> Self {
        Self { shared: Evictor::new(Policy::S3Fifo) }
    }
}

impl Pools {
    /// Tells an entry its place, whose key had none, and which takes `charge` bytes.
    pub(super) fn add(&mut self, _namespace: u32, hash: KeyHash, charge: u64) -> Place {
        self.shared.add(hash, charge)
    }
}
