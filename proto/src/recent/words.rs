//! The only access to the shared words, behind traits so that the same code runs on a mapped file and under loom.

use std::sync::atomic::Ordering;

use super::Table;

/// One of the words that the view protocol touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The view.
    View,
    /// The slot `index` of `table`.
    Slot {
        /// Which of the two tables.
        table: Table,
        /// Less than the number of slots.
        index: usize,
    },
}

/// One of the fences of the view protocol, by what it stands between; the module's head says what breaks without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// A reader has loaded the view and will load slots: those of a table as it was when the view was stored, or newer.
    AfterView,
    /// A reader has loaded slots and will load the view again, then read frames: if a slot was newer than the view,
    /// the view that made it so.
    BeforeRecheck,
    /// The daemon has retired a segment and will clear its table: who sees a cleared slot sees the retirement.
    BeforeClear,
}

impl Fence {
    /// Returns the ordering of the fence.
    #[inline]
    pub const fn order(self) -> Ordering {
        match self {
            Self::AfterView | Self::BeforeRecheck => Ordering::Acquire,
            Self::BeforeClear => Ordering::Release,
        }
    }
}

/// The shared words as a reader sees them.
pub trait Words {
    /// Returns the number of slots of each table, a power of two.
    fn slots(&self) -> usize;

    /// Loads `word`, relaxed.
    fn load(&self, word: Word) -> u64;

    /// Stands between the accesses before it and those after it.
    fn fence(&self, fence: Fence);
}

/// The shared words as the daemon sees them, which alone may store.
pub trait WordsMut: Words {
    /// Stores `value` in `word`; `order` is `Release` or `Relaxed`.
    fn store(&self, word: Word, value: u64, order: Ordering);
}
