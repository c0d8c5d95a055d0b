//! The way out of entries whose values are lost: looked for once the index has all of them, and removed a slice in a turn, for a value
//! may be named by very many.

use std::collections::VecDeque;
use std::fs::File;

use datacache_proto::time::Timestamp;
use datacache_proto::types::Digest;
use tracing::warn;

use super::command::{Batch, Command};
use super::damage::Lost;
use super::store::Store;
use super::verifier::BlobJob;

/// A blob that is damaged or gone, and whose entries are to be looked for.
#[derive(Debug)]
pub(super) struct Damaged {
    /// The sequence number that must be applied before.
    pub(super) target: u64,
    pub(super) digest: Digest,
    /// The number of its loss.
    pub(super) loss: u64,
    /// What was found in its place, open so that no other file gets its number.
    pub(super) file: Option<File>,
}

/// Entries that are to be removed.
#[derive(Debug, Default)]
pub(super) struct Condemned {
    /// What each look has found.
    looks: VecDeque<Look>,
    /// Whether the next slice has to wait for a segment.
    is_waiting: bool,
}

/// What a look for the entries of lost blobs has found.
#[derive(Debug)]
struct Look {
    lost: Lost,
    deletes: VecDeque<Command>,
}

impl Condemned {
    /// Takes in what a look has found.
    pub(super) fn push(&mut self, lost: Lost, deletes: Vec<Command>) {
        self.looks.push_back(Look { lost, deletes: deletes.into() });
    }

    /// Tells whether there is a slice that waits for nothing.
    pub(super) fn can_go_on(&self) -> bool {
        !self.looks.is_empty() && !self.is_waiting
    }
}

impl Store {
    /// The entries of damaged blobs are looked for in the index, once that has everything that may name them.
    pub(super) fn condemn_damaged(&mut self) -> bool {
        let applied = self.applied;
        let ready: Vec<_> = self.damaged.extract_if(.., |damaged| damaged.target <= applied).collect();
        let mut lost = Lost::new();
        for &Damaged { ref digest, loss, ref file, .. } in &ready {
            if self.blobs.is_replaced(digest, file.as_ref()) {
                // Somebody has added the right content meanwhile, and it is good for every entry that names it.
                self.damage.forget(digest, loss);
            } else if self.damage.is_still_lost(digest, loss) {
                lost.insert(*digest, loss);
            }
        }
        if !lost.is_empty() {
            // All at once: each look is at every record.
            self.verifier.send(BlobJob::Condemn { lost, index: self.reader() });
        }
        !ready.is_empty()
    }

    /// Removes a slice of the entries that were found, as a frame; tells whether it did. Where there are more, the next turn comes soon.
    pub(super) fn remove_condemned(&mut self, now: Timestamp) -> bool {
        if !self.has_room_for_bulk() {
            return false;
        }
        let Some(mut look) = self.condemned.looks.pop_front() else { return false };
        self.condemned.is_waiting = !self.remove_slice(&mut look.deletes, now);
        if look.deletes.is_empty() {
            self.forget_lost(&look.lost);
        } else {
            self.condemned.looks.push_front(look);
        }
        if self.condemned.can_go_on() {
            (self.options.wake)();
        }
        !self.condemned.is_waiting
    }

    /// Does the first of these deletes; `false` where that has to wait for a segment. Where they can't be written nothing is left of them:
    /// whoever reads such an entry finds that its value is gone, and has it removed.
    fn remove_slice(&mut self, deletes: &mut VecDeque<Command>, now: Timestamp) -> bool {
        if deletes.is_empty() {
            return true;
        }
        let slice = deletes.drain(..Batch::slice_of(&*deletes)).collect();
        let (mut batches, mut results) = (VecDeque::from([Batch::all(slice, None)]), Vec::new());
        self.write(&mut batches, now, &mut results);
        if let Some(Err(error)) = results.pop() {
            warn!(error = &error as &dyn std::error::Error, "entries whose values are gone can't be removed");
            deletes.clear();
        }
        let left: Vec<_> = batches.into_iter().flat_map(|batch| batch.commands).collect();
        let is_done = left.is_empty();
        left.into_iter().rev().for_each(|delete| deletes.push_front(delete));
        is_done
    }
}
