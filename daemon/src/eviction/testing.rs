//! Entries and queues for the tests of the policy: what an owner has, and what it does with a plan.

use std::collections::{BTreeMap, VecDeque};

use datacache_proto::recent::KeyHash;

use super::evictor::Evictor;
use super::place::{Head, Note, Queue, State};
use super::plan::{Plan, Verdict};
use super::policy::Policy;
use super::volume::Volume;

/// An entry, as the tests know it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Tells it from an earlier one of the same key.
    pub(super) version: u64,
    pub(super) bytes: u64,
    pub(super) reads: u8,
    pub(super) held: bool,
}

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) key: u64,
    pub(super) version: u64,
    pub(super) placed: u64,
    pub(super) note: Note,
}

/// Entries, their queues, and the policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owner {
    pub(super) evictor: Evictor,
    pub(super) entries: BTreeMap<u64, Entry>,
    pub(super) small: VecDeque<Standing>,
    pub(super) main: VecDeque<Standing>,
    versions: u64,
}

impl Owner {
    pub(super) fn new(policy: Policy) -> Self {
        let (small, main) = (VecDeque::new(), VecDeque::new());
        Self { evictor: Evictor::new(policy), entries: BTreeMap::new(), small, main, versions: 0 }
    }

    /// Adds entries of one byte each, without ever evicting.
    pub(super) fn fill(&mut self, keys: impl IntoIterator<Item = u64>) {
        keys.into_iter().for_each(|key| self.add(key, 1));
    }

    /// Adds an entry, or replaces its value.
    pub(super) fn add(&mut self, key: u64, bytes: u64) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.bytes = bytes;
            return;
        }
        let place = self.evictor.add(hash(key), bytes);
        self.versions += 1;
        let version = self.versions;
        self.entries.insert(key, Entry { version, bytes, reads: 0, held: false });
        self.queue(place.queue).push_back(Standing { key, version, placed: bytes, note: place.note });
    }

    /// Reads an entry so often; `false` where it is missing.
    pub(super) fn read(&mut self, key: u64, times: u8) -> bool {
        let entry = self.entries.get_mut(&key);
        entry.map(|entry| entry.reads = (entry.reads + times).min(3)).is_some()
    }

    /// Reads an entry, and adds it where it is missing: in a cache of so many bytes.
    pub(super) fn ask_for(&mut self, key: u64, bytes: u64, limit: u64) -> bool {
        let hit = self.read(key, 1);
        if !hit {
            self.add(key, bytes);
            self.keep_to(Volume { bytes: limit, entries: u64::MAX });
        }
        hit
    }

    /// Evicts until no more is there than that, or nothing more can go.
    pub(super) fn keep_to(&mut self, limit: Volume) -> Plan {
        let mut plan = self.evict(self.total().less(limit), 8);
        while plan.ending == super::Ending::Slice {
            plan = self.evict(self.total().less(limit), 8);
        }
        plan
    }

    /// Evicts so much, in one slice.
    pub(super) fn evict(&mut self, excess: Volume, most: usize) -> Plan {
        let mut taken = Vec::new();
        let Self { evictor, entries, small, main, .. } = self;
        let plan = evictor.plan(excess, most, |queue| {
            let standing = match queue {
                Queue::Small => small.pop_front(),
                Queue::Main => main.pop_front(),
            }?;
            let head = look_at(&standing, entries.get(&standing.key));
            taken.push(standing);
            Some(head)
        });
        assert_eq!(taken.len(), plan.steps.len(), "each place that was taken has a step");
        for (standing, (_, verdict)) in taken.into_iter().zip(&plan.steps) {
            self.carry_out(standing, *verdict);
        }
        plan
    }

    fn carry_out(&mut self, standing: Standing, verdict: Verdict) {
        match verdict {
            Verdict::Evict => {
                let evicted = self.entries.remove(&standing.key).expect("what is evicted is there");
                assert!(!evicted.held && evicted.version == standing.version, "{evicted:?}");
            }
            Verdict::Keep { place, frequency } => {
                let entry = self.entries.get_mut(&standing.key).expect("what is kept is there");
                entry.reads = frequency;
                let placed = entry.bytes;
                self.queue(place.queue).push_back(Standing { placed, note: place.note, ..standing });
            }
            Verdict::Pass => assert!(self.entries[&standing.key].held, "{standing:?} is not held"),
            Verdict::Drop => assert!(!self.stands(&standing), "{standing:?} is there"),
        }
    }

    /// Lets an entry go that was held.
    pub(super) fn let_go(&mut self, key: u64) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.held) else { return };
        self.versions += 1;
        (entry.held, entry.version) = (false, self.versions);
        let (version, placed) = (entry.version, entry.bytes);
        let place = self.evictor.add(hash(key), placed);
        self.queue(place.queue).push_back(Standing { key, version, placed, note: place.note });
    }

    /// Lets all go that is held.
    pub(super) fn let_all_go(&mut self) {
        let keys: Vec<_> = self.entries.keys().copied().collect();
        keys.into_iter().for_each(|key| self.let_go(key));
    }

    /// Tells whether the entry has this place, and not a later one.
    pub(super) fn stands(&self, standing: &Standing) -> bool {
        self.entries.get(&standing.key).is_some_and(|entry| entry.version == standing.version)
    }

    pub(super) fn total(&self) -> Volume {
        let bytes = self.entries.values().map(|entry| entry.bytes).sum();
        Volume { bytes, entries: self.entries.len() as u64 }
    }

    /// Returns the keys that stand in a queue, the first one first.
    pub(super) fn keys(&self, queue: Queue) -> Vec<u64> {
        let standing = match queue {
            Queue::Small => &self.small,
            Queue::Main => &self.main,
        };
        standing.iter().filter(|standing| self.stands(standing)).map(|standing| standing.key).collect()
    }

    fn queue(&mut self, queue: Queue) -> &mut VecDeque<Standing> {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }
}

pub(super) fn hash(key: u64) -> KeyHash {
    KeyHash::of(1, &key.to_le_bytes())
}

fn look_at(standing: &Standing, entry: Option<&Entry>) -> Head {
    let there = entry.filter(|entry| entry.version == standing.version);
    let state = there.map_or(State::Gone, |entry| if entry.held { State::Held } else { State::Free });
    Head {
        hash: hash(standing.key),
        note: standing.note,
        placed: standing.placed,
        bytes: there.map_or(0, |entry| entry.bytes),
        frequency: there.map_or(0, |entry| entry.reads),
        state,
    }
}
