//! How often a store's daemons died since one of them ended well, in a file of the store that is a byte long: one who dies has no time to write
//! more.
//!
//! ```text
//! STORE/unclean   a digit: 0 = closed in good order; else a daemon has the store, or died. A letter from `a` on: it met with damage
//! ```
//!
//! A good end leaves the file with its 0, and does not remove it: that tells a store that was served from one whose daemon died as it made it
//! (see [`Deaths::was_served`]), and the next daemon writes its mark in place, which also a full disk lets it do.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::ops::RangeInclusive;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use tracing::debug;

use super::folder::{UNCLEAN, no_link};

/// What a death counts in the middle of a store's opening: the next start looks before it opens anything.
pub(super) const AT_OPENING: u8 = 2;
/// What any other death counts: mostly somebody's `kill -9`, so a second one is waited for.
pub(super) const IN_USE: u8 = 1;
/// From here on the index is looked through.
pub(super) const SUSPICIOUS: u8 = 2;
/// From here on an index is not trusted either that only leaks: its daemons go on dying.
pub(super) const HOPELESS: u8 = 5;
/// The count stays one digit.
const MOST: u8 = 9;
/// The letters that stand for the count, from 0 on, where the daemon before met with damage, and nobody has to have died. No digits, so
/// that a build that does not know them looks the index through, too.
const SUSPECTED: RangeInclusive<u8> = b'a'..=b'a' + MOST;
/// What a mark counts as that can't be read.
const UNREADABLE: u8 = b'?';

/// The count of deaths of a store that is open.
#[derive(Debug)]
pub(super) struct Deaths {
    mark: Option<File>,
    /// Set when there is reason to look the index through at the next start, however this one ends.
    is_suspected: Cell<bool>,
}

impl Deaths {
    pub(super) fn of(path: &Path) -> Self {
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link());
        let opened = open.open(path.join(UNCLEAN));
        if let Err(error) = &opened {
            debug!(%error, "daemons that die are not counted");
        }
        Self { mark: opened.ok(), is_suspected: Cell::new(false) }
    }

    /// Returns the mark of the daemon before, `None` where there was none.
    fn mark(&self) -> Option<u8> {
        let mut mark = [0];
        match self.mark.as_ref()?.read_at(&mut mark, 0) {
            Ok(0) => None,
            Ok(_) => Some(mark[0]),
            Err(_) => Some(UNREADABLE),
        }
    }

    /// Returns what the deaths since the last good end count; what can't be read as a number was written by one who died.
    pub(super) fn count(&self) -> u8 {
        match self.mark() {
            None => 0,
            Some(digit) if digit.is_ascii_digit() => digit - b'0',
            Some(letter) if SUSPECTED.contains(&letter) => letter - SUSPECTED.start(),
            Some(_) => SUSPICIOUS,
        }
    }

    /// Tells whether the daemon before had opened the store.
    pub(super) fn was_served(&self) -> bool {
        // Only who has it open suspects it.
        self.mark().is_some_and(|mark| matches!(mark, b'0' | b'1') || SUSPECTED.contains(&mark))
    }

    /// Says why the index is looked through.
    pub(super) fn reason(&self) -> &'static str {
        match self.mark() {
            Some(letter) if SUSPECTED.contains(&letter) => {
                "the daemon before took the index for damaged, and ended for that"
            }
            _ => "a daemon died as it opened this store, or several died one after the other",
        }
    }

    pub(super) fn note(&self, deaths: u8) {
        self.write(b'0' + deaths.min(MOST));
    }

    /// In place, which needs no room and is there whole whenever the process dies.
    fn write(&self, mark: u8) {
        if let Some(Err(error)) = self.mark.as_ref().map(|file| file.write_all_at(&[mark], 0)) {
            debug!(%error, "daemons that die are not counted");
        }
    }

    /// The store was closed in good order.
    pub(super) fn end_well(&self) {
        if !self.is_suspected.get() {
            self.note(0);
        }
    }

    /// LMDB has found damage: the next daemon is to look the index through first.
    pub(super) fn suspect(&self) {
        self.is_suspected.set(true);
        self.write(SUSPECTED.start() + self.count().clamp(SUSPICIOUS, MOST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It began anew at two with each suspicion, and an index that only leaks was never given up.
    #[test]
    fn who_suspects_the_index_keeps_the_count_of_deaths() {
        let folder = tempfile::tempdir().unwrap();
        let deaths = Deaths::of(folder.path());
        for (before, after) in [(0, SUSPICIOUS), (4, 4), (MOST, MOST)] {
            deaths.note(before);
            deaths.suspect();
            assert_eq!(deaths.count(), after);
            assert!(deaths.reason().contains("took the index for damaged"), "{}", deaths.reason());
        }
    }

    #[test]
    fn a_store_was_served_whose_daemon_ended_or_met_with_damage_and_not_one_that_may_have_died_while_it_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let deaths = Deaths::of(folder.path());
        assert!(!deaths.was_served(), "nobody has written a mark");
        for (count, is_served) in [(0, true), (IN_USE, true), (AT_OPENING, false), (MOST, false)] {
            deaths.note(count);
            assert_eq!(deaths.was_served(), is_served, "{count}");
        }
        deaths.suspect();
        assert!(deaths.was_served());
        deaths.write(UNREADABLE);
        assert_eq!((deaths.was_served(), deaths.count()), (false, SUSPICIOUS));
    }
}
