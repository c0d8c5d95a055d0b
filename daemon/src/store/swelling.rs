//! By how much the index swells: a row that is put on a full page splits it, so that its pages grow by more than the row. Pure.
//!
//! That is so of rows that come to stand among others: those of records, tags and expiries. Places join the end of their queue.
//!
//! Keys lie as hashes do, and packing fills the pages of large rows to the last, and those of small ones but for one: of what comes then, the
//! first row for each page takes a page more, or the second. So it is reckoned by how many pages are full or tight, and by how many rows
//! came since; and by what the segments before led to, where that is more: pages that have some room split as well, later.

use super::charge::PAGE;
use super::filling::Filled;

/// Fewer rows teach nothing: a page that one of them splits is much for each. Segments with fewer are taken together.
const ROWS_LEAST: u64 = 64;
/// What is taken for each row until a segment was applied: as of records of some hundred bytes under new keys in a disorder.
const PER_ROW: u64 = PAGE / 4;
/// Of what it was it loses such a part with each segment. Pages split in waves: hardly any after they were packed with room for one row
/// each, and many by the next rows. What is forgotten sooner is not known any more when the next wave comes.
const FORGOTTEN: u64 = 32;

/// What is known of pages that split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Swelling {
    /// Pages that were filled, but for those that rows have come to or gone from since, about.
    filled: Filled,
    /// What the active segment changes.
    active: Changes,
    /// What the segment changes that is being applied.
    applying: Changes,
    /// By how many bytes the index grew beyond its rows for each row among others: lately, or a while ago by more.
    per_row: u64,
    /// Rows that nothing was learned from yet, and the bytes that it grew by with them.
    unlearned: (u64, u64),
}

impl Default for Swelling {
    fn default() -> Self {
        let nothing = Changes::default();
        Self { filled: Filled::default(), active: nothing, applying: nothing, per_row: PER_ROW, unlearned: (0, 0) }
    }
}

/// What a segment changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changes {
    /// Rows that it puts among others.
    rows: u64,
    operations: u64,
}

impl Swelling {
    /// Takes in that a frame puts so many rows among others by so many operations.
    pub(super) fn note(&mut self, rows: u64, operations: usize) {
        self.active.rows += rows;
        self.active.operations += operations as u64;
    }

    /// Begins a segment.
    pub(super) fn rotate(&mut self) {
        self.applying = std::mem::take(&mut self.active);
    }

    /// Takes in that pages were filled.
    pub(super) fn fill(&mut self, filled: Filled) {
        self.filled = self.filled + filled;
    }

    /// Takes in that a segment was applied to an index of `pages` bytes, which grew by `grown` bytes more than by its rows.
    pub(super) fn retire(&mut self, pages: u64, grown: u64) {
        let Changes { rows, operations } = std::mem::take(&mut self.applying);
        self.learn(rows, grown);
        let Filled { full, tight } = self.within(pages);
        let all = pages / PAGE;
        let untouched = |filled: u64| filled - part(filled, all, rows.max(operations));
        let met_once = part(tight - part(tight, all, rows), all, rows);
        self.filled = Filled { full: untouched(full) + met_once, tight: untouched(untouched(tight)) };
    }

    fn learn(&mut self, rows: u64, grown: u64) {
        let (rows, grown) = (self.unlearned.0 + rows, self.unlearned.1.saturating_add(grown));
        if rows < ROWS_LEAST {
            self.unlearned = (rows, grown);
            return;
        }
        self.unlearned = (0, 0);
        // What is more counts at once, what is less bit by bit.
        let per_row = (grown / rows).min(PAGE);
        self.per_row = per_row.max(((FORGOTTEN - 1) * self.per_row + per_row) / FORGOTTEN);
    }

    /// Returns by how much an index of `pages` bytes grows beyond its rows with what is not applied yet, and `rows` rows more among others.
    pub(super) fn with(&self, pages: u64, rows: u64) -> u64 {
        let rows = self.applying.rows + self.active.rows + rows;
        self.splits(pages, rows).max(self.per_row * rows)
    }

    /// Returns what full pages take more once so many rows have come to any page. One that was split has room for the next.
    fn splits(&self, pages: u64, rows: u64) -> u64 {
        let (Filled { full, tight }, all) = (self.within(pages), pages / PAGE);
        (part(full, all, rows) + part(part(tight, all, rows), all, rows)) * PAGE
    }

    /// Returns the pages that were filled, of an index of `pages` bytes.
    fn within(&self, pages: u64) -> Filled {
        let all = pages / PAGE;
        let full = self.filled.full.min(all);
        Filled { full, tight: self.filled.tight.min(all - full) }
    }
}

/// Returns how many of `some` pages are met by so many rows that come to any of `all`.
fn part(some: u64, all: u64, rows: u64) -> u64 {
    (some * rows).checked_div(all + rows).unwrap_or(0)
}

/// Returns how many rows of an entry come to stand among others: one for each tag, one if it expires, and its record if that is new or larger
/// than the one whose place it takes.
pub(super) fn scattered(tags: usize, expires: bool, is_more: bool) -> u64 {
    tags as u64 + u64::from(expires) + u64::from(is_more)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: u64 = 1_000;

    fn filled(full: u64, tight: u64) -> Swelling {
        let mut swelling = Swelling { per_row: 0, ..Swelling::default() };
        swelling.fill(Filled { full, tight });
        swelling
    }

    fn pages(swelling: &Swelling, rows: u64) -> u64 {
        swelling.with(PAGES * PAGE, rows) / PAGE
    }

    #[test]
    fn full_pages_split_once_each_and_not_those_that_were_met_since() {
        let mut swelling = filled(PAGES, 0);
        assert_eq!([0, 10, 1_000].map(|rows| pages(&swelling, rows)), [0, 9, 500]);
        swelling.note(10, 1_000);
        assert_eq!(pages(&swelling, 0), 9, "not applied yet");
        swelling.rotate();
        swelling.note(10, 10);
        assert_eq!(pages(&swelling, 0), 19);
        swelling.retire(PAGES * PAGE, 0);
        // A thousand operations have met half of them.
        assert_eq!(swelling.filled, Filled { full: PAGES / 2, tight: 0 });
    }

    #[test]
    fn tight_pages_split_with_the_second_row_that_they_are_met_by() {
        let mut swelling = filled(0, PAGES);
        assert_eq!([0, 10, 1_000, 9_000].map(|rows| pages(&swelling, rows)), [0, 0, 250, 810]);
        swelling.note(1_000, 10);
        swelling.rotate();
        swelling.retire(PAGES * PAGE, 0);
        assert_eq!(swelling.filled, Filled { full: PAGES / 4, tight: PAGES / 4 });
    }

    #[test]
    fn what_pages_grow_by_is_learned_at_once_and_forgotten_bit_by_bit() {
        let mut swelling = Swelling::default();
        let mut apply = |rows: u64, grown| {
            swelling.note(rows, 1_000);
            swelling.rotate();
            swelling.retire(PAGES * PAGE, grown);
            swelling.per_row
        };
        assert_eq!(
            [(100, 200_000), (100, 0), (32, 192_000), (32, 0), (100, u64::MAX)].map(|(of, by)| apply(of, by)),
            [2_000, 1_937, 1_937, 3_000, PAGE]
        );
    }

    #[test]
    fn an_empty_index_does_not_swell_beyond_what_is_taken_for_each_row() {
        let mut swelling = Swelling::default();
        swelling.fill(Filled { full: PAGES, tight: PAGES });
        assert_eq!(swelling.with(0, 10), 10 * PER_ROW);
        swelling.retire(0, 0);
        assert_eq!(swelling.filled, Filled::default());
    }
}
