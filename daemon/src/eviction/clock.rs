//! LRU and LFU as far as marks can tell: queues that go round.

use super::place::{Head, Note, Place, Queue};
use super::plan::Verdict;

/// Reads are counted up to here.
pub(super) const MOST_READS: u8 = 15;

/// Keeps what was read since the last look, for another round.
pub(super) fn judge_recent(head: &Head) -> Verdict {
    if head.frequency > 0 { again(Note::default()) } else { Verdict::Evict }
}

/// Counts reads in the note, and forgets one at each look.
pub(super) fn judge_frequent(head: &Head) -> Verdict {
    let reads = head.note.to_bits().saturating_add(head.frequency).min(MOST_READS);
    reads.checked_sub(1).map_or(Verdict::Evict, |left| again(Note(left)))
}

fn again(note: Note) -> Verdict {
    Verdict::Keep { place: Place { queue: Queue::Main, note }, frequency: 0 }
}
