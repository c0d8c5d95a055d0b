//! S3-FIFO that learns: which queue a new entry joins, whose turn it is, and who stays.

use datacache_proto::recent::KeyHash;

use super::chance::Chance;
use super::ghost::{Ghost, LAP};
use super::learned::{KNOWN, Learned, Reason};
use super::place::{Head, Place, Queue};
use super::plan::Verdict;
use super::queues::Queues;

/// The small queue's share of all bytes: to begin with, at least, at most.
const SHARE: f64 = 0.1;
const SHARE_LEAST: f64 = 0.02;
const SHARE_MOST: f64 = 0.5;
/// How far an entry of the mean size moves the share when it comes back to the small queue soon after it went, if it were the
/// only one: the more entries there are, the more of them come back, but each by chance. So it is divided by the square root.
const STEP: f64 = 0.03;
/// How much further one moves it back that comes back to the main queue.
const STEP_BACK: f64 = 2.0;
/// Larger entries move it further, up to so many times.
const HEAVIEST: f64 = 4.0;

/// Keys that were evicted are known for so many ticks, and those of the main queue, which only move the share, for so many.
pub(super) const HORIZON: u32 = 2 * LAP;
pub(super) const SOON: u32 = LAP / 20;
/// Slots for what is evicted in the time of a horizon, per entry; the main queue's ghost has the eighth part of one.
const SLOTS_AN_ENTRY: u64 = 2;

/// One in so many new entries is let into the main queue at once: in a loop that no ghost remembers, the only ones that are ever hit.
const UNSEEN: u32 = 256;

/// Entries that are larger than the mean this many times have to be read twice to stay, and three times.
const LARGE: f64 = 8.0;
const HUGE: f64 = 32.0;
/// The mean size is that of about as many additions.
const MEAN_OF: f64 = 10_000.0;

/// The state of the policy beside the queues.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct S3Fifo {
    /// The small queue's share of all bytes, as it is wanted.
    pub(super) share: f64,
    /// Which reasons to let entries into the main queue turned out well.
    pub(super) learned: Learned,
    /// The mean size of new entries, and of how many.
    pub(super) mean: f64,
    pub(super) additions: u64,
    /// Whether anything was evicted yet. Until then the main queue takes what the small one has no room for.
    pub(super) full: bool,
    pub(super) chance: Chance,
    /// What was evicted from the small queue.
    pub(super) small_ghost: Ghost,
    /// What was evicted from the main queue.
    pub(super) main_ghost: Ghost,
}

/// What an addition changed, as it was before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Before {
    share: f64,
    mean: f64,
    additions: u64,
    chance: Chance,
    /// How long ago the key was evicted, from the small queue and from the main one, where that was known.
    ages: [Option<u32>; 2],
}

impl S3Fifo {
    pub(super) fn new() -> Self {
        Self {
            share: SHARE,
            learned: Learned::default(),
            mean: 0.0,
            additions: 0,
            full: false,
            chance: Chance::new(),
            small_ghost: Ghost::new(HORIZON),
            main_ghost: Ghost::new(SOON),
        }
    }

    /// Returns the place of a new entry, and what it takes to take that back.
    pub(super) fn admit(&mut self, hash: KeyHash, bytes: u64, queues: &Queues) -> (Place, Before) {
        let entries = queues.all().entries;
        self.small_ghost.fit(entries.saturating_mul(SLOTS_AN_ENTRY));
        self.main_ghost.fit(entries / 8);
        let ages = [self.small_ghost.recall(hash), self.main_ghost.recall(hash)];
        let &mut Self { share, mean, additions, chance, .. } = self;
        self.weigh(bytes);
        let weight = (bytes as f64 / self.mean).min(HEAVIEST);
        self.move_share(ages, weight * STEP / (entries.max(1) as f64).sqrt());
        let place = self.place(ages[0], queues);
        (place, Before { share, mean, additions, chance, ages })
    }

    /// Forgets what was learned by the addition of a key, the last one of those that were not taken back.
    pub(super) fn take_back(&mut self, hash: KeyHash, before: Before) {
        let Before { share, mean, additions, chance, ages: [small, main] } = before;
        (self.share, self.mean, self.additions, self.chance) = (share, mean, additions, chance);
        small.into_iter().for_each(|age| self.small_ghost.restore(hash, age));
        main.into_iter().for_each(|age| self.main_ghost.restore(hash, age));
    }

    /// Decides where an entry goes that left the small queue so long ago.
    fn place(&mut self, age: Option<u32>, queues: &Queues) -> Place {
        if let Some(age) = age {
            let reason = Reason::Return(age);
            if self.learned.accepts(reason, &mut self.chance) {
                return Place { queue: Queue::Main, note: reason.note() };
            }
        }
        let unseen = age.is_none() && self.chance.one_in(UNSEEN);
        let filling = !self.full && queues.small_has(self.share);
        Place { queue: if unseen || filling { Queue::Main } else { Queue::Small }, note: KNOWN }
    }

    /// Returns the queue whose first place is to be looked at.
    pub(super) fn turn(&self, queues: &Queues) -> Queue {
        let small = queues.small.entries > 0 && queues.small_has(self.share) || queues.main.entries == 0;
        if small { Queue::Small } else { Queue::Main }
    }

    /// Decides about the first place of a queue, whose entry may be evicted.
    pub(super) fn judge(&mut self, queue: Queue, head: &Head, queues: &Queues) -> Verdict {
        let enough = self.enough(head.bytes);
        let verdict = match queue {
            Queue::Small => self.judge_new(head, enough),
            Queue::Main => self.judge_known(head, enough, queues.all().entries),
        };
        if verdict == Verdict::Evict {
            self.full = true;
            let ghost = match queue {
                Queue::Small => &mut self.small_ghost,
                Queue::Main => &mut self.main_ghost,
            };
            ghost.remember(head.hash, head.bytes, queues.all().bytes);
        }
        verdict
    }

    fn judge_new(&mut self, head: &Head, enough: u8) -> Verdict {
        let reason = Reason::Read(head.frequency);
        if head.frequency >= enough && self.learned.accepts(reason, &mut self.chance) {
            return Verdict::Keep { place: Place { queue: Queue::Main, note: reason.note() }, frequency: 0 };
        }
        Verdict::Evict
    }

    fn judge_known(&mut self, head: &Head, enough: u8, entries: u64) -> Verdict {
        self.learned.looked_at(head.note, head.frequency > 0, entries);
        if head.frequency >= enough {
            let place = Place { queue: Queue::Main, note: KNOWN };
            return Verdict::Keep { place, frequency: head.frequency - enough };
        }
        Verdict::Evict
    }

    /// Moves the share towards the queue that was too small to keep the entry a little longer.
    fn move_share(&mut self, [small, main]: [Option<u32>; 2], step: f64) {
        if small.is_some_and(|age| age <= SOON) {
            self.share += step;
        } else if main.is_some() {
            self.share -= STEP_BACK * step;
        }
        self.share = self.share.clamp(SHARE_LEAST, SHARE_MOST);
    }

    /// Takes the size of a new entry into the mean.
    fn weigh(&mut self, bytes: u64) {
        self.additions = self.additions.saturating_add(1);
        self.mean += (bytes as f64 - self.mean) / (self.additions as f64).min(MEAN_OF);
        // Entries of no bytes at all are conceivable; nothing is to be divided by them.
        self.mean = self.mean.max(1.0);
    }

    /// Returns how often an entry of this size has to be read to stay.
    fn enough(&self, bytes: u64) -> u8 {
        let times = bytes as f64 / self.mean.max(1.0);
        1 + u8::from(times > LARGE) + u8::from(times > HUGE)
    }
}
