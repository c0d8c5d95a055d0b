//! Shared words for the tests of this module.

use std::sync::atomic::AtomicU64;

use super::layout::WORDS;

/// Returns the words of a file that nobody wrote to.
pub(super) fn fresh() -> Vec<AtomicU64> {
    (0..WORDS).map(|_| AtomicU64::new(0)).collect()
}
