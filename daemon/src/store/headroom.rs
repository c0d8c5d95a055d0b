//! Space that is left to others: how far the store may grow, as its filesystem was when it was last looked at.

use super::rules::Reserve;

/// The least that the store may take, whoever else fills the disk (16 MiB).
const LEAST: u64 = 16 << 20;

/// A filesystem, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) size: u64,
    /// What its user may still take.
    pub(super) free: u64,
}

/// How far the store may grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Headroom {
    /// What is to be left to others.
    pub(super) reserve: u64,
    /// What was free.
    pub(super) free: u64,
    /// As much as the store may take; `None` until it was looked.
    pub(super) ceiling: Option<u64>,
}

impl Headroom {
    /// Reckons how far a store may grow that takes `usage` bytes, without files that are about to be removed.
    ///
    /// `spare` bytes of the filesystem it has and does not use: pages of its index that are free, and files that are about to be
    /// removed. They count as free: else all would be evicted for space that only comes back later.
    pub(super) fn of(rule: Reserve, disk: Disk, usage: u64, spare: u64) -> Self {
        let reserve = rule.on(disk.size);
        let free = disk.free.saturating_add(spare);
        let ceiling = usage.saturating_add(free).saturating_sub(reserve).max(LEAST);
        let ceiling = (reserve > 0).then_some(ceiling);
        Self { reserve, free: disk.free, ceiling }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_store_gives_way_to_others_down_to_a_least_and_grows_back() {
        let disk = |free| Disk { size: 1_000 * MIB, free };
        let of = |free, usage, spare| Headroom::of(Reserve::Share, disk(free), usage, spare);
        let ample = of(500 * MIB, 100 * MIB, 0);
        assert_eq!((ample.reserve, ample.ceiling), (50 * MIB, Some(550 * MIB)));
        assert_eq!(of(20 * MIB, 100 * MIB, 0).ceiling, Some(70 * MIB));
        // What was evicted, and is not the filesystem's yet, is not evicted for again.
        assert_eq!(of(20 * MIB, 70 * MIB, 30 * MIB).ceiling, Some(70 * MIB));
        assert_eq!(of(0, 20 * MIB, 0).ceiling, Some(LEAST));
    }

    #[test]
    fn no_reserve_is_no_limit() {
        let headroom = Headroom::of(Reserve::Bytes(0), Disk { size: 9, free: 0 }, 5, 0);
        assert_eq!(headroom.ceiling, None);
        assert_eq!(Headroom::of(Reserve::Share, Disk { size: u64::MAX, free: 0 }, 5, 0).reserve, 1 << 30);
    }
}
