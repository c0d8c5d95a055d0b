//! How processes get a key: as they should, and in ways that must be found wrong.

use std::cell::Cell;

use datacache_proto::recent::{Fence, Found, Word, Words};

use crate::world::{Value, World};

/// Gets a key; `None` if the daemon has to be asked.
pub(crate) type Get = fn(&World, usize) -> Option<Value>;

/// As it should be.
pub(crate) fn get(world: &World, key: usize) -> Option<Value> {
    match world.find(world, key) {
        Found::Here(value) => Some(value),
        Found::Absent { .. } => Some(world.lmdb(key)),
        Found::Over => Some(world.next_generation(key)),
        Found::Unstable | Found::Unreadable { .. } => None,
    }
}

/// Looks into a transaction of LMDB that was begun before the lookup, say one that is kept open.
pub(crate) fn get_with_an_old_transaction(world: &World, key: usize) -> Option<Value> {
    let old = world.lmdb(key);
    match world.find(world, key) {
        Found::Absent { .. } => Some(old),
        Found::Here(value) => Some(value),
        _ => None,
    }
}

/// Believes a view that it has seen before, without looking again.
pub(crate) fn get_without_rechecking(world: &World, key: usize) -> Option<Value> {
    let words = OneLook { world, view: Cell::new(None), fenced: true };
    match world.find(&words, key) {
        Found::Here(value) => Some(value),
        Found::Absent { .. } => Some(world.lmdb(key)),
        _ => None,
    }
}

/// Looks at the view again, but only after the operation was read, or LMDB.
pub(crate) fn get_rechecking_late(world: &World, key: usize) -> Option<Value> {
    loop {
        let words = OneLook { world, view: Cell::new(None), fenced: false };
        let value = match world.find(&words, key) {
            Found::Here(value) => Some(value),
            Found::Absent { .. } => Some(world.lmdb(key)),
            _ => None,
        };
        world.fence(Fence::BeforeRecheck);
        if Some(world.load(Word::View)) == words.view.get() {
            return value;
        }
    }
}

/// The words of a world whose view never seems to move.
struct OneLook<'a> {
    world: &'a World,
    view: Cell<Option<u64>>,
    fenced: bool,
}

impl Words for OneLook<'_> {
    fn slots(&self) -> usize {
        self.world.slots()
    }

    fn load(&self, word: Word) -> u64 {
        match (word, self.view.get()) {
            (Word::View, Some(view)) => view,
            (Word::View, None) => {
                let view = self.world.load(word);
                self.view.set(Some(view));
                view
            }
            (Word::Slot { .. }, _) => self.world.load(word),
        }
    }

    fn fence(&self, which: Fence) {
        if self.fenced || which != Fence::BeforeRecheck {
            self.world.fence(which);
        }
    }
}
