//! The batches that have no room below a limit, in a line for each namespace: whose turn it is to have room made.
//!
//! Room is made by turns for each limit that is waited for, and for a limit always for the batch that came first. So what needs much room
//! in one namespace, or waits for a thread, does not hold up another one; and the batches of a namespace keep their order.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::queue::Slot;
use crate::store::{Batch, BatchResult, Command, Owner, Way};

/// Batches that wait for room.
#[derive(Default)]
pub(crate) struct Crowd {
    lines: Vec<Line>,
    /// For whose limit room was made last.
    served: Option<Owner>,
    /// Whose limits a thread of the store has to get on for.
    resting: Vec<Owner>,
}

/// Those of a namespace, in the order of their arrival; of one that adds to many namespaces, the first one counts.
struct Line {
    namespace: Option<Arc<str>>,
    /// Whose limit the first of them waits for, as it was last seen.
    of: Owner,
    waiting: VecDeque<(Slot, Batch)>,
}

impl Line {
    /// Returns the number of the first one.
    fn first(&self) -> u64 {
        self.waiting.front().map_or(u64::MAX, |(slot, _)| slot.number)
    }
}

impl Crowd {
    /// Takes in a batch that has no room below a limit.
    pub(crate) fn push(&mut self, of: Owner, slot: Slot, batch: Batch) {
        let namespace = namespace(&batch);
        let at = self.lines.iter().position(|line| line.namespace == namespace).unwrap_or_else(|| {
            self.lines.push(Line { namespace, of, waiting: VecDeque::new() });
            self.lines.len() - 1
        });
        let line = &mut self.lines[at];
        // It may have been the first of them before.
        let place = line.waiting.partition_point(|(other, _)| other.number < slot.number);
        if place == 0 {
            line.of = of;
        }
        line.waiting.insert(place, (slot, batch));
    }

    /// Begins a turn: whoever had to wait for a thread is asked again.
    pub(crate) fn begin_turn(&mut self) {
        self.resting.clear();
    }

    /// Has room made until a batch has it, and takes that out; `None` where all wait for a thread, or no slice is left of `slices`. Those
    /// that are refused are `done`.
    pub(crate) fn make_way(
        &mut self,
        slices: &mut u32,
        done: &mut Vec<(Slot, BatchResult)>,
        mut make_way: impl FnMut(&Batch, Owner) -> Way,
    ) -> Option<(Slot, Batch)> {
        while *slices > 0 {
            let at = self.next()?;
            let of = self.lines[at].of;
            self.served = Some(of);
            let way = make_way(&self.lines[at].waiting.front()?.1, of);
            *slices -= u32::from(!matches!(way, Way::Wait));
            match way {
                Way::Again => {}
                Way::Wait => self.resting.push(of),
                Way::Elsewhere(owner) => self.lines[at].of = owner,
                Way::Clear => return self.take(at),
                Way::Refused(error) => done.extend(self.take(at).map(|(slot, _)| (slot, Err(error)))),
            }
        }
        None
    }

    /// Returns the line of the batch that came first, of those that wait for the limit whose turn it is.
    fn next(&self) -> Option<usize> {
        let lines = self.lines.iter().enumerate().filter(|(_, line)| !self.resting.contains(&line.of));
        lines.min_by_key(|(_, line)| (Some(line.of) <= self.served, line.of, line.first())).map(|(at, _)| at)
    }

    fn take(&mut self, at: usize) -> Option<(Slot, Batch)> {
        let taken = self.lines[at].waiting.pop_front();
        self.lines.retain(|line| !line.waiting.is_empty());
        taken
    }

    /// Tells whether there is more to do at once.
    pub(crate) fn can_go_on(&self) -> bool {
        self.next().is_some()
    }

    /// Tells whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the number of the first batch of all; `None` where there is none.
    pub(crate) fn first(&self) -> Option<u64> {
        self.lines.iter().map(Line::first).min()
    }

    /// Drops the batches that nobody waits for any more.
    pub(crate) fn drop_given_up(&mut self) {
        self.lines.iter_mut().for_each(|line| line.waiting.retain(|(slot, _)| !slot.reply.is_closed()));
        self.lines.retain(|line| !line.waiting.is_empty());
    }

    /// Gives up all that wait; returns those who did.
    pub(crate) fn give_up(&mut self) -> impl Iterator<Item = Slot> {
        self.lines.drain(..).flat_map(|line| line.waiting).map(|(slot, _)| slot)
    }
}

fn namespace(batch: &Batch) -> Option<Arc<str>> {
    batch.commands.iter().find_map(|command| match command {
        Command::Put(put) => Some(Arc::clone(&put.namespace)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
