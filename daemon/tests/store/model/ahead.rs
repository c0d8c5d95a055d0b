//! Batches that are looked up ahead, with other steps between the beginning, the look and the writer's turn.

use datacache_daemon::store::{Batch, Command, Foreseer, Foresight, Put};

use super::map::Entry;
use super::{Run, key_of};

/// A batch on its way to the writer.
pub(super) struct Ahead {
    puts: Vec<(Put, Entry, Option<u64>)>,
    stage: Stage,
}

enum Stage {
    Begun(Foreseer),
    Looked(Foresight),
}

impl Run {
    /// Takes the batch that is on its way a stage further; where none is, begins one.
    pub(super) fn go_ahead(&mut self) {
        self.ahead = match self.ahead.take() {
            None => self.begin_ahead(),
            Some(Ahead { puts, stage: Stage::Begun(foreseer) }) => {
                let alone: Vec<Put> = puts.iter().map(|(put, ..)| put.clone()).collect();
                Some(Ahead { puts, stage: Stage::Looked(foreseer.look(&alone)) })
            }
            Some(Ahead { puts, stage: Stage::Looked(foresight) }) => {
                self.write_foreseen(puts, foresight);
                None
            }
        };
    }

    fn begin_ahead(&mut self) -> Option<Ahead> {
        let space = self.space();
        let foreseer = self.subject.store().foreseer(space)?;
        let puts = (0..self.rng.usize(1..6)).map(|_| self.put_into(space, false)).collect();
        Some(Ahead { puts, stage: Stage::Begun(foreseer) })
    }

    fn write_foreseen(&mut self, puts: Vec<(Put, Entry, Option<u64>)>, foresight: Foresight) {
        let commands = puts.iter().map(|(put, ..)| Command::Put(put.clone())).collect();
        let batch = Batch { foresight: Some(foresight), ..Batch::all(commands, None) };
        let outcomes = self.subject.write_batch(batch, self.now).unwrap();
        for (outcome, (put, entry, scope)) in outcomes.iter().zip(puts) {
            let entry = Entry { written: self.step, ..entry };
            self.note_put(&put.namespace, &key_of(&put), entry, scope, outcome);
        }
    }
}
