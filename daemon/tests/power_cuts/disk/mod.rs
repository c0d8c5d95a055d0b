//! The simulator: a disk that everything in a record is done on, and what may be left of it when the power goes.
//!
//! | file | what it knows |
//! | --- | --- |
//! | [`pages`], [`file`] | the bytes of a file: of what is not synced any sector may be as it was at any time |
//! | [`names`] | folders: what is not synced may be done or not, and what is assumed of the filesystem |
//! | [`role`] | what the files of a store are for, and syncs that do nothing, to see who relies on them |
//! | [`image`] | what is on the disk, as real files |

mod file;
mod image;
mod names;
pub(crate) mod pages;
mod role;

use std::collections::BTreeMap;

use fastrand::Rng;

pub(crate) use image::{Content, Image};
pub(crate) use role::{Neglect, Role};

use crate::record::{Action, Event, Kind, Mark, Node, Place};
use file::File;
use names::{Names, Tree};
use pages::Pages;

/// A disk while it has power.
#[derive(Clone)]
pub(crate) struct Disk {
    names: Names,
    files: BTreeMap<Node, File>,
    links: BTreeMap<Node, String>,
    /// The path that each file or folder had last.
    paths: BTreeMap<Node, String>,
    neglect: Neglect,
    is_opening: bool,
    /// The segment that frames were last written to.
    newest: u64,
}

impl Disk {
    /// A disk with something on it.
    pub(crate) fn new(base: &Image, neglect: Neglect) -> Self {
        let mut disk = Self {
            names: Names::durable(base.tree()),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            paths: BTreeMap::from([(Node::ROOT, String::new())]),
            neglect,
            is_opening: false,
            newest: 0,
        };
        for (node, content) in &base.nodes {
            match content {
                Content::File(pages) => drop(disk.files.insert(*node, File::durable(pages.clone()))),
                Content::Link(target) => drop(disk.links.insert(*node, target.clone())),
                Content::Folder(_) => {}
            }
        }
        // Whoever is in a folder was made after it.
        for (folder, names) in base.tree() {
            names.into_iter().for_each(|(name, node)| disk.call(&(folder, name), node));
        }
        disk
    }

    /// Does what was recorded.
    pub(crate) fn play(&mut self, event: &Event) {
        match &event.action {
            Action::Create { place, node, kind } => {
                self.call(place, *node);
                self.names.add(place, *node);
                match kind {
                    Kind::File => drop(self.files.insert(*node, File::default())),
                    Kind::Link(target) => drop(self.links.insert(*node, target.clone())),
                    Kind::Folder => {}
                }
            }
            Action::Link { place, node } => {
                self.call(place, *node);
                self.names.add(place, *node);
            }
            Action::Rename { from, to } => {
                if let Some(node) = self.names.at(from) {
                    self.call(to, node);
                }
                self.names.rename(from, to);
            }
            Action::Remove { place } => self.names.remove(place),
            Action::Write { file, at, bytes, through } => self.write(*file, *at, bytes, *through),
            Action::Resize { file, length } => self.file(*file).resize(*length),
            Action::Grow { file, length } => self.file(*file).grow(*length),
            Action::Sync { node } => {
                if !self.neglect.covers_sync(self.role(*node), event.thread, self.is_opening, self.newest) {
                    self.sync(*node);
                }
            }
            Action::Said(mark) => self.is_opening = matches!(mark, Mark::Opening),
        }
    }

    fn write(&mut self, file: Node, at: u64, bytes: &[u8], through: bool) {
        let role = self.role(file);
        if let Role::Segment(number) = role
            && at > 0
        {
            self.newest = self.newest.max(number);
        }
        let through = through && !self.neglect.covers_write(role);
        self.file(file).write(at, bytes, through);
    }

    fn sync(&mut self, node: Node) {
        match self.files.get_mut(&node) {
            Some(file) => file.sync(),
            None => self.names.sync(node),
        }
    }

    fn file(&mut self, node: Node) -> &mut File {
        self.files.entry(node).or_default()
    }

    fn call(&mut self, (folder, name): &Place, node: Node) {
        let above = self.paths.get(folder).map_or("", String::as_str);
        let path = format!("{above}/{name}");
        self.paths.insert(node, path);
    }

    fn role(&self, node: Node) -> Role {
        self.paths.get(&node).map_or(Role::Other, |path| Role::of(path))
    }

    /// Takes the power away. What is there then follows from `rng`.
    pub(crate) fn cut(&self, rng: &mut Rng) -> Image {
        let tree = self.names.after_cut(rng);
        self.image(&tree, |file| file.after_cut(rng))
    }

    /// Returns what a process sees while there is power.
    pub(crate) fn seen(&self) -> Image {
        self.image(self.names.seen(), File::seen)
    }

    /// Returns what can be reached by names.
    fn image(&self, tree: &Tree, mut content: impl FnMut(&File) -> Pages) -> Image {
        let (mut nodes, mut folders) = (BTreeMap::new(), vec![Node::ROOT]);
        while let Some(folder) = folders.pop() {
            let names = tree.get(&folder).cloned().unwrap_or_default();
            for node in names.values() {
                if nodes.contains_key(node) {
                    continue;
                }
                match (self.files.get(node), self.links.get(node)) {
                    (Some(file), _) => drop(nodes.insert(*node, Content::File(content(file)))),
                    (None, Some(target)) => drop(nodes.insert(*node, Content::Link(target.clone()))),
                    (None, None) => folders.push(*node),
                }
            }
            nodes.insert(folder, Content::Folder(names));
        }
        Image { nodes }
    }
}
