//! How much stands in each queue.

use super::place::Queue;
use super::volume::Volume;

/// The volumes of both queues. What is gone, or held, counts until its place is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Queues {
    pub(super) small: Volume,
    pub(super) main: Volume,
}

impl Queues {
    /// Returns what stands in both.
    pub(super) fn all(&self) -> Volume {
        self.small.plus(self.main)
    }

    /// Notes that a place joined.
    pub(super) fn join(&mut self, queue: Queue, bytes: u64) {
        let volume = self.of(queue);
        *volume = volume.plus(Volume::one(bytes));
    }

    /// Notes that the first place left.
    pub(super) fn leave(&mut self, queue: Queue, bytes: u64) {
        let volume = self.of(queue);
        *volume = volume.less(Volume::one(bytes));
        // Sums that went astray, by places that were lost, are right again here.
        if volume.entries == 0 {
            *volume = Volume::default();
        }
    }

    /// Notes that nobody stands there, whatever the sums say.
    pub(super) fn clear(&mut self, queue: Queue) {
        *self.of(queue) = Volume::default();
    }

    /// Tells whether the small queue has at least this share of all bytes.
    pub(super) fn small_has(&self, share: f64) -> bool {
        self.small.bytes as f64 >= share * self.all().bytes as f64
    }

    fn of(&mut self, queue: Queue) -> &mut Volume {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }
}
