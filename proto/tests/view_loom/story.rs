//! One model: a daemon lives, readers read, and nobody ever sees the past.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::model::Builder;
use loom::thread;

use crate::daemon::{Alive, Daemon};
use crate::reader::{Get, get};
use crate::world::{Broken, Bytes, World};

/// A part of a daemon's life.
pub(crate) type Part = Arc<dyn Fn(&mut Daemon) -> Alive + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Story {
    /// How many slots a table has.
    pub(crate) slots: usize,
    /// How strict the world is about the bytes of a segment.
    pub(crate) bytes: Bytes,
    /// The rule that is broken.
    pub(crate) broken: Broken,
    /// What has happened before any reader comes.
    pub(crate) before: Part,
    /// What happens while they read.
    pub(crate) meanwhile: Part,
    /// The keys that each reader gets, one after the other.
    pub(crate) readers: [&'static [usize]; 2],
    /// How they get a key.
    pub(crate) get: Get,
    /// How often threads are interrupted where they do not wait.
    pub(crate) preemptions: usize,
}

impl Story {
    /// Returns a story of one key, in tables of one slot, that one reader gets twice.
    pub(crate) fn new<B, M>(before: B, meanwhile: M) -> Self
    where
        B: Fn(&mut Daemon) -> Alive + Send + Sync + 'static,
        M: Fn(&mut Daemon) -> Alive + Send + Sync + 'static,
    {
        Self {
            slots: 1,
            bytes: Bytes::Ordered,
            broken: Broken::Nothing,
            before: Arc::new(before),
            meanwhile: Arc::new(meanwhile),
            readers: [&[0, 0], &[]],
            get,
            preemptions: 2,
        }
    }

    /// Asserts that no order of events violates anything.
    pub(crate) fn holds(&self, what: &str) {
        match self.run() {
            Ok(executions) => println!("{what}: {executions} executions"),
            Err((violation, executions)) => panic!("{what}: {violation} (execution {executions})"),
        }
    }

    /// Asserts that loom finds an order in which somebody sees the past.
    pub(crate) fn shows_the_past(&self, what: &str) {
        self.violates(what, "violated: the past");
    }

    /// Asserts that loom finds an order in which an operation is read while it is written.
    pub(crate) fn shows_a_race(&self, what: &str) {
        self.violates(what, "Causality violation: Concurrent read and write accesses");
    }

    fn violates(&self, what: &str, expected: &str) {
        match self.run() {
            Ok(executions) => panic!("{what}: nothing is violated in {executions} executions"),
            Err((violation, executions)) => {
                assert!(violation.starts_with(expected), "{what}: another violation: {violation}");
                println!("{what}: violation found in execution {executions}");
            }
        }
    }

    /// Runs the story in every order that loom knows; returns in how many, or what was violated in the last.
    fn run(&self) -> Result<usize, (String, usize)> {
        let executions = Arc::new(AtomicUsize::new(0));
        let mut builder = Builder::new();
        builder.preemption_bound = Some(self.preemptions);
        let (story, count) = (self.clone(), Arc::clone(&executions));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            builder.check(move || {
                count.fetch_add(1, Ordering::Relaxed);
                story.tell();
            });
        }));
        let executions = executions.load(Ordering::Relaxed);
        outcome.map(|()| executions).map_err(|payload| (message(&*payload), executions))
    }

    fn tell(&self) {
        let world = Rc::new(World::new(self.slots, self.bytes, self.broken));
        let mut daemon = Daemon::first(Rc::clone(&world));
        (self.before)(&mut daemon).expect("nobody dies before the readers come");

        let meanwhile = Arc::clone(&self.meanwhile);
        let daemon = thread::spawn(move || drop(meanwhile(&mut daemon)));
        let second = (!self.readers[1].is_empty()).then(|| {
            let (story, world) = (self.clone(), Rc::clone(&world));
            thread::spawn(move || story.read(&world, 1))
        });
        self.read(&world, 0);
        for thread in [Some(daemon), second].into_iter().flatten() {
            thread.join().expect("a panic in any thread ends the model");
        }
    }

    fn read(&self, world: &World, reader: usize) {
        let mut seen = [0; 2];
        for &key in self.readers[reader] {
            let known = world.known(key).max(seen[key]);
            let Some(value) = (self.get)(world, key) else {
                assert_eq!(self.bytes, Bytes::Checksummed, "violated: a reader gave up");
                continue;
            };
            assert!(value >= known, "violated: the past: {value} after {known}");
            assert!(value == 0 || World::key_of(value) == key, "violated: {value} is no value of {key}");
            seen[key] = value;
            if value > known && !self.readers[1].is_empty() {
                world.tell(value);
            }
        }
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
