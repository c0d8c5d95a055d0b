//! The place in a cache for the map that it looks through, and all such places of the process.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::{ArcSwapOption, Guard};

use super::map::Map;
use crate::fork::hold_off;

/// A map on loan: whoever has it may look through it, also when it is no longer the cache's.
pub(super) type Loan = Guard<Option<Arc<Map>>>;

/// The place for a cache's map.
#[derive(Debug, Default)]
pub(super) struct Slot(ArcSwapOption<Map>);

/// The slots of this process. Locked only while forks are held off.
static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

impl Slot {
    /// Makes an empty slot.
    pub(super) fn new() -> Arc<Self> {
        let slot = Arc::new(Self::default());
        let _still = hold_off();
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
    }

    #[inline]
    pub(super) fn load(&self) -> Loan {
        self.0.load()
    }

    /// Puts a map in; returns it on loan.
    pub(super) fn put(&self, map: Map) -> Loan {
        let map = Arc::new(map);
        self.0.store(Some(Arc::clone(&map)));
        Guard::from_inner(Some(map))
    }

    /// Takes the map with this number out, unless another one has taken its place.
    pub(super) fn clear(&self, id: u32) {
        let map = self.load();
        if map.as_ref().is_some_and(|map| map.id == id) {
            self.0.compare_and_swap(&map, None);
        }
    }

    /// Takes the map out if its store is not where it was, or outgrew it.
    fn clear_if_gone(&self) {
        let map = self.load();
        if map.as_ref().is_some_and(|map| !map.is_in_place() || map.environment.is_outgrown()) {
            self.0.compare_and_swap(&map, None);
        }
    }
}

/// Has all caches of this process let go of stores that are not where they were, or that outgrew their maps. One that nobody uses does
/// not notice by itself, and as long as it holds on, nothing else can be opened in that place.
pub(super) fn let_go_of_the_gone() {
    let slots: Vec<Arc<Slot>> = {
        let _still = hold_off();
        let slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter_map(Weak::upgrade).collect()
    };
    slots.iter().for_each(|slot| slot.clear_if_gone());
}

#[cfg(test)]
mod tests {
    use std::fs;

    use datacache_proto::types::Fallback;

    use super::super::registry::rest;
    use super::super::testing::Store;
    use super::*;

    #[test]
    fn a_map_is_taken_out_unless_another_one_is_there() {
        let store = Store::new();
        let slot = Slot::new();
        let [first, second] = [(); 2].map(|()| slot.put(Map::open(store.path()).unwrap()).as_ref().unwrap().id);
        slot.clear(first);
        assert_eq!(slot.load().as_ref().map(|map| map.id), Some(second));
        slot.clear(second);
        assert!(slot.load().is_none());
    }

    #[test]
    fn a_store_that_is_gone_is_let_go_of_by_those_who_do_not_use_it() {
        let (store, successor) = (Store::new(), Store::new());
        let idle = Slot::new();
        drop(idle.put(Map::open(store.path()).unwrap()));
        fs::rename(store.generation(), store.path().join("away")).unwrap();
        fs::rename(successor.generation(), store.generation()).unwrap();
        assert_eq!(Map::open(store.path()).unwrap_err(), Fallback::Taken);
        // It was seen in its place within the same second.
        idle.load().as_ref().unwrap().forget_place();
        let_go_of_the_gone();
        assert!(idle.load().is_none());
        rest(&store.path().join("away"));
        assert!(Map::open(store.path()).is_ok());
    }

    #[test]
    fn a_store_that_outgrew_its_map_is_let_go_of_by_those_who_do_not_use_it() {
        let store = Store::new();
        let idle = Slot::new();
        idle.put(Map::open(store.path()).unwrap()).as_ref().unwrap().environment.outgrow();
        assert_eq!(Map::open(store.path()).unwrap_err(), Fallback::Map);
        let_go_of_the_gone();
        assert!(idle.load().is_none());
        rest(&store.generation());
        assert!(Map::open(store.path()).is_ok());
    }
}
