//! The files as the process sees them at the moment: which name leads to which, and its descriptors and maps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use super::call::Fd;
use super::event::{Kind, Node, Place};
use crate::disk::{Content, Image};

/// The page of a map that was seen as a whole.
pub(super) const PAGE: u64 = 4096;

/// An open file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) node: Node,
    /// Writes return when the disk has them.
    pub(super) through: bool,
    pub(super) append: bool,
}

/// A shared map for writing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    start: u64,
    end: u64,
    pub(super) node: Node,
    offset: u64,
}

pub(super) struct Files {
    root: PathBuf,
    folders: BTreeMap<Node, BTreeMap<String, Node>>,
    links: BTreeMap<Node, String>,
    pub(super) descriptors: HashMap<Fd, Descriptor>,
    maps: Vec<Map>,
    /// Pages of mapped files that were ever anything but zeros.
    pub(super) used: BTreeSet<(Node, u64)>,
    next: u32,
}

impl Files {
    /// Begins with what is in the folder `root`.
    pub(super) fn new(root: &Path, base: &Image) -> Self {
        let (mut folders, mut links) = (BTreeMap::new(), BTreeMap::new());
        for (node, content) in &base.nodes {
            match content {
                Content::Folder(names) => drop(folders.insert(*node, names.clone())),
                Content::Link(target) => drop(links.insert(*node, target.clone())),
                Content::File(_) => {}
            }
        }
        let next = base.nodes.keys().last().map_or(1, |last| last.0 + 1);
        Self {
            root: root.to_owned(),
            folders,
            links,
            descriptors: HashMap::new(),
            maps: Vec::new(),
            used: BTreeSet::new(),
            next,
        }
    }

    /// Finds the place that a path names, from `folder`, or from the root of everything; `None` where it is none of ours.
    pub(super) fn place(&self, folder: Option<Node>, path: &Path) -> Option<Place> {
        let (mut at, path) = match path.strip_prefix(&self.root) {
            Ok(below) => (Node::ROOT, below),
            Err(_) if path.is_absolute() => return None,
            Err(_) => (folder?, path),
        };
        let mut names = path.components().map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
        let mut name = names.next()??;
        for next in names {
            at = self.folder(at, name)?;
            name = next?;
        }
        Some((at, name.to_owned()))
    }

    /// A folder, perhaps by way of a symbolic link beside it.
    fn folder(&self, parent: Node, name: &str) -> Option<Node> {
        let node = *self.folders.get(&parent)?.get(name)?;
        match self.links.get(&node) {
            Some(target) => self.folders.get(&parent)?.get(target).copied(),
            None => Some(node),
        }
    }

    /// Returns what is at a place. The root itself has no place.
    pub(super) fn at(&self, (folder, name): &Place) -> Option<Node> {
        self.folders.get(folder)?.get(name).copied()
    }

    pub(super) fn is_root(&self, path: &Path) -> bool {
        path == self.root
    }

    pub(super) fn create(&mut self, place: &Place, kind: &Kind) -> Node {
        let node = Node(self.next);
        self.next += 1;
        match kind {
            Kind::Folder => drop(self.folders.insert(node, BTreeMap::new())),
            Kind::Link(target) => drop(self.links.insert(node, target.clone())),
            Kind::File => {}
        }
        self.link(place, node);
        node
    }

    pub(super) fn link(&mut self, (folder, name): &Place, node: Node) {
        self.folders.entry(*folder).or_default().insert(name.clone(), node);
    }

    pub(super) fn remove(&mut self, (folder, name): &Place) -> Option<Node> {
        self.folders.get_mut(folder)?.remove(name)
    }

    pub(super) fn map(&mut self, map: Map) {
        self.unmap(map.start, map.end - map.start);
        self.maps.push(map);
    }

    pub(super) fn unmap(&mut self, at: u64, length: u64) {
        self.maps.retain(|map| map.end <= at || at + length <= map.start);
    }

    /// Returns the map that has an address.
    pub(super) fn mapped(&self, at: u64) -> Option<Map> {
        self.maps.iter().find(|map| (map.start..map.end).contains(&at)).copied()
    }

    /// Returns the name of a file, the first that there is.
    pub(super) fn name(&self, node: Node) -> Option<&str> {
        let mut names = self.folders.values().flatten();
        names.find(|(_, there)| **there == node).map(|(name, _)| name.as_str())
    }
}

impl Map {
    pub(super) fn new(start: u64, length: u64, node: Node, offset: u64) -> Self {
        Self { start, end: start + length.next_multiple_of(PAGE), node, offset }
    }

    /// Where in the file an address is.
    pub(super) fn offset(&self, at: u64) -> u64 {
        self.offset + (at - self.start)
    }
}
