//! What a store should have held, write by write, and how far it must be after the power was cut.

use std::collections::{BTreeMap, BTreeSet};

use datacache_proto::key::Key;
use datacache_proto::types::{Codec, Digest};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::model::map::Entry;
use crate::record::{Action, Change, Event, Mark};

/// What is to be known of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fact {
    pub(crate) codec: Codec,
    pub(crate) value: Digest,
    pub(crate) is_blob: bool,
    pub(crate) expires: Option<u64>,
    pub(crate) tags: Vec<String>,
    pub(crate) scopes: Option<Vec<u64>>,
}

impl Fact {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            codec: entry.codec,
            value: digest(&entry.value),
            is_blob: entry.is_blob,
            expires: entry.expires,
            tags: entry.tags.iter().cloned().collect(),
            scopes: entry.scopes.as_ref().map(|scopes| scopes.iter().copied().collect()),
        }
    }
}

pub(crate) fn digest(value: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(value).into())
}

/// Everything that a store holds, by namespace and key.
pub(crate) type State = BTreeMap<(String, Key), Fact>;

pub(crate) fn change(state: &mut State, changes: &[Change]) {
    for (space, key, fact) in changes {
        match fact {
            Some(fact) => drop(state.insert((space.clone(), key.clone()), fact.clone())),
            None => drop(state.remove(&(space.clone(), key.clone()))),
        }
    }
}

/// A write that came alone or as a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) changes: Vec<Change>,
    pub(crate) call: Option<u64>,
    /// Of a batch, no part is ever lost alone.
    pub(crate) whole: bool,
}

/// What a record tells of the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// What it held when the power came back.
    pub(crate) start: State,
    pub(crate) steps: Vec<Step>,
}

/// Between which writes a store must be: after `durable` of them at least, and `begun` at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) durable: usize,
    pub(crate) begun: usize,
}

impl History {
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut history = Self::default();
        for event in events {
            match &event.action {
                Action::Said(Mark::Opened(changes)) => change(&mut history.start, changes),
                Action::Said(Mark::Done { changes, call, whole }) => {
                    history.steps.push(Step { changes: changes.clone(), call: *call, whole: *whole });
                }
                _ => {}
            }
        }
        history
    }

    /// Returns the states that are allowed, each with the number of writes until then.
    pub(crate) fn allowed(&self, bounds: Bounds) -> impl Iterator<Item = (usize, Candidate)> {
        let mut candidate = Candidate { state: self.start.clone(), firm: self.start.keys().cloned().collect() };
        self.steps[..bounds.durable].iter().for_each(|step| candidate.take(step, true));
        let later = self.steps[bounds.durable..bounds.begun].iter();
        std::iter::once(None).chain(later.map(Some)).enumerate().map(move |(more, step)| {
            step.into_iter().for_each(|step| candidate.take(step, step.whole));
            (bounds.durable + more, candidate.clone())
        })
    }
}

/// A state that a store may be in, but for entries that may be lost because their blobs are.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) state: State,
    /// The entries that can't be lost: durable ones, and those of batches, which are there whole or not at all.
    pub(crate) firm: BTreeSet<(String, Key)>,
}

impl Candidate {
    fn take(&mut self, step: &Step, is_firm: bool) {
        change(&mut self.state, &step.changes);
        for (space, key, _) in &step.changes {
            let place = (space.clone(), key.clone());
            match is_firm {
                true => drop(self.firm.insert(place)),
                false => drop(self.firm.remove(&place)),
            }
        }
    }
}

impl Bounds {
    /// Takes in what was said.
    pub(crate) fn hear(&mut self, event: &Event) {
        match &event.action {
            Action::Said(Mark::Begun) => self.begun += 1,
            Action::Said(Mark::Durable(steps)) => self.durable = *steps as usize,
            _ => {}
        }
    }
}
