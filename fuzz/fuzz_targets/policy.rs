//! The saved state of an eviction, and what comes of going on with it. The first byte tells whether magic, version and checksum
//! are made right, the second how many of the last bytes are what happens afterwards.

#![no_main]

use std::collections::VecDeque;

use datacache_daemon::eviction::{Evictor, Head, Policy, Queue, State, Verdict, Volume};
use datacache_proto::recent::KeyHash;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC_AND_VERSION: usize = 16;
const CHECKSUM: usize = 8;
/// Those that evict anything.
const POLICIES: [Policy; 4] = [Policy::S3Fifo, Policy::Lru, Policy::Lfu, Policy::Fifo];
/// How many places a slice looks at.
const SLICE: usize = 8;
/// How often an entry is looked at before it goes, at the most: `lfu` counts to 15, and each queue's sums may be wrong once.
const LOOKS: usize = 20;

fuzz_target!(|bytes: &[u8]| {
    let [how, steps, state @ ..] = bytes else { return };
    let (state, steps) = state.split_at(state.len().saturating_sub(usize::from(*steps)));
    let mut state = state.to_vec();
    if how & 1 == 1 {
        make_right(&mut state);
    }
    let Ok(evictor) = Evictor::load(&state) else { return };
    let saved = evictor.save();
    assert_eq!(Evictor::load(&saved).as_ref(), Ok(&evictor), "what is saved is what was loaded");
    Owner { evictor, small: VecDeque::new(), main: VecDeque::new() }.go_on(steps);
});

fn make_right(state: &mut [u8]) {
    let Some(end) = state.len().checked_sub(CHECKSUM).filter(|end| *end >= MAGIC_AND_VERSION) else { return };
    let fresh = Evictor::new(Policy::default()).save();
    state[..MAGIC_AND_VERSION].copy_from_slice(&fresh[..MAGIC_AND_VERSION]);
    let checksum = xxh3_64(&state[..end]);
    state[end..].copy_from_slice(&checksum.to_le_bytes());
}

/// Whoever keeps the queues.
struct Owner {
    evictor: Evictor,
    small: VecDeque<Head>,
    main: VecDeque<Head>,
}

impl Owner {
    /// Adds and evicts as the steps say. Whatever the sums of the state say, no plan looks at more places than it may, and in the end
    /// all that stands in the queues can be evicted.
    fn go_on(&mut self, steps: &[u8]) {
        for (number, step) in steps.iter().enumerate() {
            match step & 3 {
                0 => self.evictor.follow(POLICIES[usize::from(*step) / 4 % POLICIES.len()]),
                1 => self.evict(Volume::one(u64::from(*step))),
                _ => self.add(number, *step),
            }
        }
        self.evictor.follow(POLICIES[steps.len() % POLICIES.len()]);
        for _ in 0..LOOKS * (self.len() + 2) {
            self.evict(Volume { bytes: u64::MAX, entries: u64::MAX });
        }
        assert_eq!(self.len(), 0, "what may go went");
    }

    fn len(&self) -> usize {
        self.small.len() + self.main.len()
    }

    fn add(&mut self, number: usize, step: u8) {
        let (hash, bytes) = (KeyHash::of(1, &number.to_le_bytes()), u64::from(step) << (step % 60));
        let place = self.evictor.add(hash, bytes);
        let head = Head { hash, note: place.note, placed: bytes, bytes, frequency: step >> 6, state: State::Free };
        self.queue(place.queue).push_back(head);
    }

    fn evict(&mut self, excess: Volume) {
        let mut taken = VecDeque::new();
        let Self { evictor, small, main, .. } = self;
        let plan = evictor.plan(excess, SLICE, |queue| {
            let head = match queue {
                Queue::Small => small.pop_front(),
                Queue::Main => main.pop_front(),
            }?;
            taken.push_back(head);
            Some(head)
        });
        assert!(plan.steps.len() <= SLICE && plan.steps.len() == taken.len());
        for (head, (_, verdict)) in taken.into_iter().zip(plan.steps) {
            if let Verdict::Keep { place, frequency } = verdict {
                assert!(frequency <= head.frequency, "reads are used up");
                self.queue(place.queue).push_back(Head { note: place.note, frequency, ..head });
            }
        }
    }

    fn queue(&mut self, queue: Queue) -> &mut VecDeque<Head> {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }
}
