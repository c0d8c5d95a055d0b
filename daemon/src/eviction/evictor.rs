//! The policy with all it remembers: tells new entries their place, and plans who goes.

use datacache_proto::recent::KeyHash;

use super::clock::{MOST_READS, judge_frequent, judge_recent};
use super::place::{Front, Head, Note, Place, Queue, State};
use super::plan::{Ending, Plan, Verdict};
use super::policy::Policy;
use super::queues::Queues;
use super::s3fifo::{Before, S3Fifo};
use super::volume::Volume;

/// Decides what is evicted. Its owner keeps the queues, and does what a [`Plan`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct Evictor {
    pub(super) policy: Policy,
    pub(super) queues: Queues,
    /// Moves with [`Policy::S3Fifo`] alone.
    pub(super) s3fifo: S3Fifo,
    /// How many were kept since the last one that went.
    fruitless: u64,
}

/// A new entry, with what it takes to take it back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Addition {
    /// Where it stands.
    pub place: Place,
    hash: KeyHash,
    bytes: u64,
    before: Option<Before>,
}

impl Evictor {
    /// Begins with nothing: no entries, nothing learned.
    pub fn new(policy: Policy) -> Self {
        Self::from_parts(policy, Queues::default(), S3Fifo::new())
    }

    pub(super) fn from_parts(policy: Policy, queues: Queues, s3fifo: S3Fifo) -> Self {
        Self { policy, queues, s3fifo, fruitless: 0 }
    }

    /// Goes on with another policy, and with the places that there are.
    pub fn follow(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Takes in what stands in the queues, where its owner knows better: the sums go astray when it dies.
    pub fn correct(&mut self, small: Volume, main: Volume) {
        self.queues = Queues { small, main };
        self.fruitless = 0;
    }

    /// Returns what stands in both queues. What is gone, or held, counts until its place is looked at.
    pub fn standing(&self) -> Volume {
        self.queues.all()
    }

    /// Returns what stands in a queue. What is gone, or held, counts until its place is looked at.
    pub fn volume(&self, queue: Queue) -> Volume {
        match queue {
            Queue::Small => self.queues.small,
            Queue::Main => self.queues.main,
        }
    }

    /// Tells an entry of a key that had none where it stands, or one that was held and may be evicted from now on. Any other that replaces
    /// another keeps the other's place.
    pub fn add(&mut self, hash: KeyHash, bytes: u64) -> Place {
        self.admit(hash, bytes).place
    }

    /// The same of an entry that may yet come to nothing.
    pub fn admit(&mut self, hash: KeyHash, bytes: u64) -> Addition {
        let (place, before) = match self.policy {
            Policy::S3Fifo => {
                let (place, before) = self.s3fifo.admit(hash, bytes, &self.queues);
                (place, Some(before))
            }
            Policy::Lru | Policy::Lfu | Policy::Fifo | Policy::None => {
                (Place { queue: Queue::Main, note: Note::default() }, None)
            }
        };
        self.queues.join(place.queue, bytes);
        Addition { place, hash, bytes, before }
    }

    /// Takes an entry back that came to nothing, as if it was never told of: the last one first, and before anything is planned.
    pub fn take_back(&mut self, addition: Addition) {
        let Addition { place, hash, bytes, before } = addition;
        self.queues.leave(place.queue, bytes);
        before.into_iter().for_each(|before| self.s3fifo.take_back(hash, before));
    }

    /// Plans a slice of an eviction: what to do until `excess` is gone, after a look at `most` places at most.
    ///
    /// `next` takes the first place out of a queue. It need not see again what the plan keeps,
    /// which joins the end of a queue when the plan is carried out: where it gives out before that, the slice ends.
    pub fn plan<F: Into<Front>>(&mut self, excess: Volume, most: usize, mut next: impl FnMut(Queue) -> F) -> Plan {
        let mut plan = Plan::default();
        while !plan.evicted.covers(excess) {
            let Some(queue) = self.turn() else {
                plan.ending = Ending::Nothing;
                break;
            };
            if plan.steps.len() >= most {
                plan.ending = Ending::Slice;
                break;
            }
            match next(queue).into() {
                Front::Head(head) => self.step(&mut plan, queue, &head),
                Front::Nobody if !plan.keeps() => self.queues.clear(queue),
                Front::Nobody | Front::Later => {
                    plan.ending = Ending::Slice;
                    break;
                }
            }
        }
        plan
    }

    /// Returns the queue whose first place is to be looked at; `None` where that leads nowhere.
    fn turn(&self) -> Option<Queue> {
        if self.queues.all().entries == 0 || self.policy == Policy::None {
            return None;
        }
        Some(match self.policy {
            Policy::S3Fifo => self.s3fifo.turn(&self.queues),
            _ if self.queues.small.entries > 0 => Queue::Small,
            _ => Queue::Main,
        })
    }

    /// Returns after how many on end that were kept whoever comes next does: they are read faster than they are looked at.
    fn patience(&self) -> u64 {
        self.queues.all().entries.saturating_mul(self.rounds())
    }

    /// Returns how often an entry may be looked at before it goes, if nobody reads it.
    fn rounds(&self) -> u64 {
        match self.policy {
            Policy::S3Fifo => 5,
            Policy::Lru => 3,
            Policy::Lfu => u64::from(MOST_READS) + 2,
            Policy::Fifo | Policy::None => 2,
        }
    }

    fn step(&mut self, plan: &mut Plan, queue: Queue, head: &Head) {
        let verdict = match head.state {
            State::Gone => Verdict::Drop,
            State::Held => Verdict::Pass,
            State::Free => match self.judge(queue, head) {
                Verdict::Keep { .. } if self.fruitless > self.patience() => Verdict::Evict,
                verdict => verdict,
            },
        };
        self.queues.leave(queue, head.placed);
        match verdict {
            Verdict::Keep { place, .. } => {
                self.queues.join(place.queue, head.bytes);
                self.fruitless += 1;
            }
            Verdict::Pass => plan.passed.join(queue, head.bytes),
            Verdict::Drop => {}
            Verdict::Evict => {
                plan.evicted = plan.evicted.plus(Volume::one(head.bytes));
                self.fruitless = 0;
            }
        }
        plan.steps.push((queue, verdict));
    }

    fn judge(&mut self, queue: Queue, head: &Head) -> Verdict {
        match self.policy {
            Policy::S3Fifo => self.s3fifo.judge(queue, head, &self.queues),
            Policy::Lru => judge_recent(head),
            Policy::Lfu => judge_frequent(head),
            Policy::Fifo | Policy::None => Verdict::Evict,
        }
    }
}
