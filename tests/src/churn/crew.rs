//! The processes that keep a store in turmoil until somebody has seen enough.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use super::{Ledger, Seen, Version};
use crate::client::Client;
use crate::wait::{PATIENCE, eventually};

/// How often each worker has to get something done until it counts as going on.
const STEPS: u64 = 10;

/// Readers and writers at work, each a process of its own. Dropping it ends them.
#[derive(Debug)]
pub struct Crew {
    ledger: Ledger,
    readers: Vec<Client>,
    writers: Vec<Client>,
}

/// What a crew got done.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Values that were asked for.
    pub reads: u64,
    /// Those of them that found bytes.
    pub values: u64,
    /// Reads that asked for no value.
    pub looks: u64,
    /// Versions that were written.
    pub writes: u64,
    /// Batches among them.
    pub batches: u64,
    /// Deletions among them.
    pub deletes: u64,
}

impl Crew {
    /// Puts readers and writers to work, and returns once each has got something done. The writers share all keys
    /// equally; a worker's number counts the readers, then the writers.
    ///
    /// # Panics
    /// Where one can't begin.
    #[must_use]
    pub fn begin(ledger: &Path, readers: u64, writers: u64, mut start: impl FnMut() -> Client) -> Self {
        let path = ledger.to_str().unwrap();
        let ledger = Ledger::create(ledger);
        let mut worker = |request: &[&str]| {
            let mut worker = start();
            worker.tell(request);
            worker
        };
        let first_key = |writer: u64| (Ledger::KEYS * writer / writers).to_string();
        let writers = (0..writers).map(|writer| {
            let (from, to) = (first_key(writer), first_key(writer + 1));
            worker(&["churn-write", path, &(readers + writer).to_string(), &from, &to])
        });
        let writers = writers.collect();
        let readers = (0..readers).map(|reader| worker(&["churn-read", path, &reader.to_string()])).collect();
        let crew = Self { ledger, readers, writers };
        crew.assert_all_go_on();
        crew
    }

    /// Returns what they note their work in.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Waits until each reader and each writer has got more done, or one of them saw what must not be.
    ///
    /// # Panics
    /// Where one does not go on.
    pub fn assert_all_go_on(&self) {
        self.assert_go_on(0..(self.readers.len() + self.writers.len()) as u64);
    }

    /// The same for the readers alone.
    ///
    /// # Panics
    /// Where one does not go on.
    pub fn assert_readers_go_on(&self) {
        self.assert_go_on(0..self.readers.len() as u64);
    }

    fn assert_go_on(&self, workers: impl Iterator<Item = u64>) {
        workers.for_each(|worker| self.assert_goes_on(worker));
    }

    /// The same for one worker.
    ///
    /// # Panics
    /// Where it does not go on.
    pub fn assert_goes_on(&self, worker: u64) {
        let before = self.ledger.ticks(worker);
        eventually("the worker goes on", PATIENCE, || {
            self.ledger.is_over() || self.ledger.ticks(worker) > before + STEPS
        });
    }

    /// Sends all writers a signal.
    pub fn signal_writers(&self, signal: Signal) {
        self.writers.iter().for_each(|writer| writer.process().signal(signal));
    }

    /// Has all of them end; returns what they got done, and what tells which version each key holds in the end.
    ///
    /// # Panics
    /// With the words of the one that saw what must not be.
    #[must_use]
    pub fn end(mut self) -> (Done, Ledger) {
        self.ledger.stop();
        let readers: Vec<Value> = self.readers.iter_mut().map(Client::answer).collect();
        let writers: Vec<Value> = self.writers.iter_mut().map(Client::answer).collect();
        let done = Done {
            reads: sum(&readers, "reads"),
            values: sum(&readers, "values"),
            looks: sum(&readers, "looks"),
            writes: sum(&writers, "writes"),
            batches: sum(&writers, "batches"),
            deletes: sum(&writers, "deletes"),
        };
        (done, self.ledger)
    }
}

impl Ledger {
    /// Checks that every key holds what was written last, as `get` finds it.
    ///
    /// # Panics
    /// Where one does not.
    pub fn assert_is_held(&self, mut get: impl FnMut(&str) -> Option<Vec<u8>>) {
        for key in 0..Self::KEYS {
            let version = Version { key, number: self.finished(key) };
            assert_eq!(version.number, self.begun(key), "all that was begun is done");
            let value = get(&format!("churned {key}"));
            assert!(value == version.value(), "{:?}", Seen::of(key, value.as_deref()));
        }
    }
}

fn sum(answers: &[Value], name: &str) -> u64 {
    answers.iter().map(|answer| answer[name].as_u64().unwrap()).sum()
}
