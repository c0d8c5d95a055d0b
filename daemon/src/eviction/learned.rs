//! What becomes of entries that were let into the main queue, by what let them in.

use super::chance::Chance;
use super::ghost::LAP;
use super::place::Note;
use super::tally::Tally;

/// What an entry was let in for. Kept as its note, until it was looked at in the main queue for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It came back after so many ticks.
    Return(u32),
    /// It was read so often in the small queue, once to three times.
    Read(u8),
}

/// Returns that were not later than so many ticks are of one kind.
const AGES: [u32; 7] = [LAP / 8, LAP / 4, LAP / 2, LAP / 4 * 3, LAP, LAP / 2 * 3, LAP * 2];
/// Kinds of reasons: ages, and frequencies.
pub(super) const KINDS: usize = AGES.len() + 3;

/// The note of an entry that nothing is to be learned from.
pub(super) const KNOWN: Note = Note(0);

/// Reasons have to be as good as this share of the main queue.
const GOOD: f64 = 0.6;
/// Once in so many times a bad reason is tried again.
const TRIED_AGAIN: u32 = 16;

/// How many of the entries that a reason let in were read there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Learned {
    /// By the kind of the reason.
    pub(super) kinds: [Tally; KINDS],
    /// Of all that the main queue looks at.
    pub(super) all: Tally,
}

impl Reason {
    /// Returns the note to keep with the entry's place.
    pub(super) fn note(self) -> Note {
        Note(self.kind() as u8 + 1)
    }

    fn kind(self) -> usize {
        match self {
            Self::Return(age) => AGES.partition_point(|upto| *upto < age).min(AGES.len() - 1),
            Self::Read(times) => AGES.len() + usize::from(times.clamp(1, 3)) - 1,
        }
    }
}

impl Learned {
    /// Tells whether the reason is good enough to let an entry in.
    pub(super) fn accepts(&self, reason: Reason, chance: &mut Chance) -> bool {
        self.kinds[reason.kind()].hope() >= GOOD * self.all.share() || chance.one_in(TRIED_AGAIN)
    }

    /// Notes whether an entry with this note was read by the time that the main queue looked at it.
    pub(super) fn looked_at(&mut self, note: Note, read: bool, entries: u64) {
        self.all.count(read, entries);
        if let Some(kind) = usize::from(note.0).checked_sub(1).and_then(|kind| self.kinds.get_mut(kind)) {
            kind.count(read, entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_apart_by_age_and_by_frequency() {
        let ages = [0, LAP / 8, LAP / 8 + 1, LAP, LAP * 2, u32::MAX].map(|age| Reason::Return(age).kind());
        assert_eq!(ages, [0, 0, 1, 4, 6, 6]);
        assert_eq!([0, 1, 2, 3, 9].map(|times| Reason::Read(times).kind()), [7, 7, 8, 9, 9]);
        assert!((0..=LAP * 2).all(|age| Reason::Return(age).note() != KNOWN));
    }

    /// As when a loop that is longer than the store's memory comes by.
    #[test]
    fn a_reason_that_lets_in_what_is_never_read_is_seldom_accepted() {
        let (mut learned, mut chance) = (Learned::default(), Chance::new());
        assert!(learned.accepts(Reason::Return(9), &mut chance), "nothing is known of it");
        for _ in 0..100 {
            learned.looked_at(Reason::Return(9).note(), false, 100);
            learned.looked_at(KNOWN, true, 100);
        }
        let accepted = (0..1600).filter(|_| learned.accepts(Reason::Return(9), &mut chance)).count();
        assert!((50..150).contains(&accepted), "{accepted}");
        assert!((0..100).all(|_| learned.accepts(Reason::Return(LAP), &mut chance)), "another age is another reason");
    }

    #[test]
    fn a_reason_that_has_become_good_is_accepted_again() {
        let (mut learned, mut chance) = (Learned::default(), Chance::new());
        (0..500).for_each(|_| learned.looked_at(Reason::Read(1).note(), false, 50));
        (0..500).for_each(|_| learned.looked_at(Reason::Read(1).note(), true, 50));
        assert!((0..100).all(|_| learned.accepts(Reason::Read(1), &mut chance)));
    }

    #[test]
    fn a_note_that_no_build_writes_teaches_nothing() {
        let mut learned = Learned::default();
        learned.looked_at(Note(200), true, 50);
        assert_eq!(learned.kinds, Learned::default().kinds);
    }
}
