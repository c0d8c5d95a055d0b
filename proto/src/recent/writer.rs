//! What the daemon stores in the index. The runtime thread alone; [`clear_free`] alone may be left to a helper thread.
//!
//! The life of a segment: [`clear_free`] and the file's creation ahead of time, [`rotate`], [`publish`] for each
//! operation after its frame is written, [`rotate`] to the next, LMDB's commits, [`retire`].

use std::sync::atomic::Ordering;

use thiserror::Error;

use super::slot::Slot;
use super::{Fence, KeyHash, Location, Table, View, Word, WordsMut};

/// How an operation became visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// In a slot that was free: the key is new in this segment and counts towards [`ROTATE_AT`](super::ROTATE_AT).
    Added,
    /// In the slot of the key's older operation.
    Replaced,
}

/// Why an operation could not be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// No slot where readers look is free: the segment should have been succeeded long ago.
    #[error("no slot is free for {at}")]
    Full {
        /// Where the operation is.
        at: Location,
    },
    /// The slot that should be replaced isn't there. A second slot for the key would be one that readers never see.
    #[error("no slot has {replaces}, which {at} should replace")]
    Lost {
        /// Where the operation is.
        at: Location,
        /// Where the key's older operation should be.
        replaces: Location,
    },
}

/// Why the next segment can't become active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("can't rotate while the view is: {view}")]
pub struct RotateError {
    /// The view, in which a segment is being applied or the generation is over.
    pub view: View,
}

/// Makes `segment` the active one in an index that nobody has ever read, whose tables are zero.
///
/// In a new file alone, so any number will do; [`restart`](super::restart()) says which.
pub fn begin<W: WordsMut>(words: &W, segment: u64) -> View {
    set_view(words, View::alone(segment))
}

/// Makes the operation at `at`, in the active segment, the newest of its key.
///
/// Its frame must be written. `replaces` is where the key's older operation is, if the log has one; it is replaced in
/// place if it is in the same segment, so that a key has one slot in a table.
///
/// # Errors
/// If no slot is free, or the older operation has none. The operation is in the log then and invisible: only a restart
/// makes them agree.
#[inline]
pub fn publish<W: WordsMut>(
    words: &W,
    hash: KeyHash,
    at: Location,
    replaces: Option<Location>,
) -> Result<Published, PublishError> {
    let replaces = replaces.filter(|older| older.segment == at.segment);
    let older = replaces.map(|older| Slot::new(hash, older.offset));
    let table = Table::of(at.segment);
    for index in hash.places(words.slots()) {
        let word = Word::Slot { table, index };
        let slot = Slot::from_word(words.load(word));
        // Of a new key both are none: the first free slot.
        if slot == older {
            say_used(words);
            // Release: who sees the slot sees the frame.
            words.store(word, Slot::new(hash, at.offset).to_word(), Ordering::Release);
            return Ok(if slot.is_none() { Published::Added } else { Published::Replaced });
        }
        if slot.is_none() {
            break;
        }
    }
    Err(replaces.map_or(PublishError::Full { at }, |replaces| PublishError::Lost { at, replaces }))
}

/// Has readers look into the active segment's table. Once a segment, before its first slot is used.
#[inline]
fn say_used<W: WordsMut>(words: &W) {
    let view = view(words);
    if view.is_empty() {
        // IMPORTANT: before the operation is acknowledged. Whoever learns of it must find a view that sends readers here.
        set_view(words, view.used());
    }
}

/// Says that everything before the active segment is in LMDB. After the commit; no harm if it was said before.
pub fn retire<W: WordsMut>(words: &W) -> View {
    set_view(words, view(words).retired())
}

/// Clears the table of the segment that comes next, which no reader looks at any more.
///
/// After [`retire`]; a helper thread may do it ahead of time, if it was told to after that and tells before [`rotate`].
///
/// # Errors
/// While a segment is being applied both tables are in use.
pub fn clear_free<W: WordsMut>(words: &W) -> Result<(), RotateError> {
    let view = view(words);
    let next = view.rotated().ok_or(RotateError { view })?;
    clear(words, Table::of(next.active()));
    Ok(())
}

/// Clears `table`, which no view names any more.
pub(super) fn clear<W: WordsMut>(words: &W, table: Table) {
    words.fence(Fence::BeforeClear);
    for index in 0..words.slots() {
        words.store(Word::Slot { table, index }, 0, Ordering::Relaxed);
    }
}

/// Makes the next segment active and the active one the one that is being applied. After [`clear_free`] and the
/// creation of its file.
///
/// # Errors
/// While a segment is being applied, and after [`finish`].
pub fn rotate<W: WordsMut>(words: &W) -> Result<View, RotateError> {
    let view = view(words);
    let next = view.rotated().ok_or(RotateError { view })?;
    Ok(set_view(words, next))
}

/// Ends this generation. After `current` names the next one, where readers then go.
pub fn finish<W: WordsMut>(words: &W) -> View {
    set_view(words, View::OVER)
}

/// Only this thread stores the view, so a relaxed load is what it stored last.
pub(super) fn view<W: WordsMut>(words: &W) -> View {
    View::from_word(words.load(Word::View))
}

/// Release: who sees the view sees the table it names, and LMDB with everything it no longer names.
pub(super) fn set_view<W: WordsMut>(words: &W, view: View) -> View {
    words.store(Word::View, view.to_word(), Ordering::Release);
    view
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Plain, hash_at, location};
    use super::super::{Found, find};
    use super::*;

    #[test]
    fn a_key_has_one_slot_however_often_it_is_put() {
        let words = Plain::beginning_with(1, 8);
        let mut replaces = None;
        for number in 1..=100 {
            let published = publish(&words, hash_at(3, 9), location(1, number), replaces);
            assert_eq!(published, Ok(if number == 1 { Published::Added } else { Published::Replaced }));
            replaces = Some(location(1, number));
        }
        assert_eq!(words.used(Table::Odd), 1);
        assert_eq!(words.find_among(hash_at(3, 9), &[location(1, 100)]), Found::Here(location(1, 100)));
    }

    #[test]
    fn readers_are_sent_to_a_table_once_it_has_something() {
        let words = Plain::beginning_with(1, 8);
        assert_eq!(view(&words), View::alone(1));
        publish(&words, hash_at(3, 9), location(1, 1), None).unwrap();
        assert_eq!(view(&words), View::alone(1).used());
        publish(&words, hash_at(4, 9), location(1, 2), None).unwrap();
        assert_eq!(view(&words), View::alone(1).used());
        let next = rotate(&words).unwrap();
        assert!(next.is_empty());
        publish(&words, hash_at(3, 9), location(2, 1), None).unwrap();
        assert_eq!(view(&words), next.used());
    }

    #[test]
    fn an_operation_of_an_older_segment_is_not_replaced_but_hidden() {
        let words = Plain::beginning_with(1, 8);
        // The same offset in both: it must not be taken for the slot of another key in this table.
        publish(&words, hash_at(3, 9), location(1, 5), None).unwrap();
        rotate(&words).unwrap();
        let published = publish(&words, hash_at(3, 9), location(2, 5), Some(location(1, 5)));
        assert_eq!(published, Ok(Published::Added));
        assert_eq!([Table::Odd, Table::Even].map(|table| words.used(table)), [1, 1]);
    }

    #[test]
    fn keys_that_share_place_and_tag_keep_their_own_slots() {
        let words = Plain::beginning_with(1, 8);
        let hash = hash_at(7, 9);
        publish(&words, hash, location(1, 1), None).unwrap();
        publish(&words, hash, location(1, 2), None).unwrap();
        assert_eq!(publish(&words, hash, location(1, 3), Some(location(1, 2))), Ok(Published::Replaced));
        assert_eq!(words.find_among(hash, &[location(1, 1)]), Found::Here(location(1, 1)));
        assert_eq!(words.find_among(hash, &[location(1, 3)]), Found::Here(location(1, 3)));
        assert_eq!(words.used(Table::Odd), 2);
    }

    #[test]
    fn a_full_table_refuses_new_keys_and_still_replaces_old_ones() {
        let words = Plain::beginning_with(1, 4);
        for number in 1..=4 {
            publish(&words, hash_at(number as usize - 1, 9), location(1, number), None).unwrap();
        }
        let at = location(1, 5);
        assert_eq!(publish(&words, hash_at(0, 9), at, None), Err(PublishError::Full { at }));
        assert_eq!(publish(&words, hash_at(2, 9), at, Some(location(1, 3))), Ok(Published::Replaced));
    }

    #[test]
    fn nothing_is_published_where_no_reader_looks() {
        let words = Plain::beginning_with(1, 8);
        for number in 1..=5 {
            publish(&words, hash_at(0, 9), location(1, number), None).unwrap();
        }
        let at = location(1, 6);
        assert_eq!(publish(&words, hash_at(0, 9), at, None), Err(PublishError::Full { at }));
        assert_eq!(words.used(Table::Odd), 5);
        assert_eq!(words.find_among(hash_at(0, 9), &[location(1, 5)]), Found::Here(location(1, 5)));
    }

    #[test]
    fn a_slot_that_should_be_there_and_is_not_is_an_error() {
        let words = Plain::beginning_with(1, 4);
        let (at, replaces) = (location(1, 2), location(1, 1));
        let lost = Err(PublishError::Lost { at, replaces });
        assert_eq!(publish(&words, hash_at(0, 9), at, Some(replaces)), lost);
        assert_eq!(words.used(Table::Odd), 0);
    }

    #[test]
    fn only_the_table_of_the_next_segment_is_cleared() {
        let words = Plain::beginning_with(1, 4);
        publish(&words, hash_at(0, 9), location(1, 1), None).unwrap();
        rotate(&words).unwrap();
        publish(&words, hash_at(0, 9), location(2, 1), None).unwrap();

        let in_use = RotateError { view: View::alone(1).rotated().unwrap().used() };
        assert_eq!(clear_free(&words), Err(in_use));
        assert_eq!(rotate(&words), Err(in_use));
        assert_eq!([Table::Odd, Table::Even].map(|table| words.used(table)), [1, 1]);

        retire(&words);
        clear_free(&words).unwrap();
        assert_eq!([Table::Odd, Table::Even].map(|table| words.used(table)), [0, 1]);
        assert_eq!(rotate(&words), Ok(View::alone(2).rotated().unwrap()));
    }

    #[test]
    fn a_generation_that_is_over_stays_so() {
        let words = Plain::beginning_with(1, 4);
        finish(&words);
        assert_eq!(retire(&words), View::OVER);
        assert_eq!(rotate(&words), Err(RotateError { view: View::OVER }));
        assert_eq!(clear_free(&words), Err(RotateError { view: View::OVER }));
        assert_eq!(find(&words, hash_at(0, 9), &mut |_| unreachable!()), Found::<()>::Over);
    }
}
