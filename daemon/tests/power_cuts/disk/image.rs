//! A folder with all that is in it, as it is on the disk; and the way to real files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::names::Tree;
use super::pages::{PAGE, Pages};
use crate::Fault;
use crate::record::{MAPPED, Node};

/// What the disk has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) nodes: BTreeMap<Node, Content>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Content {
    File(Pages),
    Folder(BTreeMap<String, Node>),
    Link(String),
}

impl Default for Image {
    /// An empty folder.
    fn default() -> Self {
        Self { nodes: BTreeMap::from([(Node::ROOT, Content::Folder(BTreeMap::new()))]) }
    }
}

impl Image {
    /// Returns the names of all folders.
    pub(crate) fn tree(&self) -> Tree {
        let folder = |(node, content): (&Node, &Content)| match content {
            Content::Folder(names) => Some((*node, names.clone())),
            _ => None,
        };
        self.nodes.iter().filter_map(folder).collect()
    }

    /// Returns what is at a path.
    pub(crate) fn find(&self, path: &str) -> Option<&Content> {
        path.split('/').try_fold(self.nodes.get(&Node::ROOT)?, |folder, name| match folder {
            Content::Folder(names) => self.nodes.get(names.get(name)?),
            _ => None,
        })
    }

    /// Says in what the files below a folder differ, if they do; those that are stored to by shared maps are passed over.
    pub(crate) fn differs_from(&self, root: &Path) -> Result<Option<PathBuf>, Fault> {
        let mut folders = vec![(Node::ROOT, root.to_owned())];
        while let Some((folder, path)) = folders.pop() {
            let Some(Content::Folder(names)) = self.nodes.get(&folder) else { return Ok(Some(path)) };
            if fs::read_dir(&path)?.count() != names.len() {
                return Ok(Some(path));
            }
            for (name, node) in names {
                let path = path.join(name);
                let is_alike = match self.nodes.get(node) {
                    Some(Content::File(_)) if MAPPED.contains(&name.as_str()) => path.is_file(),
                    Some(Content::File(pages)) => fs::read(&path)? == pages.bytes(),
                    Some(Content::Link(target)) => fs::read_link(&path)? == Path::new(target),
                    _ => {
                        folders.push((*node, path.clone()));
                        path.is_dir()
                    }
                };
                if !is_alike {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }

    /// Makes the files, below a folder that is there and empty.
    pub(crate) fn write_to(&self, root: &Path) -> Result<(), Fault> {
        let mut written = BTreeMap::new();
        self.write_folder(Node::ROOT, root, &mut written)
    }

    fn write_folder(&self, folder: Node, path: &Path, written: &mut BTreeMap<Node, PathBuf>) -> Result<(), Fault> {
        let Some(Content::Folder(names)) = self.nodes.get(&folder) else { return Err("no folder".into()) };
        for (name, node) in names {
            let path = path.join(name);
            if let Some(same) = written.get(node) {
                fs::hard_link(same, path)?;
                continue;
            }
            match self.nodes.get(node).ok_or("a name leads nowhere")? {
                Content::File(pages) => write_file(&path, pages)?,
                Content::Link(target) => symlink(target, &path)?,
                Content::Folder(_) => {
                    fs::create_dir(&path)?;
                    self.write_folder(*node, &path, written)?;
                    continue;
                }
            }
            written.insert(*node, path);
        }
        Ok(())
    }
}

/// Writes a file, which is some minutes old then.
fn write_file(path: &Path, pages: &Pages) -> Result<(), Fault> {
    let file = File::create_new(path)?;
    for (number, page) in &pages.pages {
        file.write_all_at(&page[..], number * PAGE as u64)?;
    }
    file.set_len(pages.length)?;
    Ok(file.set_modified(SystemTime::now() - Duration::from_secs(300))?)
}
