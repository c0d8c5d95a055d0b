//! The places that the log gave and the index does not have yet: the ends of all queues, a part for each segment. What is before
//! them is in the tables `small` and `main`.

use std::collections::HashMap;

use datacache_proto::recent::{Location, Offset};

use crate::eviction::{Note, Queue};

/// A place that an operation of the log gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queued {
    /// The sequence number of the operation: places stand in this order.
    pub(super) number: u64,
    /// Tells the entry from others of its key.
    pub(super) birth: u64,
    /// What the entry was charged for when it was given the place.
    pub(super) charge: u64,
    /// Where the operation is in its segment. It has the key: to keep that too would cost more than all else here.
    pub(super) offset: Offset,
    /// What the policy wants to remember.
    pub(super) note: Note,
}

/// The places of one segment, by namespace.
#[derive(Debug, Default)]
pub(super) struct SegmentPlaces(HashMap<u32, Ends>);

/// The ends of a namespace's two queues.
#[derive(Debug, Default)]
struct Ends {
    small: Vec<Queued>,
    main: Vec<Queued>,
}

impl Ends {
    fn of(&self, queue: Queue) -> &[Queued] {
        match queue {
            Queue::Small => &self.small,
            Queue::Main => &self.main,
        }
    }
}

/// The places of the two segments that the index does not have.
#[derive(Debug, Default)]
pub(super) struct Queues {
    active: u64,
    newer: SegmentPlaces,
    older: SegmentPlaces,
}

impl SegmentPlaces {
    /// Returns the first place of a queue whose number is at least `from`.
    fn first(&self, namespace: u32, queue: Queue, from: u64) -> Option<&Queued> {
        let places = self.0.get(&namespace)?.of(queue);
        places.get(places.partition_point(|place| place.number < from))
    }
}

impl Queues {
    /// Begins with `segment` active and empty.
    pub(super) fn new(segment: u64) -> Self {
        Self { active: segment, ..Self::default() }
    }

    /// Adds a place behind all others.
    pub(super) fn push(&mut self, namespace: u32, queue: Queue, place: Queued) {
        let ends = self.newer.0.entry(namespace).or_default();
        match queue {
            Queue::Small => ends.small.push(place),
            Queue::Main => ends.main.push(place),
        }
    }

    /// Begins the next segment.
    pub(super) fn rotate(&mut self) {
        debug_assert!(self.older.0.is_empty(), "the segment before was retired");
        self.active += 1;
        self.older = std::mem::take(&mut self.newer);
    }

    /// Forgets the older segment, which the index has now. Returns it: dropping it takes a while.
    pub(super) fn retire(&mut self) -> SegmentPlaces {
        std::mem::take(&mut self.older)
    }

    /// Returns how many places the queue has of all namespaces.
    pub(super) fn length(&self, queue: Queue) -> u64 {
        let ends = [&self.older, &self.newer].into_iter().flat_map(|part| part.0.values());
        ends.map(|ends| ends.of(queue).len() as u64).sum()
    }

    /// Returns the first place of a queue whose number is at least `from`, and where the log has its operation.
    pub(super) fn first(&self, namespace: u32, queue: Queue, from: u64) -> Option<(Queued, Location)> {
        let within = |part: &SegmentPlaces, segment| {
            let place = *part.first(namespace, queue, from)?;
            Some((place, Location { segment, offset: place.offset }))
        };
        within(&self.older, self.active.wrapping_sub(1)).or_else(|| within(&self.newer, self.active))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64) -> Queued {
        let offset = Offset::from_bytes(64 * number).unwrap();
        Queued { number, birth: number, charge: 1, offset, note: Note::default() }
    }

    /// Returns the numbers and segments of a queue's places from `from` on.
    fn numbers(queues: &Queues, namespace: u32, queue: Queue, mut from: u64) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| {
            let (place, at) = queues.first(namespace, queue, from)?;
            from = place.number + 1;
            Some((place.number, at.segment))
        })
        .collect()
    }

    #[test]
    fn places_come_in_their_order_and_go_with_their_segment() {
        let mut queues = Queues::new(5);
        for (namespace, queue, number) in
            [(1, Queue::Small, 1), (2, Queue::Small, 2), (1, Queue::Main, 3), (1, Queue::Small, 4)]
        {
            queues.push(namespace, queue, place(number));
        }
        queues.rotate();
        queues.push(1, Queue::Small, place(7));
        assert_eq!(numbers(&queues, 1, Queue::Small, 0), [(1, 5), (4, 5), (7, 6)]);
        assert_eq!(numbers(&queues, 1, Queue::Small, 2), [(4, 5), (7, 6)]);
        assert_eq!(numbers(&queues, 1, Queue::Main, 0), [(3, 5)]);
        assert_eq!(numbers(&queues, 3, Queue::Main, 0), []);
        assert_eq!([Queue::Small, Queue::Main].map(|queue| queues.length(queue)), [4, 1]);
        queues.retire();
        assert_eq!(numbers(&queues, 1, Queue::Small, 0), [(7, 6)]);
        assert_eq!(numbers(&queues, 2, Queue::Small, 0), []);
    }
}
