//! The next daemon of the same boot takes over an index to which readers are attached.
//!
//! They must not notice. So the tables, of which the last daemon may have written any part, are never trusted and
//! never reset under a view that names them: what is in the log goes to LMDB first, and then the segments are left
//! behind the way a rotation does it, by one.
//!
//! # Which number is next
//! A number is never used twice: a reader may still hold a segment of that number. In the same boot the next is the
//! view's active segment plus one. No other number is in the folder but perhaps this one, left by a daemon that died
//! between creating it and saying so, since nobody creates n+2 before the view names n+1. A jump by two would clear
//! the table that readers are looking into.
//!
//! After another boot nobody is attached and the file is made anew, with empty tables ([`begin`](super::begin)):
//! there the number may jump, and does, to one above everything ever used, be it in the old view, among the files, or
//! in what LMDB remembers, since after a power cut each of these may be behind the others. A file above n+1 in the
//! *same* boot means that somebody put together a store from parts: such a store gets a new generation.

use thiserror::Error;

use super::writer::{clear, set_view, view};
use super::{Table, View, WordsMut};

/// What a restart does besides storing words, in the order of the methods. Each may be repeated by the next daemon.
pub trait RestartSteps {
    /// Why a step failed.
    type Error;

    /// Applies everything in the log to LMDB, durably.
    ///
    /// # Errors
    /// If LMDB does not have all of it.
    fn apply_all(&mut self) -> Result<(), Self::Error>;

    /// Deletes the file of `segment` if there is one: no view ever named it, so no reader has ever seen it.
    ///
    /// # Errors
    /// If there is still one.
    fn unlink(&mut self, segment: u64) -> Result<(), Self::Error>;

    /// Creates the file of `segment`, which does not exist, so that it survives a power cut.
    ///
    /// # Errors
    /// If it was not created by this call.
    fn create(&mut self, segment: u64) -> Result<(), Self::Error>;

    /// Truncates and deletes the files of all segments before `segment`. Those that can't be deleted are garbage that
    /// costs room.
    ///
    /// # Errors
    /// If the restart should fail for it.
    fn remove_older(&mut self, segment: u64) -> Result<(), Self::Error>;
}

/// Why an index could not be taken over.
#[derive(Debug, Error)]
pub enum RestartError<E> {
    /// The generation has ended: `current` names another, or one has to be made.
    #[error("the generation is over")]
    Over,
    /// A step failed; the next attempt begins anew.
    #[error("restart failed")]
    Step {
        /// Why.
        source: E,
    },
}

/// Takes over the index of a daemon that died at any moment, and returns the number of the segment that is now active
/// and empty.
///
/// If this one dies too, the next does all of it again.
///
/// # Errors
/// If the generation is over, or a step failed.
pub fn restart<W: WordsMut, S: RestartSteps>(words: &W, steps: &mut S) -> Result<u64, RestartError<S::Error>> {
    let alone = view(words).retired();
    let next = alone.rotated().ok_or(RestartError::Over)?;
    take_over(words, steps, alone, next).map_err(|source| RestartError::Step { source })?;
    Ok(next.active())
}

fn take_over<W, S>(words: &W, steps: &mut S, alone: View, next: View) -> Result<(), S::Error>
where
    W: WordsMut,
    S: RestartSteps,
{
    steps.apply_all()?;
    set_view(words, alone);
    steps.unlink(next.active())?;
    clear(words, Table::of(next.active()));
    steps.create(next.active())?;
    set_view(words, next);
    // IMPORTANT: at once, although it looks like a detour. The view of before names the table that was cleared, so
    // it must be passed; and the segment that it calls "being applied" was applied in the first step.
    set_view(words, next.retired());
    steps.remove_older(next.active())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Plain, hash_at, location};
    use super::super::{Found, Word, Words, begin, finish, publish, rotate};
    use super::*;

    /// Writes down what is done and which view readers have meanwhile; fails at the step `fails_at`.
    struct Diary<'a> {
        words: &'a Plain,
        lines: Vec<String>,
        fails_at: Option<usize>,
    }

    impl Diary<'_> {
        fn note(&mut self, step: &str) -> Result<(), String> {
            if self.fails_at == Some(self.lines.len()) {
                return Err(step.to_owned());
            }
            self.lines.push(format!("{step} [{}]", View::from_word(self.words.load(Word::View))));
            Ok(())
        }
    }

    impl RestartSteps for Diary<'_> {
        type Error = String;

        fn apply_all(&mut self) -> Result<(), String> {
            self.note("apply")
        }

        fn unlink(&mut self, segment: u64) -> Result<(), String> {
            self.note(&format!("unlink {segment}"))
        }

        fn create(&mut self, segment: u64) -> Result<(), String> {
            assert_eq!(self.words.used(Table::of(segment)), 0, "cleared before the file is there");
            self.note(&format!("create {segment}"))
        }

        fn remove_older(&mut self, segment: u64) -> Result<(), String> {
            self.note(&format!("remove older than {segment}"))
        }
    }

    fn diary(words: &Plain) -> Diary<'_> {
        Diary { words, lines: Vec::new(), fails_at: None }
    }

    /// An index whose daemon died while segment 1 was being applied and 2 was active.
    fn died_while_applying() -> Plain {
        let words = Plain::beginning_with(1, 4);
        publish(&words, hash_at(0, 9), location(1, 1), None).unwrap();
        rotate(&words).unwrap();
        publish(&words, hash_at(1, 9), location(2, 1), None).unwrap();
        words
    }

    #[test]
    fn the_log_is_applied_before_any_view_leaves_it_behind() {
        let words = died_while_applying();
        let mut steps = diary(&words);
        assert_eq!(restart(&words, &mut steps).unwrap(), 3);
        assert_eq!(
            steps.lines,
            [
                "apply [segment 2, applying 1]",
                "unlink 3 [segment 2]",
                "create 3 [segment 2]",
                "remove older than 3 [segment 3, empty]",
            ]
        );
    }

    #[test]
    fn the_new_segment_begins_with_an_empty_index() {
        let words = died_while_applying();
        restart(&words, &mut diary(&words)).unwrap();
        for hash in [hash_at(0, 9), hash_at(1, 9)] {
            assert_eq!(words.find_among(hash, &[]), Found::Absent { view: View::alone(3) });
        }
    }

    #[test]
    fn a_restart_that_fails_anywhere_is_repeated_by_the_next() {
        for fails_at in 0..4 {
            let words = died_while_applying();
            let mut steps = Diary { fails_at: Some(fails_at), ..diary(&words) };
            let error = restart(&words, &mut steps).unwrap_err();
            assert!(matches!(error, RestartError::Step { .. }), "{error}");

            let expected = if fails_at < 3 { 3 } else { 4 };
            assert_eq!(restart(&words, &mut diary(&words)).unwrap(), expected, "after step {fails_at} failed");
        }
    }

    #[test]
    fn a_restart_counts_on_from_any_number() {
        let words = Plain::beginning_with(1, 4);
        begin(&words, 1 << 40);
        assert_eq!(restart(&words, &mut diary(&words)).unwrap(), (1 << 40) + 1);
    }

    #[test]
    fn a_generation_that_is_over_is_not_taken_over() {
        let words = Plain::beginning_with(1, 4);
        finish(&words);
        let mut steps = diary(&words);
        assert!(matches!(restart(&words, &mut steps), Err(RestartError::Over)));
        assert_eq!(steps.lines, [""; 0]);
    }
}
