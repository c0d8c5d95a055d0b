//! How what came of a batch is kept. A reply is written twice and stays in memory, and a batch has up to thousands of
//! outcomes: those of one kind take a bit each, and their versions, which follow one another, next to nothing.
//!
//! Plain replies are a list of outcomes and begin with its length. Packed ones begin with a 0, and something follows.

use datacache_proto::types::Added;
use serde::{Deserialize, Serialize};

use super::command::Outcome;

const PACKED: u8 = 0;

/// Outcomes of one kind.
#[derive(Debug, Serialize, Deserialize)]
struct Packed {
    kind: Kind,
    count: u32,
    /// What each says, a bit each, lowest first.
    answers: Vec<u8>,
    /// Of additions: by how much each version lies behind the one before, from 0 on, and how often in a row.
    steps: Vec<(i64, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Added,
    Deleted,
}

/// Writes what came of a batch.
pub(super) fn encode(outcomes: &[Outcome]) -> Vec<u8> {
    let encoded = match Packed::of(outcomes) {
        Some(packed) => postcard::to_extend(&packed, vec![PACKED]),
        None => postcard::to_stdvec(outcomes),
    };
    encoded.expect("outcomes are plain data, and memory is the only limit")
}

/// Reads it again; `None` where it is no reply.
pub(super) fn decode(reply: &[u8]) -> Option<Vec<Outcome>> {
    match reply {
        [PACKED, packed @ ..] if !packed.is_empty() => postcard::from_bytes::<Packed>(packed).ok()?.unpack(),
        plain => postcard::from_bytes(plain).ok(),
    }
}

impl Packed {
    fn of(outcomes: &[Outcome]) -> Option<Self> {
        let (kind, _, _) = parts(outcomes.first()?)?;
        if outcomes.len() == 1 || outcomes.iter().any(|outcome| parts(outcome).is_none_or(|(other, ..)| other != kind))
        {
            return None;
        }
        let count = u32::try_from(outcomes.len()).ok()?;
        let mut packed = Self { kind, count, answers: vec![0; outcomes.len().div_ceil(8)], steps: Vec::new() };
        let mut before = 0;
        for (index, (_, answer, version)) in outcomes.iter().filter_map(parts).enumerate() {
            packed.answers[index / 8] |= u8::from(answer) << (index % 8);
            if kind == Kind::Added {
                packed.step(version.wrapping_sub(before).cast_signed());
                before = version;
            }
        }
        Some(packed)
    }

    fn step(&mut self, step: i64) {
        match self.steps.last_mut() {
            Some((last, times)) if *last == step => *times += 1,
            _ => self.steps.push((step, 1)),
        }
    }

    fn unpack(self) -> Option<Vec<Outcome>> {
        let count = usize::try_from(self.count).ok()?;
        if count > self.answers.len() * 8 {
            return None;
        }
        let answer = |index: usize| self.answers[index / 8] >> (index % 8) & 1 == 1;
        match self.kind {
            Kind::Deleted => Some((0..count).map(|index| Outcome::Deleted(answer(index))).collect()),
            Kind::Added => {
                let mut version = 0_u64;
                let steps = self.steps.iter().flat_map(|&(step, times)| (0..times).map(move |_| step));
                let added = steps.take(count).enumerate().map(|(index, step)| {
                    version = version.wrapping_add(step.cast_unsigned());
                    Outcome::Added(Added { version, replaced: answer(index) })
                });
                Some(added.collect::<Vec<_>>()).filter(|all| all.len() == count)
            }
        }
    }
}

/// Takes an outcome apart that can be packed: what it says, and a version where it has one.
fn parts(outcome: &Outcome) -> Option<(Kind, bool, u64)> {
    match outcome {
        Outcome::Added(Added { version, replaced }) => Some((Kind::Added, *replaced, *version)),
        Outcome::Deleted(deleted) => Some((Kind::Deleted, *deleted, 0)),
        Outcome::Touched(_) | Outcome::Released(_) | Outcome::Verified | Outcome::Evicted(_) | Outcome::Kept(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::types::BATCH_MAX;

    fn added(version: u64, replaced: bool) -> Outcome {
        Outcome::Added(Added { version, replaced })
    }

    #[test]
    fn what_was_kept_comes_back() {
        let mixed = vec![
            Outcome::Deleted(true),
            Outcome::Touched(false),
            added(9, true),
            Outcome::Verified,
            Outcome::Kept(true),
        ];
        let deleted = (0..19).map(|index| Outcome::Deleted(index % 3 == 0)).collect();
        let versions = [7, 8, 9, 4, 4, u64::MAX, 0, 10];
        let added = versions.iter().map(|version| added(*version, version % 2 == 0)).collect();
        for outcomes in [vec![], vec![Outcome::Deleted(false)], mixed, deleted, added] {
            assert_eq!(decode(&encode(&outcomes)), Some(outcomes));
        }
    }

    #[test]
    fn a_reply_of_a_daemon_that_did_not_pack_is_understood() {
        let outcomes = vec![Outcome::Deleted(true); 300];
        assert_eq!(decode(&postcard::to_stdvec(&outcomes).unwrap()), Some(outcomes));
        assert_eq!(decode(&postcard::to_stdvec::<Vec<Outcome>>(&vec![]).unwrap()), Some(vec![]));
    }

    #[test]
    fn the_largest_batch_takes_little_more_than_a_bit_for_each() {
        let outcomes: Vec<_> = (0..BATCH_MAX as u64).map(|number| added(1 << 40 | number, number % 2 == 0)).collect();
        assert!(encode(&outcomes).len() < BATCH_MAX / 8 + 64);
    }

    #[test]
    fn damaged_replies_are_none() {
        let packed = |count, answers, steps| {
            let packed = Packed { kind: Kind::Added, count, answers, steps };
            postcard::to_extend(&packed, vec![PACKED]).unwrap()
        };
        assert_eq!(decode(&packed(9, vec![0], vec![(1, 9)])), None);
        assert_eq!(decode(&packed(8, vec![0], vec![(1, 7)])), None);
        assert_eq!(decode(&packed(2, vec![0], vec![(1, u32::MAX)])), Some(vec![added(1, false), added(2, false)]));
        assert_eq!(decode(&[PACKED, 0xff]), None);
        assert_eq!(decode(b""), None);
    }
}
