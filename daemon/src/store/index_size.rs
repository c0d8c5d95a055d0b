//! How large the index is: measured each time that a segment is retired, and reckoned from then on by the rows that come and go, and by
//! the pages that split. Pure.

use super::charge::PAGE;
use super::filling::Filled;
use super::swelling::Swelling;

/// The size of the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IndexSize {
    /// The pages in use when they were measured.
    pages: u64,
    /// What the rows were reckoned at that were in these.
    rows: i64,
    /// What the rows were reckoned at that the index has with the segment that is being applied.
    applying: i64,
    /// By how much more than its rows it grows.
    pub(super) swelling: Swelling,
}

impl IndexSize {
    /// Takes in what was measured of an index that has all of the log. How full its pages are is not known: they are taken for full.
    pub(super) fn opened(pages: u64, rows: i64) -> Self {
        let mut size = Self { pages, rows, applying: rows, swelling: Swelling::default() };
        size.swelling.fill(Filled { full: pages / PAGE, tight: 0 });
        size
    }

    /// Begins a segment: what comes from now on is not in the index when it is measured next.
    pub(super) fn rotate(&mut self, rows: i64) {
        self.applying = rows;
        self.swelling.rotate();
    }

    /// Takes in what was measured when a segment was retired.
    pub(super) fn retire(&mut self, pages: u64) {
        let reckoned = self.pages.max(self.now(self.applying));
        self.swelling.retire(self.pages, pages.saturating_sub(reckoned));
        self.measure(pages);
    }

    /// Takes in what was measured while no segment was being applied.
    pub(super) fn measure(&mut self, pages: u64) {
        (self.pages, self.rows) = (pages, self.applying);
    }

    /// Takes in what was measured of a copy, which has full pages.
    pub(super) fn copied(&mut self, pages: u64) {
        self.measure(pages);
        self.swelling.fill(Filled { full: pages / PAGE, tight: 0 });
    }

    /// Takes in that rows are reckoned at so much more than they were, and are no other ones.
    pub(super) fn correct(&mut self, change: i64) {
        self.rows += change;
        self.applying += change;
    }

    /// Takes in that pages are free which were in use, while a segment is being applied.
    pub(super) fn free(&mut self, bytes: u64) {
        self.pages = self.pages.saturating_sub(bytes);
    }

    /// Returns the pages in use, as they were measured.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Returns what the pages are when the log is applied and they are as full as they were, by what the rows are reckoned at now.
    pub(super) fn now(&self, rows: i64) -> u64 {
        self.pages.saturating_add_signed(rows - self.rows)
    }

    /// Returns how much more than that they are meanwhile: as pages split, also by `scattered` rows that come on top, and as those of rows that go
    /// are not free before what was written until then is applied.
    pub(super) fn more(&self, rows: i64, scattered: u64) -> u64 {
        let most = self.pages.max(self.now(self.applying));
        most.saturating_sub(self.now(rows)) + self.swelling.with(self.pages, scattered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_reckoned_from_its_last_measurement() {
        let mut size = IndexSize::opened(8_192, 1_000);
        assert_eq!(size.now(1_500), 8_692);
        size.rotate(1_500);
        assert_eq!(size.now(1_700), 8_892);
        // What was taken for 500 bytes of rows was a page; and of 200 it is not known yet.
        size.retire(12_288);
        assert_eq!(size.now(1_700), 12_488);
        assert_eq!(size.now(0), 10_788);
        assert_eq!(size.now(-100_000), 0);
    }

    #[test]
    fn pages_are_in_use_until_what_goes_is_applied() {
        let mut size = IndexSize::opened(8_192, 1_000);
        assert_eq!([1_500, 1_000, 400].map(|rows| size.more(rows, 0)), [0, 0, 600]);
        size.rotate(1_500);
        assert_eq!([1_500, 1_000, 400].map(|rows| size.more(rows, 0)), [0, 500, 1_100], "what came is applied first");
        size.retire(8_692);
        size.rotate(400);
        assert_eq!(size.more(400, 0), 1_100);
        size.retire(8_192);
        assert_eq!((size.now(400), size.more(400, 0)), (8_192, 0));
    }
}
