//! The frame that is being decided on: its bytes, a way to find what it already says about a key, and the places that it gives.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use datacache_proto::log::{FrameBuilder, Kind, Operation, SegmentHeader};
use datacache_proto::recent::KeyHash;
use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;

use super::expiring::Replaced;
use crate::eviction::Place;

/// A frame under construction, with the operations that decide what a key's readers find.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) frame: FrameBuilder,
    decided: Vec<Decided>,
    placed: Vec<Placed>,
    /// How many rows its operations put among others, see [`swelling`](super::swelling).
    scattered: u64,
    /// The newest of `decided` for each hash.
    newest: HashMap<u64, usize, BuildHasherDefault<Hashed>>,
}

/// Takes a number for its own hash: one that is a hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only the bits of a `KeyHash` are hashed");
    }
}

/// What an operation decides, as far as others than its key's readers care.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    pub(super) kind: Kind,
    pub(super) namespace: u32,
    pub(super) hash: KeyHash,
    /// The key's newest operation of those that are in the log already.
    pub(super) replaces: Option<Replaced>,
    /// When the entry ends.
    pub(super) expires: Option<Timestamp>,
    /// The blob that the record names.
    pub(super) digest: Option<Digest>,
    /// How many bytes of the index the rows of its tags take, which repeat the key.
    pub(super) rows: u64,
    /// How many rows it puts among others.
    pub(super) scattered: u64,
}

/// A place in the eviction's queues that an operation of the frame gives an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) namespace: u32,
    /// The operation's sequence number, which is the place's.
    pub(super) number: u64,
    /// The birth of the entry: the same number, where it is the first place that it is given.
    pub(super) birth: u64,
    /// Which queue it joins, and what the policy noted.
    pub(super) place: Place,
    /// What the entry takes, as its namespace pays for it.
    pub(super) charge: u64,
    /// How many bytes of the index the rows take that say so.
    pub(super) rows: u64,
    /// Where the operation begins in the frame.
    pub(super) start: u32,
}

/// An operation that decides, in the frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided {
    pub(super) decision: Decision,
    /// Where it begins in the frame.
    pub(super) start: u32,
    /// Whether a later operation of the frame is on the same key: readers never hear of this one.
    pub(super) superseded: bool,
    /// The one before with the same hash, of this or (hardly ever) of another key.
    before: Option<usize>,
}

/// A point in the frame to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    operations: usize,
    decided: usize,
    placed: usize,
    scattered: u64,
}

impl Draft {
    /// Begins a frame whose first operation has the number `first_seq`.
    pub(super) fn begin(&mut self, first_seq: u64) {
        self.frame.begin(first_seq);
        self.decided.clear();
        self.placed.clear();
        self.scattered = 0;
        self.newest.clear();
    }

    /// Appends an operation that decides what the readers of a key find; returns where it begins.
    pub(super) fn decide(&mut self, decision: Decision, key: &[u8], body: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let Decision { kind, namespace, hash, scattered, .. } = decision;
        self.scattered += scattered;
        if let Some(at) = self.newest_of(namespace, key, hash) {
            self.decided[at].superseded = true;
        }
        let start = self.frame.push(kind, namespace, key, body);
        let before = self.newest.insert(hash.to_bits(), self.decided.len());
        self.decided.push(Decided { decision, start, superseded: false, before });
        start
    }

    /// Notes that an operation that was just appended gives a place.
    pub(super) fn place(&mut self, placed: Placed) {
        self.placed.push(placed);
    }

    /// Notes that an operation that was just appended puts a row among others, and decides nothing.
    pub(super) fn scatter(&mut self) {
        self.scattered += 1;
    }

    /// Returns the places that the frame gives, in the order of their numbers.
    pub(super) fn places(&self) -> &[Placed] {
        &self.placed
    }

    /// Returns how many rows the frame's operations put among others.
    pub(super) fn scattered(&self) -> u64 {
        self.scattered
    }

    /// Returns the frame's newest operation on a key, and what of the log it replaces.
    pub(super) fn find(&self, namespace: u32, key: &[u8], hash: KeyHash) -> Option<(Operation<'_>, Option<Replaced>)> {
        let decided = self.decided[self.newest_of(namespace, key, hash)?];
        Some((self.operation(&decided), decided.decision.replaces))
    }

    fn newest_of(&self, namespace: u32, key: &[u8], hash: KeyHash) -> Option<usize> {
        let mut next = self.newest.get(&hash.to_bits()).copied();
        while let Some(at) = next {
            let operation = self.operation(&self.decided[at]);
            if operation.namespace == namespace && operation.key == key {
                return Some(at);
            }
            next = self.decided[at].before;
        }
        None
    }

    fn operation(&self, decided: &Decided) -> Operation<'_> {
        self.frame.operation(decided.start).expect("it was pushed at this place")
    }

    /// Returns the operations that decide, in their order.
    pub(super) fn decided(&self) -> &[Decided] {
        &self.decided
    }

    /// Returns the point that [`Draft::undo`] goes back to.
    pub(super) fn mark(&self) -> Mark {
        let (decided, placed) = (self.decided.len(), self.placed.len());
        Mark { operations: self.frame.operations(), decided, placed, scattered: self.scattered }
    }

    /// Takes back everything since `mark`.
    pub(super) fn undo(&mut self, mark: Mark) {
        while self.decided.len() > mark.decided {
            let last = self.decided.len() - 1;
            let decided = self.decided[last];
            match decided.before {
                Some(before) => self.newest.insert(decided.decision.hash.to_bits(), before),
                None => self.newest.remove(&decided.decision.hash.to_bits()),
            };
            let key = self.operation(&decided).key.to_vec();
            self.decided.pop();
            if let Some(at) = self.newest_of(decided.decision.namespace, &key, decided.decision.hash) {
                self.decided[at].superseded = false;
            }
        }
        self.placed.truncate(mark.placed);
        self.scattered = mark.scattered;
        self.frame.truncate(mark.operations);
    }

    /// Completes the frame for its place.
    pub(super) fn seal(&mut self, segment: &SegmentHeader, offset: u64) -> &[u8] {
        self.frame.seal(segment, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::{Note, Queue};

    fn put(draft: &mut Draft, key: &[u8], hash: u64, value: &'static [u8]) {
        let hash = KeyHash::from_bits(hash);
        let (kind, namespace) = (Kind::Put, 1);
        let decision =
            Decision { kind, namespace, hash, replaces: None, expires: None, digest: None, rows: 0, scattered: 1 };
        let number = draft.frame.next_seq();
        let start = draft.decide(decision, key, |out| out.extend_from_slice(value));
        let place = Place { queue: Queue::Small, note: Note::default() };
        draft.place(Placed { namespace, number, birth: number, place, charge: 1, rows: 1, start });
    }

    fn body(draft: &Draft, key: &[u8], hash: u64) -> Option<Vec<u8>> {
        draft.find(1, key, KeyHash::from_bits(hash)).map(|(operation, _)| operation.body.to_vec())
    }

    #[test]
    fn the_newest_operation_on_a_key_is_found_even_among_keys_of_equal_hash() {
        let mut draft = Draft::default();
        draft.begin(1);
        put(&mut draft, b"a", 7, b"1");
        put(&mut draft, b"b", 7, b"2");
        put(&mut draft, b"a", 7, b"3");
        assert_eq!(body(&draft, b"a", 7), Some(b"3".to_vec()));
        assert_eq!(body(&draft, b"b", 7), Some(b"2".to_vec()));
        assert_eq!(body(&draft, b"c", 7), None);
        assert_eq!(draft.decided().iter().map(|decided| decided.superseded).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn a_batch_that_is_taken_back_uncovers_what_was_there_before() {
        let mut draft = Draft::default();
        draft.begin(1);
        put(&mut draft, b"a", 7, b"1");
        let mark = draft.mark();
        put(&mut draft, b"a", 7, b"2");
        put(&mut draft, b"b", 8, b"3");
        draft.undo(mark);
        assert_eq!(body(&draft, b"a", 7), Some(b"1".to_vec()));
        assert_eq!(body(&draft, b"b", 8), None);
        assert_eq!((draft.decided().len(), draft.frame.operations()), (1, 1));
        assert!(!draft.decided()[0].superseded);
        assert_eq!(draft.places().iter().map(|placed| placed.number).collect::<Vec<_>>(), [1]);
    }
}
