//! A list that can be sorted, filtered and walked through: of namespaces, and of tags.

use super::input::Key;

/// What a list is sorted by, and what of it is shown.
#[derive(Clone, Debug)]
pub(super) struct Listing<C: 'static> {
    /// What it can be sorted by, in the order of the columns.
    columns: &'static [C],
    sorted_by: usize,
    is_reversed: bool,
    filter: String,
    /// The row that is selected, by its name: rows change places.
    selected: Option<String>,
}

impl<C: Copy + PartialEq> Listing<C> {
    /// Sorts by the column at a place.
    pub(super) fn new(columns: &'static [C], sorted_by: usize) -> Self {
        Self { columns, sorted_by, is_reversed: false, filter: String::new(), selected: None }
    }

    pub(super) fn column(&self) -> C {
        self.columns[self.sorted_by]
    }

    /// Returns the column of the names.
    pub(super) fn first_column(&self) -> C {
        self.columns[0]
    }

    pub(super) fn is_reversed(&self) -> bool {
        self.is_reversed
    }

    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    pub(super) fn sort_by_next(&mut self) {
        self.sorted_by = (self.sorted_by + 1) % self.columns.len();
        self.is_reversed = false;
    }

    pub(super) fn reverse(&mut self) {
        self.is_reversed = !self.is_reversed;
    }

    pub(super) fn filter_more(&mut self, more: char) {
        self.filter.push(more);
    }

    pub(super) fn filter_less(&mut self) {
        self.filter.pop();
    }

    pub(super) fn filter_nothing(&mut self) {
        self.filter.clear();
    }

    /// Tells whether the filter lets a name pass: it is part of it, in letters of any case.
    pub(super) fn passes(&self, name: &str) -> bool {
        self.filter.is_empty() || name.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// Sorts rows that are in the order of their names, which those keep that compare equal.
    pub(super) fn sort<T>(&self, rows: &mut [T], compare: impl Fn(C, &T, &T) -> std::cmp::Ordering) {
        rows.sort_by(|a, b| compare(self.column(), a, b));
        if self.is_reversed {
            rows.reverse();
        }
    }

    /// Returns the place of the selected row; of the first where that is gone.
    pub(super) fn place(&self, names: &[String]) -> usize {
        names.iter().position(|name| Some(name) == self.selected.as_ref()).unwrap_or(0)
    }

    /// Moves to another row; `page` is how many of them are seen.
    pub(super) fn go(&mut self, key: Key, names: &[String], page: usize) {
        let (place, last) = (self.place(names), names.len().saturating_sub(1));
        let place = match key {
            Key::Up => place.saturating_sub(1),
            Key::Down => place + 1,
            Key::PageUp => place.saturating_sub(page),
            Key::PageDown => place + page,
            Key::Home => 0,
            Key::End => last,
            _ => place,
        };
        self.selected = names.get(place.min(last)).cloned();
    }
}

/// Returns the first row that is shown, so that the one at `place` is seen among `height` of them.
pub(super) fn first_shown(place: usize, height: usize) -> usize {
    (place + 1).saturating_sub(height.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_selection_stays_with_its_row_and_within_the_list() {
        let mut listing = Listing::new(&['n'], 0);
        let three = names(&["a", "b", "c"]);
        listing.go(Key::Down, &three, 2);
        assert_eq!(listing.place(&three), 1);
        assert_eq!(listing.place(&names(&["b", "a", "c"])), 0, "it goes where its row goes");
        for (key, place) in [(Key::PageDown, 2), (Key::Down, 2), (Key::Home, 0), (Key::Up, 0), (Key::End, 2)] {
            listing.go(key, &three, 2);
            assert_eq!(listing.place(&three), place, "{key:?}");
        }
        assert_eq!(listing.place(&names(&["a", "b"])), 0, "its row is gone");
        listing.go(Key::Down, &[], 2);
        assert_eq!(listing.place(&[]), 0);
    }

    #[test]
    fn a_filter_passes_what_contains_it_in_any_case() {
        let mut listing = Listing::new(&['n'], 0);
        "rÄ".chars().for_each(|letter| listing.filter_more(letter));
        assert!(listing.passes("TRÄGER") && !listing.passes("Rad"));
        listing.filter_less();
        assert!(listing.passes("Rad") && !listing.passes("x"));
        listing.filter_nothing();
        assert!(listing.passes("x"));
    }

    #[test]
    fn rows_are_sorted_by_each_column_in_turn_and_the_other_way_round() {
        let mut listing = Listing::new(&['n', 'v'], 1);
        let sorted = |listing: &Listing<char>| {
            let mut rows = vec![("a", 1), ("b", 3), ("c", 2)];
            listing.sort(&mut rows, |by, a, b| if by == 'n' { a.0.cmp(b.0) } else { b.1.cmp(&a.1) });
            rows.iter().map(|row| row.0).collect::<String>()
        };
        assert_eq!(sorted(&listing), "bca");
        listing.reverse();
        assert_eq!(sorted(&listing), "acb");
        listing.sort_by_next();
        assert_eq!((sorted(&listing), listing.is_reversed()), ("abc".into(), false));
    }

    #[test]
    fn the_selected_row_is_always_among_those_shown() {
        assert_eq!(
            [(0, 3), (2, 3), (3, 3), (9, 3), (5, 0)].map(|(place, height)| first_shown(place, height)),
            [0, 0, 1, 7, 5]
        );
    }
}
