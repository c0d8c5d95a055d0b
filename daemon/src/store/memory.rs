//! What the writer knows by heart: counters, names of namespaces, leases, replies. It is changed while a frame is being
//! decided on, and a journal takes the changes back when the frame, or a batch of it, comes to nothing.

use std::collections::BTreeMap;

use datacache_proto::layout::DIRECTORY_NAMESPACE;
use datacache_proto::types::{CallId, Digest};

use super::command::{Holder, Outcome};
use super::counts::{BLOBS_COUNTED, Change, Counts};
use super::leases::Leases;
use super::leaving::Leaving;
use super::outcomes;
use super::references::{References, Turned};
use super::replies::Replies;

/// The writer's memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    names: BTreeMap<String, u32>,
    counts: BTreeMap<u32, Counted>,
    /// What all namespaces hold.
    total: Counts,
    /// What the blobs of all records take that were added since the store was opened, less those of records that went. See [`Memory::rows`].
    referred: i64,
    leases: Leases,
    references: References,
    leaving: Leaving,
    replies: Replies,
    journal: Vec<Undo>,
    /// How long the journal was at the last mark: what is older can be taken back apart from what comes now.
    marked: usize,
}

/// What a namespace holds.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    all: Counts,
    /// What the active segment added to it: the rest is what the index must say once the others are applied.
    active: Change,
}

/// How to take one change back.
#[derive(Debug)]
enum Undo {
    Count {
        namespace: u32,
        change: Change,
    },
    Name(String),
    Taken {
        version: u64,
        holder: Holder,
    },
    GivenBack {
        version: u64,
        namespace: u32,
        key: Vec<u8>,
        holder: Holder,
    },
    Reply {
        client: u64,
    },
    /// `left` is what the blob took where it was about to go.
    Reference {
        digest: Digest,
        change: i64,
        blob: Counts,
        left: Option<u64>,
    },
}

/// A point in the journal to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(usize);

impl Memory {
    /// Returns the number of a namespace.
    pub(super) fn namespace(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// Returns every namespace, by name.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = (&str, u32)> {
        self.names.iter().map(|(name, &number)| (name.as_str(), number))
    }

    /// Returns the number that the next new namespace gets.
    pub(super) fn next_namespace(&self) -> u32 {
        self.names.values().max().map_or(DIRECTORY_NAMESPACE + 1, |last| last + 1)
    }

    /// Returns what a namespace holds.
    pub(super) fn counts(&self, namespace: u32) -> Counts {
        self.counts.get(&namespace).copied().unwrap_or_default().all
    }

    /// Returns what all namespaces hold together.
    pub(super) fn total(&self) -> Counts {
        self.total
    }

    /// Returns how many bytes of rows there are, from a beginning of its own in each life of the store: only how it changes
    /// means anything.
    pub(super) fn rows(&self) -> i64 {
        i64::try_from(self.total.charge).unwrap_or(i64::MAX).saturating_sub(self.referred)
    }

    /// Returns the files that nothing names any more.
    pub(super) fn leaving(&self) -> &Leaving {
        &self.leaving
    }

    pub(super) fn leaving_mut(&mut self) -> &mut Leaving {
        &mut self.leaving
    }

    pub(super) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Returns what came of a call, if it was done.
    pub(super) fn reply(&self, call: CallId) -> Option<Vec<Outcome>> {
        self.replies.find(call)
    }

    /// Takes in what the index knows.
    pub(super) fn load(&mut self, names: Vec<(String, u32)>, counts: Vec<(u32, Counts)>) {
        self.names.extend(names);
        for (_, all) in counts.iter().filter(|(number, _)| *number != BLOBS_COUNTED) {
            self.total.change(Change::more(*all));
        }
        self.counts
            .extend(counts.into_iter().map(|(namespace, all)| (namespace, Counted { all, active: Change::default() })));
    }

    /// Takes in a lease that the index knows.
    pub(super) fn load_lease(&mut self, version: u64, namespace: u32, key: &[u8], holder: Holder) {
        self.leases.take(version, namespace, key, holder);
    }

    pub(super) fn replies_mut(&mut self) -> &mut Replies {
        &mut self.replies
    }

    pub(super) fn count(&mut self, namespace: u32, change: Change) {
        self.change(namespace, change);
        // The commands of a large batch come one after the other here, and are taken back together.
        match self.journal[self.marked..].last_mut() {
            Some(Undo::Count { namespace: last, change: sum }) if *last == namespace => *sum = *sum + change,
            _ => self.journal.push(Undo::Count { namespace, change }),
        }
    }

    /// Takes in that the index had counted wrongly.
    pub(super) fn correct(&mut self, namespace: u32, change: Change) {
        self.counts.entry(namespace).or_default().all.change(change);
        self.sum(namespace, change);
    }

    fn sum(&mut self, namespace: u32, change: Change) {
        if namespace != BLOBS_COUNTED {
            self.total.change(change);
        }
    }

    fn change(&mut self, namespace: u32, change: Change) {
        let counted = self.counts.entry(namespace).or_default();
        counted.all.change(change);
        counted.active = counted.active + change;
        self.sum(namespace, change);
    }

    pub(super) fn name(&mut self, name: &str, number: u32) {
        self.names.insert(name.to_owned(), number);
        self.journal.push(Undo::Name(name.to_owned()));
    }

    /// Returns the number of blobs, the sum of their lengths, and what their files take.
    pub(super) fn blobs(&self) -> Counts {
        self.counts(BLOBS_COUNTED)
    }

    /// Tells whether [`Memory::learn_references`] must be called before [`Memory::refer`].
    pub(super) fn is_unknown_blob(&self, digest: &Digest) -> bool {
        self.references.is_unknown(digest)
    }

    /// Takes in how many records of the index name a blob.
    pub(super) fn learn_references(&mut self, digest: Digest, references: u64) {
        self.references.learn(digest, references);
    }

    /// Counts references to a blob in or out, which itself counts for `blob`.
    pub(super) fn refer(&mut self, digest: Digest, change: i64, blob: Counts) {
        let turned = self.references.change(digest, change);
        self.referred += change * signed(blob.charge);
        let left = if turned == Turned::Born { self.leaving.end(&digest) } else { None };
        self.journal.push(Undo::Reference { digest, change, blob, left });
        match turned {
            Turned::Born => self.count(BLOBS_COUNTED, Change::more(blob)),
            Turned::Gone => {
                self.leaving.begin(digest, blob.charge);
                self.count(BLOBS_COUNTED, Change::less(blob));
            }
            Turned::Same => {}
        }
    }

    /// Takes a reference that was counted in or out back.
    fn refer_back(&mut self, digest: Digest, change: i64, blob: Counts, left: Option<u64>) {
        self.referred -= change * signed(blob.charge);
        match self.references.undo(digest, change) {
            Turned::Born => drop(self.leaving.end(&digest)),
            Turned::Gone => left.into_iter().for_each(|charge| self.leaving.begin(digest, charge)),
            Turned::Same => {}
        }
    }

    /// Takes a lease; `false` where the holder has it already.
    pub(super) fn take_lease(&mut self, version: u64, namespace: u32, key: &[u8], holder: Holder) -> bool {
        let taken = self.leases.take(version, namespace, key, holder);
        if taken {
            self.journal.push(Undo::Taken { version, holder });
        }
        taken
    }

    /// Gives a lease back, see [`Leases::give_back`].
    pub(super) fn give_back_lease(&mut self, version: u64, holder: Holder) -> Option<(u32, Vec<u8>, bool)> {
        let (namespace, key, last) = self.leases.give_back(version, &holder)?;
        self.journal.push(Undo::GivenBack { version, namespace, key: key.clone(), holder });
        Some((namespace, key, last))
    }

    /// Ends all leases of a version that is no more.
    pub(super) fn drop_leases(&mut self, version: u64) {
        let Some((namespace, key, holders)) = self.leases.drop_version(version) else { return };
        for holder in holders {
            self.journal.push(Undo::GivenBack { version, namespace, key: key.clone(), holder });
        }
    }

    /// Keeps what came of a call; returns it as it is stored.
    pub(super) fn keep_reply(&mut self, call: CallId, seq: u64, outcomes: &[Outcome]) -> Vec<u8> {
        let reply = outcomes::encode(outcomes);
        self.replies.add(call, seq, &reply);
        self.journal.push(Undo::Reply { client: call.client });
        reply
    }

    /// Returns the point that [`Memory::undo`] goes back to.
    pub(super) fn mark(&mut self) -> Mark {
        self.marked = self.journal.len();
        Mark(self.marked)
    }

    /// Takes back everything since `mark`, the last change first.
    pub(super) fn undo(&mut self, mark: Mark) {
        self.marked = mark.0;
        while self.journal.len() > mark.0 {
            match self.journal.pop().expect("it is longer than the mark") {
                Undo::Count { namespace, change } => self.change(namespace, -change),
                Undo::Name(name) => drop(self.names.remove(&name)),
                Undo::Taken { version, holder } => drop(self.leases.give_back(version, &holder)),
                Undo::GivenBack { version, namespace, key, holder } => {
                    self.leases.take(version, namespace, &key, holder);
                }
                Undo::Reply { client } => self.replies.take_back(client),
                Undo::Reference { digest, change, blob, left } => self.refer_back(digest, change, blob, left),
            }
        }
    }

    /// Takes back everything that is not final.
    pub(super) fn undo_all(&mut self) {
        self.undo(Mark(0));
    }

    /// Makes everything so far final: it is in the log.
    pub(super) fn commit(&mut self) {
        self.journal.clear();
        self.marked = 0;
    }

    /// Notes that a new segment is active.
    pub(super) fn rotate(&mut self) {
        self.counts.values_mut().for_each(|counted| counted.active = Change::default());
        self.references.rotate();
    }

    /// Notes that the index has all but the active segment.
    pub(super) fn retire(&mut self) {
        self.references.retire();
    }

    /// Returns what the index must say of each namespace, and of all blobs, once it has every segment but the active one.
    pub(super) fn expected_in_index(&self) -> BTreeMap<u32, Counts> {
        let before_active = self.counts.iter().map(|(&namespace, counted)| {
            let Counted { mut all, active } = *counted;
            all.change(-active);
            (namespace, all)
        });
        before_active.filter(|(_, counts)| *counts != Counts::default()).collect()
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::process::Process;

    fn entry(bytes: u64) -> Counts {
        Counts { entries: 1, bytes, charge: 4 * bytes, held: bytes, held_entries: 1 }
    }

    #[test]
    fn what_comes_to_nothing_is_taken_back_in_full() {
        let holder = Holder { process: Process { boot: 1, pid: 2, start: 3 }, scope: 4 };
        let key = b"\x01k".to_vec();
        let mut memory = Memory::default();
        memory.name("kept", 1);
        memory.count(1, Change::more(entry(10)));
        memory.take_lease(7, 1, &key, holder);
        memory.commit();

        let mark = memory.mark();
        memory.name("new", 2);
        memory.count(1, Change::less(entry(10)));
        memory.drop_leases(7);
        memory.take_lease(8, 1, &key, holder);
        let call = CallId { client: 1, number: 1 };
        memory.keep_reply(call, 9, &[Outcome::Deleted(true)]);
        memory.undo(mark);

        assert_eq!(memory.counts(1), entry(10));
        assert_eq!((memory.namespace("kept"), memory.namespace("new")), (Some(1), None));
        assert_eq!(memory.leases().of(&holder, 9), [7]);
        assert_eq!(memory.reply(call), None);
    }

    #[test]
    fn what_a_batch_counted_stays_when_the_next_one_comes_to_nothing() {
        let mut memory = Memory::default();
        let more = Change::more(entry(10));
        memory.count(1, more);
        memory.count(1, more);
        let mark = memory.mark();
        memory.count(1, more);
        memory.count(2, more);
        memory.count(1, -more + -more);
        memory.undo(mark);
        assert_eq!([1, 2].map(|namespace| memory.counts(namespace).entries), [2, 0]);
        assert_eq!(memory.counts(1).held, 20);
        memory.undo_all();
        assert_eq!(memory.counts(1), Counts::default());
    }

    #[test]
    fn the_index_is_expected_to_lack_just_the_active_segment() {
        let mut memory = Memory::default();
        memory.count(1, Change::more(entry(20)));
        memory.rotate();
        memory.count(1, Change::more(entry(5)));
        memory.count(2, Change::more(entry(1)));
        assert_eq!(memory.expected_in_index(), BTreeMap::from([(1, entry(20))]));
    }

    #[test]
    fn a_blob_whose_last_reference_comes_back_does_not_go() {
        let (digest, blob) = (Digest([7; 32]), Counts { entries: 1, bytes: 5_000, charge: 8_192, ..Counts::default() });
        let mut memory = Memory::default();
        memory.learn_references(digest, 1);
        memory.refer(digest, -1, blob);
        memory.commit();
        assert_eq!((memory.leaving().bytes(), memory.rows()), (8_192, 8_192));
        let mark = memory.mark();
        memory.refer(digest, 1, blob);
        assert_eq!((memory.leaving().bytes(), memory.rows()), (0, 0));
        memory.undo(mark);
        assert_eq!((memory.leaving().bytes(), memory.rows()), (8_192, 8_192));
    }
}
