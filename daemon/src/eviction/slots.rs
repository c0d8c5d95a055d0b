//! The slots of a ghost, in pieces that a copy shares until they change: all of a large one at once would take too long to copy for a
//! thread that others wait for.

use std::sync::Arc;

/// The slots of a piece: 4 KiB.
pub(super) const PIECE: usize = 1 << 10;

/// So many times [`PIECE`] slots; 0 is an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slots(Vec<Arc<[u32; PIECE]>>);

impl Slots {
    /// Makes one piece of empty slots.
    pub(super) fn new() -> Self {
        Self(vec![Arc::new([0; PIECE])])
    }

    /// Takes up what was kept; `None` where that is no whole number of pieces.
    pub(super) fn from_slice(slots: &[u32]) -> Option<Self> {
        let (pieces, rest) = slots.as_chunks::<PIECE>();
        rest.is_empty().then(|| Self(pieces.iter().map(|piece| Arc::new(*piece)).collect()))
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len() * PIECE
    }

    /// Puts all that there are behind themselves once more.
    pub(super) fn double(&mut self) {
        self.0.extend_from_within(..);
    }

    /// Returns a slot.
    pub(super) fn get(&self, at: usize) -> u32 {
        self.0[at / PIECE][at % PIECE]
    }

    /// Returns some that lie in one piece, from a slot on.
    pub(super) fn row<const LENGTH: usize>(&self, from: usize) -> &[u32; LENGTH] {
        self.0[from / PIECE][from % PIECE..].first_chunk().expect("they lie in one piece")
    }

    /// Changes a slot.
    pub(super) fn set(&mut self, at: usize, slot: u32) {
        Arc::make_mut(&mut self.0[at / PIECE])[at % PIECE] = slot;
    }

    /// Returns all of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|piece| **piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_shares_all_but_what_changed_since() {
        let mut slots = Slots::from_slice(&[7; 4 * PIECE]).unwrap();
        let copy = slots.clone();
        slots.set(2 * PIECE + 5, 9);
        let shared = slots.0.iter().zip(&copy.0).map(|(ours, copied)| Arc::ptr_eq(ours, copied));
        assert_eq!(shared.collect::<Vec<_>>(), [true, true, false, true]);
        assert_eq!((slots.get(2 * PIECE + 5), copy.get(2 * PIECE + 5)), (9, 7));
        assert_eq!(copy.iter().filter(|slot| *slot == 7).count(), copy.len());
    }

    #[test]
    fn slots_are_doubled_as_they_are_and_change_apart_then() {
        let mut slots = Slots::new();
        slots.set(3, 9);
        slots.double();
        slots.set(3, 8);
        assert_eq!((slots.len(), slots.row(2), slots.row(PIECE + 2)), (2 * PIECE, &[0, 8], &[0, 9]));
        assert_eq!(Slots::from_slice(&[0; PIECE + 1]), None);
    }
}
