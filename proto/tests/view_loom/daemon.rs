//! The writer: a daemon that may die between any two of its effects, and the one that takes over.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use datacache_proto::recent::{
    Fence, Location, Offset, RestartSteps, Table, View, Word, Words, WordsMut, begin, clear_free, finish, publish,
    restart, retire, rotate,
};

use crate::world::{HASH, Value, World};

/// What outlives a daemon and no reader looks at.
struct Disk {
    /// Every operation ever appended, with its segment.
    log: Vec<(u64, Value)>,
    /// How many of them LMDB has.
    applied: usize,
    /// The segments that have a file.
    files: BTreeSet<u64>,
}

/// A process that can die: from then on nothing that it does has an effect.
struct Process {
    world: Rc<World>,
    disk: Rc<RefCell<Disk>>,
    effects_left: Cell<usize>,
    dead: Cell<bool>,
}

pub(crate) struct Daemon {
    process: Process,
    /// Where each key's newest operation is, as far as this daemon has put it.
    newest: BTreeMap<usize, Location>,
    active: u64,
}

/// The daemon is dead; what it would do next does not happen.
#[derive(Debug)]
pub(crate) struct Dead;

pub(crate) type Alive = Result<(), Dead>;

impl Daemon {
    /// Returns the first daemon of a store, with segment 1 active. It lives for ever.
    pub(crate) fn first(world: Rc<World>) -> Self {
        begin(&*world, 1);
        let disk = Disk { log: Vec::new(), applied: 0, files: BTreeSet::from([1]) };
        let process = Process::new(world, Rc::new(RefCell::new(disk)), usize::MAX);
        Self { process, newest: BTreeMap::new(), active: 1 }
    }

    /// Kills this daemon after so many further effects.
    pub(crate) fn dies_after(&self, effects: usize) {
        self.process.effects_left.set(effects);
    }

    /// Appends, publishes and acknowledges.
    pub(crate) fn put(&mut self, value: Value) -> Alive {
        let Process { world, .. } = &self.process;
        let at = self.process.append(self.active, value);
        let older = self.newest.insert(World::key_of(value), at);
        let published = publish(&self.process, HASH, at, older);
        self.alive()?;
        published.expect("the tables of the models are never full");
        self.process.effect(|| world.tell(value));
        world.store_late();
        self.alive()
    }

    /// Makes table and file of the next segment.
    pub(crate) fn prepare(&mut self) -> Alive {
        let cleared = clear_free(&self.process);
        self.alive()?;
        cleared.expect("models prepare when nothing is being applied");
        self.process.create_file(self.active + 1);
        self.alive()
    }

    /// Makes the next segment active.
    pub(crate) fn rotate(&mut self) -> Alive {
        let rotated = rotate(&self.process);
        self.alive()?;
        self.active = rotated.expect("models rotate when nothing is being applied").active();
        Ok(())
    }

    /// Applies the segment before the active one to LMDB.
    pub(crate) fn apply(&mut self) -> Alive {
        self.process.apply_before(self.active);
        self.alive()
    }

    /// Says that it is applied.
    pub(crate) fn retire(&mut self) -> Alive {
        retire(&self.process);
        self.alive()
    }

    /// Deletes what is retired. Nobody waits for it, so it may come late.
    pub(crate) fn remove(&mut self) -> Alive {
        self.process.remove_before(self.active);
        self.alive()
    }

    /// Ends the generation, which begins anew with `value`, and puts `newer` there.
    pub(crate) fn begin_generation(&mut self, value: Value, newer: Value) -> Alive {
        let Process { world, .. } = &self.process;
        world.put_in_next_generation(value);
        finish(&self.process);
        world.put_in_next_generation(newer);
        world.tell(newer);
        Ok(())
    }

    /// Replaces this daemon by one that takes over and dies after so many effects.
    pub(crate) fn succeeded_by_one_with(&mut self, effects: usize) {
        self.succeed(effects, |process| {
            let mut steps = process;
            restart(process, &mut steps).expect("no step fails and the generation goes on")
        });
    }

    /// Replaces this daemon by one that takes over by a number too high.
    pub(crate) fn succeeded_by_one_that_jumps(&mut self) {
        self.succeed(usize::MAX, |process| {
            let next = View::from_word(process.load(Word::View)).active() + 2;
            process.apply_before(next);
            process.clear_all(Table::of(next));
            process.create_file(next);
            let alone = View::alone(next).to_word();
            process.store(Word::View, alone - 1, Ordering::Release);
            process.store(Word::View, alone, Ordering::Release);
            process.remove_before(next);
            next
        });
    }

    /// The lock that only one daemon can have orders what the first did before what the second does.
    fn succeed(&mut self, effects: usize, take_over: impl FnOnce(&Process) -> u64) {
        let Process { world, disk, .. } = &self.process;
        let process = Process::new(Rc::clone(world), Rc::clone(disk), effects);
        let active = take_over(&process);
        *self = Self { process, newest: BTreeMap::new(), active };
    }

    pub(crate) fn alive(&self) -> Alive {
        if self.process.dead.get() { Err(Dead) } else { Ok(()) }
    }
}

impl Process {
    fn new(world: Rc<World>, disk: Rc<RefCell<Disk>>, effects: usize) -> Self {
        Self { world, disk, effects_left: Cell::new(effects), dead: Cell::new(false) }
    }

    /// Does something that others can notice, or dies of it.
    fn effect(&self, effect: impl FnOnce()) {
        match self.effects_left.get().checked_sub(1) {
            Some(left) => {
                self.effects_left.set(left);
                effect();
            }
            None => self.dead.set(true),
        }
    }

    fn append(&self, segment: u64, value: Value) -> Location {
        let before = self.disk.borrow().log.iter().filter(|(of, _)| *of == segment).count() as u64;
        let offset = Offset::from_bytes((before + 1) * Offset::UNIT).expect("a small multiple of 8");
        let at = Location { segment, offset };
        self.effect(|| {
            self.world.write(at, value);
            self.disk.borrow_mut().log.push((segment, value));
        });
        at
    }

    /// Applies what LMDB does not have yet, each operation in a transaction of its own.
    fn apply_before(&self, segment: u64) {
        let disk = self.disk.borrow();
        let pending: Vec<_> = disk.log[disk.applied..].iter().filter(|(of, _)| *of < segment).copied().collect();
        drop(disk);
        for (_, value) in pending {
            self.effect(|| {
                self.world.commit(value);
                self.disk.borrow_mut().applied += 1;
            });
        }
    }

    fn clear_all(&self, table: Table) {
        self.fence(Fence::BeforeClear);
        for index in 0..self.slots() {
            self.store(Word::Slot { table, index }, 0, Ordering::Relaxed);
        }
    }

    fn create_file(&self, segment: u64) {
        self.effect(|| assert!(self.disk.borrow_mut().files.insert(segment), "violated: segment {segment} exists"));
    }

    fn remove_before(&self, segment: u64) {
        let old: Vec<_> = self.disk.borrow().files.range(..segment).copied().collect();
        for segment in old {
            self.effect(|| {
                self.world.truncate(segment);
                self.disk.borrow_mut().files.remove(&segment);
            });
        }
    }
}

impl Words for Process {
    fn slots(&self) -> usize {
        self.world.slots()
    }

    fn load(&self, word: Word) -> u64 {
        self.world.load(word)
    }

    fn fence(&self, which: Fence) {
        self.world.fence(which);
    }
}

impl WordsMut for Process {
    fn store(&self, word: Word, value: u64, order: Ordering) {
        self.effect(|| self.world.store(word, value, order));
    }
}

impl RestartSteps for &Process {
    type Error = Infallible;

    fn apply_all(&mut self) -> Result<(), Infallible> {
        self.apply_before(u64::MAX);
        Ok(())
    }

    fn unlink(&mut self, segment: u64) -> Result<(), Infallible> {
        self.effect(|| {
            self.disk.borrow_mut().files.remove(&segment);
        });
        Ok(())
    }

    fn create(&mut self, segment: u64) -> Result<(), Infallible> {
        self.create_file(segment);
        Ok(())
    }

    fn remove_older(&mut self, segment: u64) -> Result<(), Infallible> {
        self.remove_before(segment);
        Ok(())
    }
}
