//! The marks of a limit: from where on is evicted, and down to where.

/// A limit, and the marks below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// What is never exceeded.
    pub(super) limit: u64,
    /// Above it, room is made beside the calls, so that hardly any has to wait for it.
    pub(super) high: u64,
    /// As much as that is left when room has been made.
    pub(super) low: u64,
}

impl Marks {
    /// The least bytes between a limit and its high mark: what is being written while room is made.
    const LEAST: u64 = 64 << 10;
    /// The most entries that are evicted ahead.
    const AHEAD: u64 = 64;

    /// Returns the marks of a limit of bytes. Space of values is free only some time after they went: there is some to go on with.
    pub(super) fn of_bytes(limit: u64) -> Self {
        let high = limit - (limit / 64).max(Self::LEAST).min(limit / 4);
        Self { limit, high, low: high - limit / 32 }
    }

    /// Returns the marks of a limit of entries. An entry is gone as soon as it is evicted: nothing is lost until there is no room.
    pub(super) fn of_entries(limit: u64) -> Self {
        Self { limit, high: limit, low: limit - (limit / 64).min(Self::AHEAD) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_leave_little_of_a_large_limit_and_something_to_a_small_one() {
        let gib = 1 << 30;
        let marks = Marks::of_bytes(gib);
        assert_eq!((marks.high, marks.low), (gib - gib / 64, gib - gib / 64 - gib / 32));
        for limit in [0, 1, 2, 100, 4_096, 1 << 20, u64::MAX] {
            let Marks { high, low, .. } = Marks::of_bytes(limit);
            assert!(low <= high && high <= limit && low >= limit / 2, "{limit}: {high} and {low}");
        }
    }

    #[test]
    fn few_entries_go_one_by_one() {
        assert_eq!(Marks::of_entries(1), Marks { limit: 1, high: 1, low: 1 });
        assert_eq!(Marks::of_entries(63).low, 63);
        assert_eq!(Marks::of_entries(100_000).low, 100_000 - 64);
    }
}
