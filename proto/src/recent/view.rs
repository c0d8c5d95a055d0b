//! The view: one word that says which segments a lookup has to look at.

use std::fmt;

/// Which segments of the log are not wholly in LMDB, and whether there is anything in the newest of them.
///
/// `4n` = segment n is active and n-1 is being applied; one more = n alone; two more = the table of n has a used slot;
/// all ones = this generation is over. Every step of the daemon makes it larger, so an equal view means that no step
/// was made in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct View(u64);

/// One of the two tables of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// That of segments 0, 2, 4, …
    Even,
    /// That of segments 1, 3, 5, …
    Odd,
}

impl Table {
    /// Returns the table that indexes `segment`.
    #[inline]
    pub const fn of(segment: u64) -> Self {
        if segment & 1 == 0 { Self::Even } else { Self::Odd }
    }

    /// Returns the table's place in the file: 0 or 1.
    #[inline]
    pub const fn index(self) -> usize {
        match self {
            Self::Even => 0,
            Self::Odd => 1,
        }
    }
}

impl View {
    /// The view of a generation that has ended: open `current` again.
    pub const OVER: Self = Self(u64::MAX);

    /// Set when no segment is being applied.
    const ALONE: u64 = 1;
    /// Set when the active segment's table has a used slot.
    const USED: u64 = 2;
    /// How many bits stand below the number of the active segment.
    const BITS: u32 = 2;

    /// Returns the view in which `segment` is active and empty, and everything before it is in LMDB.
    ///
    /// Segment numbers are below 2^62 - 1: at one rotation a microsecond that is 146,000 years.
    #[inline]
    pub const fn alone(segment: u64) -> Self {
        Self(segment << Self::BITS | Self::ALONE)
    }

    /// Returns the view that `word` stands for.
    #[inline]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// Returns the word that stands for this view.
    #[inline]
    pub const fn to_word(self) -> u64 {
        self.0
    }

    /// Returns the number of the active segment; of no meaning when the generation is over.
    #[inline]
    pub const fn active(self) -> u64 {
        self.0 >> Self::BITS
    }

    /// Returns the number of the segment that is being applied to LMDB, if there is one.
    #[inline]
    pub const fn applying(self) -> Option<u64> {
        if self.0 & Self::ALONE == 0 { self.active().checked_sub(1) } else { None }
    }

    /// Returns whether the active segment's table has no used slot.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 & Self::USED == 0
    }

    /// Returns whether LMDB has everything: the active segment is empty, and none is being applied.
    #[inline]
    pub const fn is_all_in_lmdb(self) -> bool {
        self.is_empty() && self.0 & Self::ALONE != 0
    }

    /// Returns whether this generation has ended.
    #[inline]
    pub const fn is_over(self) -> bool {
        self.0 == Self::OVER.0
    }

    /// Returns the view after the segment that was being applied is in LMDB; itself if there was none.
    #[inline]
    pub const fn retired(self) -> Self {
        Self(self.0 | Self::ALONE)
    }

    /// Returns the view after a slot of the active segment's table was used; itself if one was.
    #[inline]
    pub const fn used(self) -> Self {
        Self(self.0 | Self::USED)
    }

    /// Returns the view after the next segment became active, or `None` while it can't: one is still being applied, or
    /// the generation is over.
    #[inline]
    pub const fn rotated(self) -> Option<Self> {
        if self.0 & Self::ALONE == 0 || self.is_over() { None } else { Some(Self((self.active() + 1) << Self::BITS)) }
    }

    /// Returns the segments to look at, the newest first.
    #[inline]
    pub fn newest_first(self) -> impl Iterator<Item = u64> + use<> {
        let active = if self.is_empty() { None } else { Some(self.active()) };
        [active, self.applying()].into_iter().flatten()
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_over() {
            return write!(f, "over");
        }
        write!(f, "segment {}{}", self.active(), if self.is_empty() { ", empty" } else { "" })?;
        self.applying().map_or(Ok(()), |older| write!(f, ", applying {older}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segments_life_is_told_by_the_view() {
        let begun = View::alone(7);
        let used = begun.used();
        let applying = used.rotated().unwrap();
        let next = applying.retired();

        assert_eq!([begun, used, applying, next].map(View::to_word), [29, 31, 32, 33]);
        assert_eq!([begun, used, applying, next].map(View::active), [7, 7, 8, 8]);
        assert_eq!([begun, used, applying, next].map(View::applying), [None, None, Some(7), None]);
        assert_eq!(next, View::alone(8));
    }

    #[test]
    fn every_step_makes_the_view_larger_whatever_its_order() {
        let begun = View::alone(7).rotated().unwrap();
        assert_eq!(begun.used().retired(), begun.retired().used());
        assert!(begun < begun.retired() && begun.retired() < begun.retired().used());
        assert!(begun < begun.used() && begun.used() < begun.used().retired());
        for last in [begun.retired(), begun.used().retired()] {
            assert!(last < last.rotated().unwrap() && last.rotated().unwrap().is_empty());
        }
    }

    #[test]
    fn lmdb_has_everything_when_an_empty_segment_is_alone() {
        let begun = View::alone(7);
        let applying = begun.used().rotated().unwrap();
        let all = [begun, begun.used(), applying, applying.used(), applying.retired(), View::OVER];
        assert_eq!(all.map(View::is_all_in_lmdb), [true, false, false, false, true, false]);
    }

    #[test]
    fn the_newest_segment_is_looked_at_first() {
        let applying = View::alone(7).used().rotated().unwrap();
        assert!(View::alone(8).used().newest_first().eq([8]));
        assert!(applying.used().newest_first().eq([8, 7]));
    }

    #[test]
    fn an_empty_segment_is_not_looked_at() {
        assert_eq!(View::alone(8).newest_first().next(), None);
        assert!(View::alone(7).used().rotated().unwrap().newest_first().eq([7]));
    }

    #[test]
    fn a_segment_can_not_be_succeeded_while_one_is_being_applied() {
        assert_eq!(View::from_word(32).rotated(), None);
    }

    #[test]
    fn nothing_follows_the_end_of_a_generation() {
        assert!(View::OVER.is_over());
        assert_eq!(View::OVER.rotated(), None);
        assert_eq!([View::OVER.retired(), View::OVER.used()], [View::OVER; 2]);
        assert!(View::alone(u64::MAX >> 3).used() < View::OVER);
    }

    #[test]
    fn the_first_segment_of_all_has_no_elder() {
        assert_eq!(View::from_word(0).applying(), None);
    }

    #[test]
    fn neighbours_have_different_tables() {
        assert_eq!(Table::of(4), Table::Even);
        assert_eq!(Table::of(5), Table::Odd);
        assert_ne!(Table::Even.index(), Table::Odd.index());
    }

    #[test]
    fn a_view_is_printed_as_what_it_means() {
        assert_eq!(View::from_word(32).to_string(), "segment 8, empty, applying 7");
        assert_eq!(View::from_word(34).to_string(), "segment 8, applying 7");
        assert_eq!(View::from_word(33).to_string(), "segment 8, empty");
        assert_eq!(View::from_word(35).to_string(), "segment 8");
        assert_eq!(View::OVER.to_string(), "over");
    }
}
