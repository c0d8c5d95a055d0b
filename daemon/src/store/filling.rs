//! How LMDB fills pages, where rows are put in ascending order behind all others: pure.
//!
//! A row that has no room behind the last one of a page comes on a new page, and takes that last one along. So a page would be left with
//! room for one row more: of rows of which three fit a page, with a third of it. For pages to be full, the last row that fits is left
//! out at first: the next one stands in its place, is what goes along, and the row is put then. Of small rows one may be missing: a full
//! page is split by the first row that comes, and is half empty then.

use std::ops::Add;

/// What LMDB has at the head of a page.
const PAGE_HEAD: usize = 16;
/// What it has for each row: lengths and flags.
const ROW_HEAD: usize = 8;
/// Where on the page a row is.
const ROW_AT: usize = 2;
/// The number of the page that a value has which does not fit beside others.
const PAGE_NUMBER: usize = 8;

/// How many pages were filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Filled {
    /// To the last: another such row splits them.
    pub(super) full: u64,
    /// But for one row: the second splits them.
    pub(super) tight: u64,
}

impl Add for Filled {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { full: self.full + other.full, tight: self.tight + other.tight }
    }
}

/// Rows that take a smaller part of a page are not worth it.
const LARGE_PART: usize = 8;

/// Returns how many bytes a row takes of the page on which it stands with others.
pub(super) fn beside(page_size: usize, key: usize, value: usize) -> usize {
    let most = (((page_size - PAGE_HEAD) / 2) & !1) - ROW_AT;
    let node = ROW_HEAD + key + value;
    let node = if node <= most { node } else { ROW_HEAD + key + PAGE_NUMBER };
    (node + ROW_AT).next_multiple_of(2)
}

/// Has rows of these sizes put so that they fill pages. `put` is given the number of a row, and tells whether there is a page more then.
/// Returns how many pages are filled.
pub(super) fn fill<E>(
    sizes: &[usize],
    page_size: usize,
    mut put: impl FnMut(usize) -> Result<bool, E>,
) -> Result<Filled, E> {
    let mut pages = Filled::default();
    // How much is on the last page, once it is known: behind the first page more.
    let (mut row, mut filled, mut last) = (0, None, 0);
    while let Some(&size) = sizes.get(row) {
        if let Some([_, next, after]) = sizes.get(row..row + 3)
            && filled.is_some_and(|filled| {
                size * LARGE_PART >= page_size && is_left_out(page_size - PAGE_HEAD - filled, size, *next, *after)
            })
        {
            put(row + 1)?;
            let is_another = put(row + 2)?;
            put(row)?;
            pages.full += u64::from(is_another);
            filled = is_another.then_some(next + after);
            (row, last) = (row + 3, *after);
        } else {
            let is_another = put(row)?;
            pages.tight += u64::from(is_another);
            filled = if is_another { Some(last + size) } else { filled.map(|filled| filled + size) };
            // Pages that were there before come in between.
            filled = filled.filter(|filled| *filled <= page_size - PAGE_HEAD);
            (row, last) = (row + 1, size);
        }
    }
    Ok(pages)
}

/// Tells whether a row is to be left out at first: it is the last that has room, the next one could stand in its place, and the one after
/// that would not.
fn is_left_out(room: usize, size: usize, next: usize, after: usize) -> bool {
    size <= room && next <= room && size + next > room && next + after > room
}

/// Returns how many pages rows of these sizes take then.
pub(super) fn pages_for(sizes: &[usize], page_size: usize) -> usize {
    let (mut pages, mut filled, mut last) = (1, 0, None);
    let put = |row| {
        if last.is_some_and(|last| row < last) {
            return Ok(false);
        }
        let along = last.replace(row).map_or(0, |last: usize| sizes[last]);
        let is_another = filled + sizes[row] > page_size - PAGE_HEAD;
        (filled, pages) = if is_another { (along + sizes[row], pages + 1) } else { (filled + sizes[row], pages) };
        Ok::<_, std::convert::Infallible>(is_another)
    };
    let Ok(_) = fill(sizes, page_size, put);
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4_096;

    #[test]
    fn pages_are_full_that_have_room_for_three_rows() {
        for (size, on_a_page) in [(30, 135), (300, 12), (600, 6), (1_100, 3)] {
            let pages = pages_for(&[size; 1_000], PAGE);
            assert!(pages <= 1_000_usize.div_ceil(on_a_page) + 2, "{size}: {pages}");
        }
    }

    /// LMDB adds a page for a row that has no room behind the others, and takes the last one along.
    #[test]
    fn pages_of_large_rows_are_full_to_the_last_and_those_of_small_ones_have_room_for_one() {
        let filled = |size: usize| {
            let (mut last, mut filled) = (0, 0);
            let put = |row: usize| {
                if row < last {
                    return Ok(false);
                }
                let is_another = filled + size > PAGE - PAGE_HEAD;
                (filled, last) = (if is_another { 2 * size } else { filled + size }, row);
                Ok::<_, ()>(is_another)
            };
            fill(&[size; 600], PAGE, put).unwrap()
        };
        assert_eq!(filled(300), Filled { full: 0, tight: 49 });
        let large = filled(1_100);
        assert!((190..=200).contains(&large.full) && large.tight <= 2, "{large:?}");
    }

    #[test]
    fn each_row_is_put_once_however_pages_come_about() {
        let mut random = fastrand::Rng::with_seed(5);
        for rows in 0..200 {
            let sizes: Vec<_> = (0..rows).map(|_| random.usize(10..2_040)).collect();
            let mut seen = vec![0; rows];
            let put = |row: usize| {
                seen[row] += 1;
                Ok::<_, ()>(random.bool())
            };
            fill(&sizes, PAGE, put).unwrap();
            assert_eq!(seen, vec![1; rows]);
        }
    }

    #[test]
    fn rows_of_any_size_leave_less_than_a_third_of_their_pages_free() {
        let mut random = fastrand::Rng::with_seed(6);
        let sizes: Vec<_> = (0..10_000).map(|_| random.usize(10..1_000)).collect();
        let (pages, bytes) = (pages_for(&sizes, PAGE), sizes.iter().sum::<usize>());
        assert!(pages * PAGE * 2 <= bytes * 3, "{pages} pages for {bytes} bytes");
    }

    #[test]
    fn a_row_takes_an_even_number_of_bytes_and_a_large_value_has_pages_of_its_own() {
        assert_eq!([(20, 31), (20, 2_010), (20, 2_011)].map(|(key, value)| beside(PAGE, key, value)), [62, 2_040, 38]);
    }
}
