//! The view: one word that says which segments a lookup has to look at.

use std::fmt;

/// Which segments of the log are not wholly in LMDB.
///
/// `2n` = segment n is active and n-1 is being applied; `2n + 1` = n alone; all ones = this generation is over. Every
/// step of the daemon adds one, so an equal view means that nothing happened in between.
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

    /// Returns the view in which `segment` is active and everything before it is in LMDB.
    ///
    /// Segment numbers are below 2^63 - 1: at one rotation a microsecond that is 290,000 years.
    #[inline]
    pub const fn alone(segment: u64) -> Self {
        Self(segment << 1 | 1)
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
        self.0 >> 1
    }

    /// Returns the number of the segment that is being applied to LMDB, if there is one.
    #[inline]
    pub const fn applying(self) -> Option<u64> {
        if self.0 & 1 == 0 { self.active().checked_sub(1) } else { None }
    }

    /// Returns whether this generation has ended.
    #[inline]
    pub const fn is_over(self) -> bool {
        self.0 == Self::OVER.0
    }

    /// Returns the view after the segment that was being applied is in LMDB; itself if there was none.
    #[inline]
    pub const fn retired(self) -> Self {
        Self(self.0 | 1)
    }

    /// Returns the view after the next segment became active, or `None` while it can't: one is still being applied, or
    /// the generation is over.
    #[inline]
    pub const fn rotated(self) -> Option<Self> {
        if self.0 & 1 == 0 || self.is_over() { None } else { Some(Self(self.0 + 1)) }
    }

    /// Returns the segments to look at, the newest first.
    #[inline]
    pub fn newest_first(self) -> impl Iterator<Item = u64> + use<> {
        [Some(self.active()), self.applying()].into_iter().flatten()
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_over(), self.applying()) {
            (true, _) => write!(f, "over"),
            (false, Some(older)) => write!(f, "segment {}, applying {older}", self.active()),
            (false, None) => write!(f, "segment {}", self.active()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segments_life_moves_the_view_by_one_at_each_step() {
        let alone = View::alone(7);
        let applying = alone.rotated().unwrap();
        let next = applying.retired();

        assert_eq!([alone, applying, next].map(View::to_word), [15, 16, 17]);
        assert_eq!([alone, applying, next].map(View::active), [7, 8, 8]);
        assert_eq!([alone, applying, next].map(View::applying), [None, Some(7), None]);
        assert_eq!(next, View::alone(8));
    }

    #[test]
    fn the_newest_segment_is_looked_at_first() {
        assert!(View::alone(8).newest_first().eq([8]));
        assert!(View::alone(7).rotated().unwrap().newest_first().eq([8, 7]));
    }

    #[test]
    fn a_segment_can_not_be_succeeded_while_one_is_being_applied() {
        assert_eq!(View::from_word(16).rotated(), None);
    }

    #[test]
    fn nothing_follows_the_end_of_a_generation() {
        assert!(View::OVER.is_over());
        assert_eq!(View::OVER.rotated(), None);
        assert_eq!(View::OVER.retired(), View::OVER);
        assert!(View::alone(u64::MAX >> 2) < View::OVER);
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
        assert_eq!(View::from_word(16).to_string(), "segment 8, applying 7");
        assert_eq!(View::from_word(17).to_string(), "segment 8");
        assert_eq!(View::OVER.to_string(), "over");
    }
}
