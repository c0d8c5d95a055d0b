//! When the entries end that the log brought and the index does not have yet: the log's own expiry index, a part for each segment.

use std::collections::BTreeMap;

use datacache_proto::recent::{Location, Offset};
use datacache_proto::time::Timestamp;

/// The newest operations of keys in one segment whose entries have an expiry, by the moment at which they end.
#[derive(Debug, Default)]
pub(super) struct SegmentExpiring(BTreeMap<Timestamp, Moment>);

/// The operations whose entries end at one moment, in the order of the log: those of one call mostly do, and then each only comes
/// behind the one before.
#[derive(Debug, Default)]
struct Moment {
    /// Each with the namespace, or `None` where it is its key's newest no more.
    operations: Vec<(Offset, Option<u32>)>,
    /// How many are their key's newest: at least half of them.
    newest: usize,
}

/// The same of the two segments that the index does not have.
#[derive(Debug, Default)]
pub(super) struct Expiring {
    active: u64,
    newer: SegmentExpiring,
    older: SegmentExpiring,
}

/// An operation of the log that is its key's newest until another one is appended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced {
    pub(super) at: Location,
    /// When the entry ended, which whoever replaces it has just read: to look it up by place costs more than all the rest here.
    /// The outer `None` where that can't be read.
    pub(super) expires: Option<Option<Timestamp>>,
}

impl Moment {
    /// Adds an operation that is behind all others of the segment.
    fn push(&mut self, offset: Offset, namespace: u32) {
        self.operations.push((offset, Some(namespace)));
        self.newest += 1;
    }

    /// Takes an operation out if it is here; tells whether none is left.
    fn remove(&mut self, offset: Offset) -> bool {
        let found = self.operations.binary_search_by_key(&offset, |(offset, _)| *offset);
        if found.is_ok_and(|at| self.operations[at].1.take().is_some()) {
            self.newest -= 1;
        }
        if 2 * self.newest < self.operations.len() {
            self.operations.retain(|(_, namespace)| namespace.is_some());
        }
        self.newest == 0
    }
}

impl SegmentExpiring {
    fn remove(&mut self, offset: Offset, expires: Option<Option<Timestamp>>) {
        match expires {
            Some(Some(expires)) => {
                if self.0.get_mut(&expires).is_some_and(|moment| moment.remove(offset)) {
                    self.0.remove(&expires);
                }
            }
            Some(None) => {}
            None => self.0.retain(|_, moment| !moment.remove(offset)),
        }
    }

    /// Returns the earliest moment at which an entry ends, also if that is past.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.0.first_key_value().map(|(&expires, _)| expires)
    }

    fn until(&self, now: Timestamp, namespace: Option<u32>) -> impl Iterator<Item = Offset> {
        let due = self.0.range(..=now).flat_map(|(_, moment)| &moment.operations);
        due.filter_map(move |&(offset, of)| {
            of.filter(|of| namespace.is_none_or(|namespace| namespace == *of)).map(|_| offset)
        })
    }
}

impl Expiring {
    /// Begins with `segment` active and empty.
    pub(super) fn new(segment: u64) -> Self {
        Self { active: segment, ..Self::default() }
    }

    /// Notes an operation that became the newest of its key, at `at` in the active segment.
    pub(super) fn publish(
        &mut self,
        at: Location,
        namespace: u32,
        expires: Option<Timestamp>,
        replaces: Option<Replaced>,
    ) {
        if let Some(old) = replaces {
            let part = if old.at.segment == self.active { &mut self.newer } else { &mut self.older };
            part.remove(old.at.offset, old.expires);
        }
        if let Some(expires) = expires {
            self.newer.0.entry(expires).or_default().push(at.offset, namespace);
        }
    }

    /// Begins the next segment.
    pub(super) fn rotate(&mut self) {
        debug_assert!(self.older.0.is_empty(), "the segment before was retired");
        self.active += 1;
        self.older = std::mem::take(&mut self.newer);
    }

    /// Forgets the older segment, which the index has now. Returns it: dropping it takes a while.
    pub(super) fn retire(&mut self) -> SegmentExpiring {
        std::mem::take(&mut self.older)
    }

    /// Returns where the entries are, at most `limit`, whose time is over at `now`.
    pub(super) fn until(&self, now: Timestamp, namespace: Option<u32>, limit: usize) -> Vec<Location> {
        let place = |segment| move |offset| Location { segment, offset };
        let older = self.older.until(now, namespace).map(place(self.active.wrapping_sub(1)));
        older.chain(self.newer.until(now, namespace).map(place(self.active))).take(limit).collect()
    }

    /// Counts the entries of a namespace whose time is over at `now`.
    pub(super) fn count_until(&self, now: Timestamp, namespace: u32) -> u64 {
        [&self.older, &self.newer].into_iter().map(|part| part.until(now, Some(namespace)).count() as u64).sum()
    }

    /// Returns the earliest moment at which an entry ends, also if that is past.
    pub(super) fn first(&self) -> Option<Timestamp> {
        [&self.older, &self.newer].into_iter().filter_map(|part| part.first()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u64, offset: u64) -> Location {
        Location { segment, offset: Offset::from_bytes(offset).unwrap() }
    }

    fn replaced(at: Location, expires: Option<Timestamp>) -> Option<Replaced> {
        Some(Replaced { at, expires: Some(expires) })
    }

    fn moment(millis: u64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(millis))
    }

    #[test]
    fn only_the_newest_operation_of_a_key_counts() {
        let mut expiring = Expiring::new(3);
        expiring.publish(at(3, 64), 1, moment(10), None);
        expiring.publish(at(3, 128), 2, moment(5), None);
        expiring.publish(at(3, 192), 1, moment(30), replaced(at(3, 64), moment(10)));
        let now = Timestamp::from_millis(20);
        assert_eq!(expiring.until(now, None, 9), [at(3, 128)]);
        assert_eq!((expiring.count_until(now, 1), expiring.count_until(now, 2)), (0, 1));
        assert_eq!(expiring.first(), moment(5));
    }

    #[test]
    fn of_many_that_end_together_just_those_that_were_replaced_go() {
        let mut expiring = Expiring::new(3);
        let offsets = || (1..=100).map(|number| 64 * number);
        for offset in offsets() {
            expiring.publish(at(3, offset), 1, moment(10), None);
        }
        let mut left: Vec<_> = offsets().map(|offset| at(3, offset)).collect();
        while !left.is_empty() {
            assert_eq!((expiring.until(Timestamp::MAX, Some(1), 999), expiring.first()), (left.clone(), moment(10)));
            let replaced_at = left.remove(left.len() / 3);
            expiring.publish(at(3, 6_464), 1, None, replaced(replaced_at, moment(10)));
        }
        assert_eq!((expiring.count_until(Timestamp::MAX, 1), expiring.first()), (0, None));
    }

    #[test]
    fn an_operation_of_the_segment_before_is_replaced_too() {
        let mut expiring = Expiring::new(3);
        expiring.publish(at(3, 64), 1, moment(10), None);
        expiring.publish(at(3, 128), 1, moment(11), None);
        expiring.rotate();
        expiring.publish(at(4, 64), 1, None, replaced(at(3, 64), moment(10)));
        assert_eq!(expiring.until(Timestamp::MAX, None, 9), [at(3, 128)]);
        expiring.publish(at(4, 128), 1, moment(12), None);
        assert_eq!(expiring.until(Timestamp::MAX, None, 9), [at(3, 128), at(4, 128)]);
        expiring.retire();
        assert_eq!(expiring.until(Timestamp::MAX, Some(1), 9), [at(4, 128)]);
    }

    #[test]
    fn an_operation_that_can_not_be_read_is_replaced_all_the_same() {
        let mut expiring = Expiring::new(3);
        expiring.publish(at(3, 64), 1, moment(10), None);
        expiring.publish(at(3, 128), 1, moment(10), None);
        expiring.publish(at(3, 192), 1, moment(30), Some(Replaced { at: at(3, 64), expires: None }));
        assert_eq!(expiring.until(Timestamp::MAX, None, 9), [at(3, 128), at(3, 192)]);
    }

    #[test]
    fn an_entry_is_due_in_the_very_millisecond_of_its_expiry() {
        let mut expiring = Expiring::new(1);
        expiring.publish(at(1, 64), 1, moment(10), None);
        assert_eq!(expiring.count_until(Timestamp::from_millis(9), 1), 0);
        assert_eq!(expiring.count_until(Timestamp::from_millis(10), 1), 1);
    }
}
