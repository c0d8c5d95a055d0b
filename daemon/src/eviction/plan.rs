//! What is to be done, in the order in which it was decided.

use super::place::{Place, Queue};
use super::queues::Queues;
use super::volume::Volume;

/// What becomes of a place that was the first of its queue. In any case it is the first no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The entry goes, and with it the marks of its key.
    Evict,
    /// The entry stays, and stands at the end of a queue again.
    Keep {
        /// Where.
        place: Place,
        /// How often it is to count as read from now on: [`Access::lower`](datacache_proto::access::Access::lower).
        frequency: u8,
    },
    /// The entry stays, and so does its place, for it is held. Neither is seen or counted any more: once the entry may be evicted, it is
    /// told another place, by [`Evictor::admit`](super::Evictor::admit).
    Pass,
    /// The place goes: its entry is gone.
    Drop,
}

/// Why a plan ends where it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// What it evicts is enough.
    #[default]
    Enough,
    /// As many places were looked at as one slice may look at. Ask again.
    Slice,
    /// Nothing more can be evicted: there is nothing, all of it is held, or the policy is to evict nothing.
    Nothing,
}

/// One slice of an eviction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What becomes of the first place of each queue, and of those behind it.
    pub steps: Vec<(Queue, Verdict)>,
    /// What is evicted, all in all.
    pub evicted: Volume,
    /// What is passed over, by the queues that it leaves.
    pub(super) passed: Queues,
    /// Why there are not more steps.
    pub ending: Ending,
}

impl Plan {
    /// Returns what is held in a queue and is passed over: what it takes now, and not when it was given its place.
    pub fn passed(&self, queue: Queue) -> Volume {
        match queue {
            Queue::Small => self.passed.small,
            Queue::Main => self.passed.main,
        }
    }

    /// Tells whether places are to join a queue again.
    pub(super) fn keeps(&self) -> bool {
        self.steps.iter().any(|(_, verdict)| matches!(verdict, Verdict::Keep { .. }))
    }
}
