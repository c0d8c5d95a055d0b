//! The lookup of a key in the log: by readers of any process, and by the daemon itself.

use std::hint::black_box;

use super::slot::Slot;
use super::{Fence, KeyHash, Location, Table, View, Word, Words};

/// How often a lookup begins again because the view moved under it. The view moves three times a segment, so more than a
/// second attempt takes a reader that is stopped again and again at the wrong place.
const ATTEMPTS: usize = 8;

/// The segments of the log as the reader can read them.
pub trait Segments {
    /// What a lookup is for: an operation on the key, which may be a delete.
    type Item;

    /// Reads the operation at `at`, by `pread` and not through a map: the daemon may truncate the segment at any
    /// moment.
    fn read(&mut self, at: Location) -> Candidate<Self::Item>;
}

impl<T, F: FnMut(Location) -> Candidate<T>> Segments for F {
    type Item = T;

    fn read(&mut self, at: Location) -> Candidate<T> {
        self(at)
    }
}

/// What is at a location that the index named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate<T> {
    /// An operation on the key.
    Mine(T),
    /// An operation on another key with the same tag.
    Other,
    /// Nothing that can be read: the segment is gone or short, or a checksum is wrong.
    Unreadable,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// The key's newest operation. Final, also if it is a delete or has expired.
    Here(T),
    /// The log has none: a LMDB transaction that begins now has the answer. One that was begun before has not.
    Absent {
        /// The view in which it is absent.
        view: View,
    },
    /// The generation has ended: open `current` again.
    Over,
    /// The view moved too often: ask the daemon.
    Unstable,
    /// The index names an operation that can't be read, although its segment is still in use: ask the daemon.
    Unreadable {
        /// Where it should be.
        at: Location,
    },
}

/// Looks up the newest operation on the key with `hash` in the segments that are not wholly in LMDB.
///
/// For several keys, look up each and begin the LMDB transaction after the last.
#[inline]
pub fn find<W: Words, S: Segments>(words: &W, hash: KeyHash, segments: &mut S) -> Found<S::Item> {
    for _ in 0..ATTEMPTS {
        let view = View::from_word(words.load(Word::View));
        words.fence(Fence::AfterView);
        if view.is_over() {
            return Found::Over;
        }
        if view.is_all_in_lmdb() {
            // Nothing was loaded that a later view could belie, so there is no need to look at it again.
            return Found::Absent { view };
        }
        if let Some(found) = find_in(words, view, hash, segments) {
            return found;
        }
    }
    Found::Unstable
}

/// Loads the slots at which lookups of these keys begin, one beside the other, so that lookups which follow soon find them in the
/// processor's caches. A lookup waits for memory before it knows what to do next; here nothing depends on what is loaded.
#[inline]
pub fn approach<W: Words>(words: &W, hashes: impl Iterator<Item = KeyHash>) {
    let view = View::from_word(words.load(Word::View));
    if view.is_over() {
        return;
    }
    let slots = |hash: KeyHash| {
        let slot = move |segment| Word::Slot { table: Table::of(segment), index: hash.place(words.slots()) };
        view.newest_first().map(move |segment| words.load(slot(segment)))
    };
    // No load may be left out because nobody wants to know.
    black_box(hashes.flat_map(slots).fold(0, |all, slot| all ^ slot));
}

/// Looks up in `view`; `None` if it has moved.
#[inline]
fn find_in<W: Words, S: Segments>(words: &W, view: View, hash: KeyHash, segments: &mut S) -> Option<Found<S::Item>> {
    for at in view.newest_first().flat_map(|segment| candidates(words, segment, hash)) {
        // IMPORTANT: before the operation is read. The slot may have been filled for a later segment, and this one
        // may have another operation on the key at that offset; and it is the fence herein that makes the bytes
        // visible.
        confirm(words, view)?;
        match segments.read(at) {
            Candidate::Mine(item) => return Some(Found::Here(item)),
            Candidate::Other => {}
            Candidate::Unreadable => {
                confirm(words, view)?;
                return Some(Found::Unreadable { at });
            }
        }
    }
    // IMPORTANT: before LMDB is asked. A slot that was cleared for a later segment is no absence.
    confirm(words, view)?;
    Some(Found::Absent { view })
}

/// Returns something if the view is still `view`, and everything loaded before is therefore of that view.
#[inline]
fn confirm<W: Words>(words: &W, view: View) -> Option<()> {
    words.fence(Fence::BeforeRecheck);
    (words.load(Word::View) == view.to_word()).then_some(())
}

/// Returns where `segment` may have the key. Looks at no more slots than it is asked for.
#[inline]
fn candidates<W: Words>(words: &W, segment: u64, hash: KeyHash) -> impl Iterator<Item = Location> {
    let table = Table::of(segment);
    hash.places(words.slots())
        .map_while(move |index| Slot::from_word(words.load(Word::Slot { table, index })))
        .filter(move |slot| slot.is_of(hash))
        .map(move |slot| Location { segment, offset: slot.offset() })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::testing::{Plain, hash_at, location};
    use super::super::{ROTATE_AT, SLOTS, clear_free, finish, publish, retire, rotate};
    use super::*;

    #[test]
    fn an_approach_loads_a_slot_for_each_key_in_each_table_that_is_looked_at() {
        let words = Plain::beginning_with(1, 8);
        let loaded = || {
            let before = words.slots_loaded.get();
            approach(&words, (0..5).map(|place| hash_at(place, 9)));
            words.slots_loaded.get() - before
        };
        assert_eq!(loaded(), 0, "nothing is in the log");
        publish(&words, hash_at(0, 9), location(1, 1), None).unwrap();
        assert_eq!(loaded(), 5);
        rotate(&words).unwrap();
        publish(&words, hash_at(0, 9), location(2, 1), None).unwrap();
        assert_eq!(loaded(), 10);
        finish(&words);
        assert_eq!(loaded(), 0);
    }

    /// Returns the mean number of slots that a miss looks at when a table is as full as it gets.
    fn slots_looked_at_by_a_miss(key: impl Fn(u64) -> Vec<u8>) -> f64 {
        const MISSES: u64 = 20_000;
        let words = Plain::beginning_with(1, SLOTS);
        for number in 1..=ROTATE_AT as u64 {
            publish(&words, KeyHash::of(1, &key(number)), location(1, number), None).unwrap();
        }
        words.slots_loaded.set(0);
        for number in 0..MISSES {
            let hash = KeyHash::of(1, &key((1 << 32) + number));
            assert!(matches!(words.find_among(hash, &[]), Found::Absent { .. }));
        }
        words.slots_loaded.get() as f64 / MISSES as f64
    }

    #[test]
    fn a_miss_looks_at_few_slots_whatever_the_keys_are_like() {
        let scatter = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let means = [
            slots_looked_at_by_a_miss(|number| number.to_le_bytes().to_vec()),
            slots_looked_at_by_a_miss(|number| number.reverse_bits().to_le_bytes().to_vec()),
            slots_looked_at_by_a_miss(|number| scatter(number).to_le_bytes().to_vec()),
            slots_looked_at_by_a_miss(|number| format!("{number}").into_bytes()),
            slots_looked_at_by_a_miss(|number| format!("https://example.org/a/long/prefix/{number:08}").into_bytes()),
            slots_looked_at_by_a_miss(|number| [vec![b'p'; 300], number.to_le_bytes().to_vec()].concat()),
        ];
        // 2.5 is what an ideal hash has.
        assert!(means.iter().all(|mean| (2.3..3.0).contains(mean)), "{means:?}");
    }

    #[test]
    fn the_active_segment_hides_the_one_that_is_being_applied() {
        let words = Plain::beginning_with(1, 4);
        let (older, newer) = (location(1, 1), location(2, 1));
        publish(&words, hash_at(0, 9), older, None).unwrap();
        rotate(&words).unwrap();
        assert_eq!(words.find_among(hash_at(0, 9), &[older, newer]), Found::Here(older));
        publish(&words, hash_at(0, 9), newer, None).unwrap();
        assert_eq!(words.find_among(hash_at(0, 9), &[older, newer]), Found::Here(newer));
    }

    #[test]
    fn a_table_in_which_nothing_is_used_is_not_looked_into() {
        let words = Plain::beginning_with(1, 4);
        let nothing = |view| assert_eq!(words.find_among(hash_at(0, 9), &[]), Found::Absent { view });
        nothing(View::alone(1));
        assert_eq!(words.slots_loaded.get(), 0);
        publish(&words, hash_at(1, 9), location(1, 1), None).unwrap();
        rotate(&words).unwrap();
        words.slots_loaded.set(0);
        nothing(View::alone(1).rotated().unwrap());
        assert_eq!(words.slots_loaded.get(), 1, "that of the segment that is being applied");
    }

    #[test]
    fn a_retired_segment_is_not_looked_at() {
        let words = Plain::beginning_with(1, 4);
        publish(&words, hash_at(0, 9), location(1, 1), None).unwrap();
        rotate(&words).unwrap();
        retire(&words);
        assert_eq!(words.find_among(hash_at(0, 9), &[location(1, 1)]), Found::Absent { view: View::alone(2) });
    }

    #[test]
    fn a_tag_of_another_key_is_read_and_passed_by() {
        let words = Plain::beginning_with(1, 8);
        let mut read = Vec::new();
        for number in 1..=3 {
            publish(&words, hash_at(2, 9), location(1, number), None).unwrap();
        }
        let found = find(&words, hash_at(2, 9), &mut |at| {
            read.push(at);
            if at == location(1, 3) { Candidate::Mine(()) } else { Candidate::Other }
        });
        assert_eq!(found, Found::Here(()));
        assert_eq!(read, [1, 2, 3].map(|number| location(1, number)));
    }

    #[test]
    fn another_tag_in_the_way_costs_no_read() {
        let words = Plain::beginning_with(1, 8);
        publish(&words, hash_at(2, 1), location(1, 1), None).unwrap();
        let found = find(&words, hash_at(2, 9), &mut |_| -> Candidate<()> { unreachable!() });
        assert_eq!(found, Found::Absent { view: View::alone(1).used() });
    }

    #[test]
    fn a_lookup_in_a_full_table_ends() {
        let words = Plain::beginning_with(1, 8);
        for place in 0..8 {
            publish(&words, hash_at(place, 9), location(1, place as u64 + 1), None).unwrap();
        }
        words.slots_loaded.set(0);
        assert!(matches!(words.find_among(hash_at(0, 9), &[]), Found::Absent { .. }));
        assert_eq!(words.slots_loaded.get(), 5);
    }

    #[test]
    fn a_segment_that_went_while_it_was_read_is_looked_for_in_the_new_view() {
        let words = Plain::beginning_with(1, 4);
        publish(&words, hash_at(0, 9), location(1, 1), None).unwrap();
        let found = find(&words, hash_at(0, 9), &mut |_| -> Candidate<()> {
            rotate(&words).unwrap();
            retire(&words);
            Candidate::Unreadable
        });
        assert_eq!(found, Found::Absent { view: View::alone(2) });
    }

    #[test]
    fn a_damaged_segment_is_told_apart_from_one_that_went() {
        let words = Plain::beginning_with(1, 4);
        publish(&words, hash_at(0, 9), location(1, 1), None).unwrap();
        let found = find(&words, hash_at(0, 9), &mut |_| -> Candidate<()> { Candidate::Unreadable });
        assert_eq!(found, Found::Unreadable { at: location(1, 1) });
    }

    #[test]
    fn a_view_that_always_moves_ends_the_lookup() {
        let words = Plain::beginning_with(1, 4);
        publish(&words, hash_at(0, 9), location(1, 1), None).unwrap();
        let reads = Cell::new(0);
        let found = find(&words, hash_at(0, 9), &mut |at: Location| -> Candidate<()> {
            reads.set(reads.get() + 1);
            clear_free(&words).unwrap();
            rotate(&words).unwrap();
            retire(&words);
            publish(&words, hash_at(0, 9), location(at.segment + 1, 1), Some(at)).unwrap();
            Candidate::Unreadable
        });
        assert_eq!(found, Found::Unstable);
        assert_eq!(reads.get(), ATTEMPTS);
    }

    #[test]
    fn a_generation_that_ends_under_a_lookup_sends_it_elsewhere() {
        let words = Plain::beginning_with(1, 4);
        publish(&words, hash_at(0, 9), location(1, 1), None).unwrap();
        let found = find(&words, hash_at(0, 9), &mut |_| -> Candidate<()> {
            finish(&words);
            Candidate::Unreadable
        });
        assert_eq!(found, Found::Over);
    }
}
