//! The names on a disk that loses its power. What a folder's `fsync` has not taken may be done or not.
//!
//! Assumed of the filesystem is only:
//! - A rename is done whole or not at all, in both folders.
//! - The changes of one name are done in their order.
//! - What an `fsync` of a folder takes, it takes with everything that was changed in it before; a rename, with what was changed
//!   before in the other folder.
//!
//! ext4 and xfs promise more: their journals keep all changes in one order. btrfs commits all at once, but an `fsync` of a file may
//! save its name ahead of others. So the names after a cut are drawn in four ways: nothing was done, everything, a
//! beginning of all that was changed, a beginning of what was changed in each folder, or any of it.
//! That an `fsync` of a file saves its name is not assumed.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use crate::record::{Node, Place};

/// Folders, and what their names lead to.
pub(crate) type Tree = BTreeMap<Node, BTreeMap<String, Node>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    durable: Tree,
    now: Tree,
    /// What was changed since, in its order.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Add(Place, Node),
    Remove(Place),
    Move(Place, Place, Node),
}

impl Change {
    fn places(&self) -> impl Iterator<Item = &Place> {
        let (one, other) = match self {
            Self::Add(place, _) | Self::Remove(place) => (place, None),
            Self::Move(from, to, _) => (from, Some(to)),
        };
        std::iter::once(one).chain(other)
    }

    fn folders(&self) -> impl Iterator<Item = Node> {
        self.places().map(|(folder, _)| *folder)
    }

    fn apply(&self, tree: &mut Tree) {
        match self {
            Self::Add((folder, name), node) => drop(tree.entry(*folder).or_default().insert(name.clone(), *node)),
            Self::Remove((folder, name)) => drop(tree.entry(*folder).or_default().remove(name)),
            Self::Move((from, old), (to, new), node) => {
                tree.entry(*from).or_default().remove(old);
                tree.entry(*to).or_default().insert(new.clone(), *node);
            }
        }
    }
}

impl Names {
    pub(crate) fn durable(tree: Tree) -> Self {
        Self { durable: tree.clone(), now: tree, pending: Vec::new() }
    }

    pub(crate) fn at(&self, (folder, name): &Place) -> Option<Node> {
        self.now.get(folder)?.get(name).copied()
    }

    pub(crate) fn add(&mut self, place: &Place, node: Node) {
        self.change(Change::Add(place.clone(), node));
    }

    pub(crate) fn remove(&mut self, place: &Place) {
        self.change(Change::Remove(place.clone()));
    }

    pub(crate) fn rename(&mut self, from: &Place, to: &Place) {
        if let Some(node) = self.at(from) {
            self.change(Change::Move(from.clone(), to.clone(), node));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    /// Makes all changes of a folder durable, and those that can't come after them.
    pub(crate) fn sync(&mut self, folder: Node) {
        let mut folders = BTreeSet::from([folder]);
        let mut taken = vec![false; self.pending.len()];
        for (taken, change) in taken.iter_mut().zip(&self.pending).rev() {
            *taken = change.folders().any(|folder| folders.contains(&folder));
            if *taken {
                folders.extend(change.folders());
            }
        }
        let mut taken = taken.into_iter();
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let is_taken = taken.next().unwrap_or_default();
            if is_taken {
                change.apply(durable);
            }
            !is_taken
        });
    }

    /// Returns the names that a process sees.
    pub(crate) fn seen(&self) -> &Tree {
        &self.now
    }

    /// Returns the names that may be on the disk.
    pub(crate) fn after_cut(&self, rng: &mut Rng) -> Tree {
        match rng.u32(..5) {
            0 => self.durable.clone(),
            1 => self.now.clone(),
            2 => {
                let end = rng.usize(..=self.pending.len());
                self.some(self.pending[..end].iter())
            }
            3 => self.beginnings(rng, |change| change.folders().map(|folder| (folder, String::new())).collect()),
            _ => self.beginnings(rng, |change| change.places().cloned().collect()),
        }
    }

    /// Does changes until one is not done; then no other is done that has anything in `common` with that.
    fn beginnings(&self, rng: &mut Rng, common: impl Fn(&Change) -> Vec<Place>) -> Tree {
        let mut stopped = BTreeSet::new();
        let odds = [2, 4, 16][rng.usize(..3)];
        let done = self.pending.iter().filter(|change| {
            let common = common(change);
            let is_done = !common.iter().any(|place| stopped.contains(place)) && rng.u32(..odds) > 0;
            if !is_done {
                stopped.extend(common);
            }
            is_done
        });
        self.some(done)
    }

    fn some<'c>(&self, changes: impl Iterator<Item = &'c Change>) -> Tree {
        let mut tree = self.durable.clone();
        changes.for_each(|change| change.apply(&mut tree));
        tree
    }
}
