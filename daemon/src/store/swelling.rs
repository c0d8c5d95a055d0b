//! By how much the index swells: a row that is put on a full page splits it, so that its pages grow by more than the row. Pure.
//!
//! Keys lie as hashes do, and packing fills the pages of large rows to the last: of what comes then, the first row for each page takes a
//! page more. So it is reckoned by how many pages are full, and by how many rows came since; and by what the segments before led to,
//! where that is more: pages that have some room split as well, later.

use super::charge::PAGE;

/// Segments with fewer places teach nothing.
const PLACES_LEAST: u64 = 64;
/// What is taken for that until a segment was applied: as of entries of some hundred bytes under new keys in a disorder.
const PER_PLACE: u64 = PAGE / 4;
/// Of what it was it loses such a part with each segment. Pages split in waves: hardly any after they were packed with room for one row
/// each, and many by the next rows. What is forgotten sooner is not known any more when the next wave comes.
const FORGOTTEN: u64 = 32;

/// What is known of pages that split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Swelling {
    /// Pages that were left without room for a row, but for those that rows have come to or gone from since, about.
    full: u64,
    /// What the active segment changes.
    active: Changes,
    /// What the segment changes that is being applied.
    applying: Changes,
    /// By how many bytes the index grew beyond its rows for each place that was given: lately, or a while ago by more.
    per_place: u64,
}

impl Default for Swelling {
    fn default() -> Self {
        Self { full: 0, active: Changes::default(), applying: Changes::default(), per_place: PER_PLACE }
    }
}

/// What a segment changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changes {
    /// Places that it gives: to what is new, and to what is kept.
    places: u64,
    operations: u64,
}

impl Swelling {
    /// Takes in that a frame gives so many places by so many operations.
    pub(super) fn note(&mut self, places: usize, operations: usize) {
        self.active.places += places as u64;
        self.active.operations += operations as u64;
    }

    /// Begins a segment.
    pub(super) fn rotate(&mut self) {
        self.applying = std::mem::take(&mut self.active);
    }

    /// Takes in that so many pages were filled.
    pub(super) fn fill(&mut self, pages: u64) {
        self.full += pages;
    }

    /// Takes in that a segment was applied to an index of `pages` bytes, which grew by `grown` bytes more than by its rows.
    pub(super) fn retire(&mut self, pages: u64, grown: u64) {
        let Changes { places, operations } = std::mem::take(&mut self.applying);
        if places >= PLACES_LEAST {
            // What is more counts at once, what is less bit by bit.
            let per_place = (grown / places).min(PAGE);
            self.per_place = per_place.max(((FORGOTTEN - 1) * self.per_place + per_place) / FORGOTTEN);
        }
        let all = pages / PAGE;
        self.full = (self.full.min(all) * all).checked_div(all + operations).unwrap_or(0);
    }

    /// Returns by how much an index of `pages` bytes grows beyond its rows with what is not applied yet, and `places` places more.
    pub(super) fn with(&self, pages: u64, places: u64) -> u64 {
        let places = self.applying.places + self.active.places + places;
        self.splits(pages, places).max(self.per_place * places)
    }

    /// Returns what full pages take more once so many rows have come to any page. One that was split has room for the next.
    fn splits(&self, pages: u64, places: u64) -> u64 {
        let all = pages / PAGE;
        (self.full.min(all) * places).checked_div(all + places).unwrap_or(0) * PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: u64 = 1_000;

    fn full() -> Swelling {
        let mut swelling = Swelling::default();
        swelling.fill(PAGES);
        swelling
    }

    fn pages(swelling: &Swelling, places: u64) -> u64 {
        swelling.with(PAGES * PAGE, places) / PAGE
    }

    #[test]
    fn full_pages_split_once_each_and_not_those_that_were_met_since() {
        let mut swelling = full();
        assert_eq!([0, 10, 1_000].map(|places| pages(&swelling, places)), [0, 9, 500]);
        swelling.note(10, 1_000);
        assert_eq!(pages(&swelling, 0), 9, "not applied yet");
        swelling.rotate();
        swelling.note(10, 10);
        assert_eq!(pages(&swelling, 0), 19);
        swelling.retire(PAGES * PAGE, 0);
        assert_eq!(swelling.full, PAGES / 2);
    }

    #[test]
    fn what_pages_grow_by_is_learned_at_once_and_forgotten_bit_by_bit() {
        let mut swelling = Swelling::default();
        let mut apply = |places: usize, grown| {
            swelling.note(places, places);
            swelling.rotate();
            swelling.retire(PAGES * PAGE, grown);
            swelling.per_place
        };
        assert_eq!(
            [(100, 200_000), (100, 0), (10, 0), (100, u64::MAX)].map(|(of, by)| apply(of, by)),
            [2_000, 1_937, 1_937, PAGE]
        );
    }

    #[test]
    fn an_empty_index_does_not_swell_beyond_what_is_taken_for_each_place() {
        let mut swelling = full();
        assert_eq!(swelling.with(0, 10), 10 * PER_PLACE);
        swelling.retire(0, 0);
        assert_eq!(swelling.full, 0);
    }
}
