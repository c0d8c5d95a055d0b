//! What a store may take, and who goes when that is not enough: as its owner sets it.

use std::collections::BTreeMap;

use crate::eviction::Policy;

/// The most that a store takes without being told, in bytes.
const LIMIT_MAX: u64 = 10 << 30;
/// The most that is left to others without being told, in bytes.
const RESERVE_MAX: u64 = 1 << 30;

/// The limits of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What holds for the store as a whole.
    pub all: Rule,
    /// Whether the limit in bytes of the store as a whole follows from its filesystem, and not from `all`: see [`Rules::limit_on`].
    pub is_limit_auto: bool,
    /// What holds for a namespace of this name besides.
    pub namespaces: BTreeMap<String, Rule>,
    /// The share of a limit, of bytes or of entries, that pinned and bound entries may have, in hundredths. What the reserve leaves is
    /// such a limit.
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

    /// Returns how many bytes of a filesystem of this size the store may take; `None` for no limit. Where it follows from the
    /// filesystem, that is a tenth of it or 10 GiB, whichever is less.
    #[must_use]
    pub fn limit_on(&self, filesystem: u64) -> Option<u64> {
        if self.is_limit_auto { Some(LIMIT_MAX.min(filesystem / 10)) } else { self.all.limit }
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

impl Reserve {
    /// Returns how many bytes of a filesystem of this size are to stay free.
    #[must_use]
    pub fn on(self, filesystem: u64) -> u64 {
        match self {
            Self::Share => RESERVE_MAX.min(filesystem / 20),
            Self::Bytes(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERABYTE: u64 = 1 << 40;

    #[test]
    fn a_limit_that_follows_from_the_filesystem_is_a_tenth_of_it_or_ten_gigabytes() {
        let rules = Rules { is_limit_auto: true, ..Rules::default() };
        assert_eq!((rules.limit_on(50 << 30), rules.limit_on(TERABYTE)), (Some(5 << 30), Some(10 << 30)));
        let told = |limit| Rules { all: Rule { limit, ..Rule::default() }, ..Rules::default() };
        assert_eq!([None, Some(1 << 20)].map(|limit| told(limit).limit_on(TERABYTE)), [None, Some(1 << 20)]);
    }

    #[test]
    fn a_twentieth_of_the_filesystem_or_a_gigabyte_is_left_to_others_unless_told() {
        assert_eq!((Reserve::Share.on(10 << 30), Reserve::Share.on(TERABYTE)), ((10 << 30) / 20, 1 << 30));
        assert_eq!(Reserve::Bytes(7).on(TERABYTE), 7);
    }
}
