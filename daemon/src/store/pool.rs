//! A pool: those who share a policy, what it is limited to, and how far its queues have come.

use super::admission::Limits;
use super::line::Line;
use crate::eviction::{Evictor, Plan, Policy, Queue, Volume};

/// Names a pool: that of one namespace, or the one that all others share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PoolId {
    Own(u32),
    Shared,
}

/// Those who share a policy, and where its queues are.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) evictor: Evictor,
    /// What it is limited to; not the shared one.
    pub(super) limits: Limits,
    pub(super) policy: Policy,
    pub(super) lines: Lines,
    /// Whether room is being made, down to the low mark.
    pub(super) is_relieving: bool,
    /// Whether the last slice met nobody.
    pub(super) gave_out: bool,
    /// Whether it has begun anew since anything was evicted, for it met nobody any more.
    pub(super) is_anew: bool,
    /// Whether anything was evicted since what it has learned was last taken to be written down.
    pub(super) has_learned: bool,
    /// What is counted as if it could be evicted, and was looked for in vain.
    pub(super) missing: Volume,
}

/// Where a pool's queues are.
#[derive(Debug, Default)]
pub(super) struct Lines {
    small: Line,
    main: Line,
}

impl Pool {
    pub(super) fn new(evictor: Evictor, policy: Policy, limits: Limits) -> Self {
        Self {
            evictor,
            limits,
            policy,
            lines: Lines::default(),
            is_relieving: false,
            gave_out: false,
            is_anew: false,
            has_learned: false,
            missing: Volume::default(),
        }
    }

    /// Takes up another rule.
    pub(super) fn follow(&mut self, policy: Policy, limits: Limits) {
        self.evictor.follow(policy);
        (self.policy, self.limits) = (policy, limits);
        (self.gave_out, self.is_anew, self.missing) = (false, false, Volume::default());
    }
}

impl Lines {
    /// Returns that of a queue.
    pub(super) fn of(&mut self, queue: Queue) -> &mut Line {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }

    /// Begins once more with the first places.
    pub(super) fn rewind(&mut self) {
        self.small.rewind();
        self.main.rewind();
    }

    /// Returns what is held of what was passed over.
    pub(super) fn passed(&self) -> Volume {
        self.small.passed.plus(self.main.passed)
    }

    /// Notes what is passed over.
    pub(super) fn pass(&mut self, plan: &Plan) {
        for queue in [Queue::Small, Queue::Main] {
            let line = self.of(queue);
            line.passed = line.passed.plus(plan.passed(queue));
        }
    }

    /// Takes in that no more than that is held by now. Which queue had what was let go nobody knows: it is the main one's as far as it can.
    pub(super) fn let_go(&mut self, held: Volume) {
        self.main.passed = self.main.passed.least(held);
        self.small.passed = self.small.passed.least(held.less(self.main.passed));
    }

    pub(super) fn enter(&mut self, namespace: u32) {
        self.small.enter(namespace);
        self.main.enter(namespace);
    }

    pub(super) fn leave(&mut self, namespace: u32) {
        self.small.leave(namespace);
        self.main.leave(namespace);
    }
}
