//! The selected namespace: its name, and its number in the store once that was looked up.

#[cfg(feature = "direct")]
use std::sync::atomic::{AtomicU64, Ordering};

use datacache_proto::key::{NamespaceError, check_namespace};

/// A namespace as callers name it.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: Box<str>,
    /// Whether it can be one; looked at before each call.
    is_sound: Result<(), NamespaceError>,
    /// The number in the lower half, and in the upper half which map it was found through; 0 before it was found. A number never
    /// changes within a store, but another store has others.
    #[cfg(feature = "direct")]
    number: AtomicU64,
}

impl Namespace {
    /// Takes a name; whether it can be one is said by [`Namespace::check`].
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            is_sound: check_namespace(name),
            #[cfg(feature = "direct")]
            number: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Checks the name.
    ///
    /// # Errors
    /// Where it can't be one.
    pub(crate) fn check(&self) -> Result<(), NamespaceError> {
        self.is_sound.clone()
    }
}

#[cfg(feature = "direct")]
impl Namespace {
    /// Returns the number that was kept for the map `map`.
    #[inline]
    pub(crate) fn number(&self, map: u32) -> Option<u32> {
        let kept = self.number.load(Ordering::Relaxed);
        ((kept >> 32) as u32 == map).then_some(kept as u32)
    }

    /// Keeps the number that was found through the map `map`, which is not 0.
    pub(crate) fn keep(&self, map: u32, number: u32) {
        self.number.store(u64::from(map) << 32 | u64::from(number), Ordering::Relaxed);
    }
}

#[cfg(all(test, feature = "direct"))]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_good_for_the_map_it_was_found_through_alone() {
        let namespace = Namespace::new("n");
        assert_eq!(namespace.number(1), None);
        namespace.keep(1, u32::MAX);
        assert_eq!((namespace.number(1), namespace.number(2)), (Some(u32::MAX), None));
        namespace.keep(2, 0);
        assert_eq!((namespace.number(1), namespace.number(2)), (None, Some(0)));
    }
}
