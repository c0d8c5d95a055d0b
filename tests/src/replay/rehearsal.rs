//! A cache without daemon, store or values: the policy, the marks, and its queues in memory. What reads do, it does by the same marks.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;

use datacache_daemon::eviction::{Ending, Evictor, Head, Note, Policy, Queue, State, Verdict, Volume};
use datacache_proto::access::{Access, WORDS};
use datacache_proto::recent::KeyHash;

use super::outcome::Outcome;
use super::trace::Trace;

/// The namespace of all keys.
const NAMESPACE: u32 = 1;
/// How many places are looked at in one go.
const SLICE: usize = 256;

/// Asks for what the trace asks for, adds what is missing, and keeps `entries` at most, each of the same size.
pub fn rehearse(trace: &Trace, policy: Policy, entries: u64) -> Outcome {
    let words: Vec<_> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
    let access = Access::new(&words).expect("there are as many words as there have to be");
    access.spread_over(entries);
    let mut rehearsal = Rehearsal::new(trace, policy, entries, access);
    let mut outcome = Outcome::default();
    for id in &trace.requests {
        outcome.count(rehearsal.ask_for(*id));
    }
    outcome
}

/// The cache.
struct Rehearsal<'a> {
    evictor: Evictor,
    access: Access<'a>,
    limit: u64,
    hashes: Vec<KeyHash>,
    /// By id, whether its entry is there.
    present: Vec<bool>,
    held: u64,
    small: VecDeque<(u32, Note)>,
    main: VecDeque<(u32, Note)>,
}

impl<'a> Rehearsal<'a> {
    fn new(trace: &Trace, policy: Policy, limit: u64, access: Access<'a>) -> Self {
        Self {
            evictor: Evictor::new(policy),
            access,
            limit,
            hashes: trace.ids.iter().map(|id| KeyHash::of(NAMESPACE, id)).collect(),
            present: vec![false; trace.ids.len()],
            held: 0,
            small: VecDeque::new(),
            main: VecDeque::new(),
        }
    }

    /// Tells whether the entry is there. Adds it if not, where there is room to be had.
    fn ask_for(&mut self, id: u32) -> bool {
        let hash = self.hashes[id as usize];
        if self.present[id as usize] {
            self.access.mark(hash);
            return true;
        }
        if self.make_room() {
            let place = self.evictor.add(hash, 1);
            self.queue(place.queue).push_back((id, place.note));
            self.present[id as usize] = true;
            self.held += 1;
        }
        false
    }

    /// Evicts until another entry has room; `false` where the policy gives none.
    fn make_room(&mut self) -> bool {
        while self.held >= self.limit {
            let excess = Volume::one(1);
            let mut taken = VecDeque::new();
            let Self { evictor, access, hashes, small, main, .. } = self;
            let plan = evictor.plan(excess, SLICE, |queue| {
                let (id, note) = match queue {
                    Queue::Small => small.pop_front(),
                    Queue::Main => main.pop_front(),
                }?;
                taken.push_back(id);
                let (hash, state) = (hashes[id as usize], State::Free);
                Some(Head { hash, note, placed: 1, bytes: 1, frequency: access.frequency(hash), state })
            });
            for (_, verdict) in plan.steps {
                let id = taken.pop_front().expect("each step is about a place that was taken");
                self.carry_out(id, verdict);
            }
            if plan.ending == Ending::Nothing {
                return false;
            }
        }
        true
    }

    fn carry_out(&mut self, id: u32, verdict: Verdict) {
        let hash = self.hashes[id as usize];
        match verdict {
            Verdict::Keep { place, frequency } => {
                self.access.lower(hash, frequency);
                self.queue(place.queue).push_back((id, place.note));
            }
            Verdict::Pass => unreachable!("nothing is held"),
            Verdict::Evict | Verdict::Drop => {
                self.access.lower(hash, 0);
                self.present[id as usize] = false;
                self.held -= 1;
            }
        }
    }

    fn queue(&mut self, queue: Queue) -> &mut VecDeque<(u32, Note)> {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }
}
