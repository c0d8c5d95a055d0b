//! What a store may take, and who goes when that is not enough: as its owner sets it.

use std::collections::BTreeMap;

use crate::eviction::Policy;

/// The limits of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What holds for the store as a whole.
    pub all: Rule,
    /// What holds for a namespace of this name besides.
    pub namespaces: BTreeMap<String, Rule>,
    /// The share of a limit that pinned and bound entries may take, in hundredths.
    pub held_percent: u8,
    /// Space on the filesystem that is left to others.
    pub reserve: Reserve,
}

impl Rules {
    /// No limits at all, and nothing left to others.
    #[must_use]
    pub fn none() -> Self {
        Self { reserve: Reserve::Bytes(0), ..Self::default() }
    }
}

/// The limits of a store, or of one namespace of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// How many bytes of the disk it may take; `None` for no limit.
    pub limit: Option<u64>,
    /// How many entries it may have; `None` for no limit.
    pub limit_entries: Option<u64>,
    /// Who goes. `None` in the rule of a namespace: the store's policy.
    pub policy: Option<Policy>,
}

/// Space on the filesystem that a cache leaves to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// A twentieth of the filesystem or 1 GiB, whichever is less.
    #[default]
    Share,
    /// So many bytes.
    Bytes(u64),
}
