//! How much of the disk the store takes.

/// How much of the disk the store takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Pages of the index, as they will be when the log is applied.
    pub index: u64,
    /// The log that the index does not have yet.
    pub log: u64,
    /// Files of values that entries name, each once.
    pub blobs: u64,
    /// Files of values that nothing names any more, until they are removed.
    pub leaving: u64,
}

impl Usage {
    /// Returns all of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lasting() + self.passing()
    }

    /// Returns what stays until something is evicted.
    pub(super) fn lasting(&self) -> u64 {
        self.index + self.blobs
    }

    /// Returns what goes by itself, as the log is applied.
    pub(super) fn passing(&self) -> u64 {
        self.log + self.leaving
    }
}

/// The size of the index: measured each time that a segment is retired, and reckoned from then on by the rows that come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IndexSize {
    /// The pages in use when they were measured.
    pages: u64,
    /// What the rows were reckoned at that were in these.
    rows: i64,
    /// What the rows were reckoned at that the index has with the segment that is being applied.
    applying: i64,
}

impl IndexSize {
    /// Takes in what was measured of an index that has all of the log.
    pub(super) fn measured(pages: u64, rows: i64) -> Self {
        Self { pages, rows, applying: rows }
    }

    /// Begins a segment: what comes from now on is not in the index when it is measured next.
    pub(super) fn rotate(&mut self, rows: i64) {
        self.applying = rows;
    }

    /// Takes in what was measured when a segment was retired.
    pub(super) fn retire(&mut self, pages: u64) {
        (self.pages, self.rows) = (pages, self.applying);
    }

    /// Takes in that pages are free which were in use, while a segment is being applied.
    pub(super) fn free(&mut self, bytes: u64) {
        self.pages = self.pages.saturating_sub(bytes);
    }

    /// Returns what the pages are when the log is applied, by what the rows are reckoned at now.
    pub(super) fn now(&self, rows: i64) -> u64 {
        self.pages.saturating_add_signed(rows - self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_reckoned_from_its_last_measurement() {
        let mut size = IndexSize::measured(8_192, 1_000);
        assert_eq!(size.now(1_500), 8_692);
        size.rotate(1_500);
        assert_eq!(size.now(1_700), 8_892);
        // What was taken for 500 bytes of rows was a page; and of 200 it is not known yet.
        size.retire(12_288);
        assert_eq!(size.now(1_700), 12_488);
        assert_eq!(size.now(0), 10_788);
        assert_eq!(size.now(-100_000), 0);
    }
}
