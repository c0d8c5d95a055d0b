//! What a call does to files: looked at before it is done, and written down when it was.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use nix::libc;
use nix::unistd::Pid;

use super::call::{Call, Fd, PathAt, Source};
use super::event::{Action, Event, Kind, Mark, Node, Place, Thread};
use super::files::{Descriptor, Files, Map, PAGE};
use super::memory::Memory;
use crate::Fault;

/// What may be mapped for writing and shared: what nobody believes after a loss of power.
pub(crate) const MAPPED: [&str; 5] = ["recent", "recent.new", "access", "access.new", "lock.mdb"];

/// A call, with everything that has to be looked at before it is done.
pub(super) enum Prepared {
    Nothing,
    Open { place: Option<Place>, is_root: bool, flags: i32 },
    Close { fd: Fd },
    Duplicate { fd: Fd },
    Write { fd: Fd, descriptor: Descriptor, at: u64, bytes: Option<Vec<u8>> },
    Said(Mark),
    Actions(Vec<Action>),
    Map { node: Node, length: u64, offset: u64 },
    Unmap { at: u64, length: u64 },
}

pub(super) struct Observer {
    process: Pid,
    memory: Memory,
    files: Files,
    threads: HashMap<Pid, Thread>,
    pub(super) events: Vec<Event>,
}

impl Observer {
    pub(super) fn new(process: Pid, files: Files) -> Result<Self, Fault> {
        Ok(Self { process, memory: Memory::of(process)?, files, threads: HashMap::new(), events: Vec::new() })
    }

    /// Takes in that a thread is gone: its number may be another's next.
    pub(super) fn forget(&mut self, thread: Pid) {
        self.threads.remove(&thread);
    }

    /// Looks at everything that can't be told any more once the call is done.
    pub(super) fn prepare(&mut self, call: Call) -> Result<Prepared, Fault> {
        Ok(match call {
            Call::Open { path, flags } => {
                let (folder, text) = self.path(path)?;
                let is_root = self.files.is_root(&text);
                Prepared::Open { place: self.files.place(folder, &text), is_root, flags }
            }
            Call::Close { fd } => Prepared::Close { fd },
            Call::Duplicate { fd } => Prepared::Duplicate { fd },
            Call::Write { fd: 1, source: Source::Memory { at, length }, .. } => {
                Prepared::Said(postcard::from_bytes(&self.memory.read(at, length)?)?)
            }
            Call::Write { fd, source, at } => self.prepare_write(fd, source, at)?,
            Call::Unmap { at, length } => Prepared::Unmap { at, length },
            Call::Map { fd, length, offset } => match self.files.descriptors.get(&fd) {
                Some(descriptor) => self.prepare_map(descriptor.node, length, offset)?,
                None => Prepared::Nothing,
            },
            Call::SyncMap { at, length } => Prepared::Actions(self.mapped_pages(at, length)?),
            Call::Unknown { fd, name } if fd.is_none_or(|fd| self.files.descriptors.contains_key(&fd)) => {
                return Err(format!("the process calls {name}, which the recorder does not know").into());
            }
            Call::Unknown { .. } => Prepared::Nothing,
            call => Prepared::Actions(self.actions(call)?),
        })
    }

    /// Calls that do just one thing.
    fn actions(&mut self, call: Call) -> Result<Vec<Action>, Fault> {
        let action = match call {
            Call::Resize { fd, length } => self.node(fd).map(|file| Action::Resize { file, length }),
            Call::Allocate { fd, mode, end } => match (self.node(fd), mode) {
                (Some(file), 0) => Some(Action::Grow { file, length: end }),
                (Some(_), libc::FALLOC_FL_KEEP_SIZE) | (None, _) => None,
                _ => return Err("the process punches holes".into()),
            },
            Call::Sync { fd } => self.node(fd).map(|node| Action::Sync { node }),
            Call::Link { from, to } => {
                self.source(from)?.zip(self.place(to)?).map(|(node, place)| Action::Link { place, node })
            }
            Call::Rename { from, to } => match (self.place(from)?, self.place(to)?) {
                (Some(from), Some(to)) => Some(Action::Rename { from, to }),
                (None, None) => None,
                _ => return Err("the process moves a file in or out".into()),
            },
            Call::Remove { path } => self.place(path)?.map(|place| Action::Remove { place }),
            Call::MakeFolder { path } => self.create(path, Kind::Folder)?,
            Call::MakeLink { target, path } => {
                let target = self.memory.text(target)?.to_string_lossy().into_owned();
                self.create(path, Kind::Link(target))?
            }
            other => unreachable!("{other:?} is dealt with elsewhere"),
        };
        Ok(action.into_iter().collect())
    }

    /// The node is drawn when the call has succeeded.
    fn create(&mut self, path: PathAt, kind: Kind) -> Result<Option<Action>, Fault> {
        Ok(self.place(path)?.map(|place| Action::Create { place, node: Node::ROOT, kind }))
    }

    fn prepare_write(&self, fd: Fd, source: Source, at: Option<u64>) -> Result<Prepared, Fault> {
        let Some(&descriptor) = self.files.descriptors.get(&fd) else { return Ok(Prepared::Nothing) };
        let at = match at {
            Some(at) => at,
            None if descriptor.append => return Err("the process appends".into()),
            None => self.memory.position(fd)?,
        };
        let bytes = match source {
            Source::Memory { at, length } => Some(self.memory.read(at, length)?),
            Source::Pieces { at, count } => {
                let words = self.memory.read(at, count * 16)?;
                let words: Vec<u64> = words.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
                let pieces =
                    words.chunks(2).map(|piece| self.memory.read(piece[0], piece[1])).collect::<Result<Vec<_>, _>>()?;
                Some(pieces.concat())
            }
            Source::File => None,
        };
        Ok(Prepared::Write { fd, descriptor, at, bytes })
    }

    fn prepare_map(&self, node: Node, length: u64, offset: u64) -> Result<Prepared, Fault> {
        match self.files.name(node) {
            Some(name) if MAPPED.contains(&name) => Ok(Prepared::Map { node, length, offset }),
            name => Err(format!("the process maps {name:?} for writing").into()),
        }
    }

    /// What a thread's call has done, now that it is done.
    pub(super) fn done(&mut self, thread: Pid, prepared: Prepared, result: i64) -> Result<(), Fault> {
        if result < 0 {
            return Ok(());
        }
        match prepared {
            Prepared::Open { place, is_root, flags } => {
                self.opened(thread, place.as_ref(), is_root, flags, result as Fd);
            }
            Prepared::Close { fd } => {
                self.files.descriptors.remove(&fd);
            }
            Prepared::Duplicate { fd } => match self.files.descriptors.get(&fd).copied() {
                Some(descriptor) => drop(self.files.descriptors.insert(result as Fd, descriptor)),
                None => drop(self.files.descriptors.remove(&(result as Fd))),
            },
            Prepared::Write { fd, descriptor, at, bytes } => {
                let mut bytes = match bytes {
                    Some(bytes) => bytes,
                    None => self.memory.written(fd, at, result as u64)?,
                };
                bytes.truncate(result as usize);
                let Descriptor { node: file, through, .. } = descriptor;
                self.push(thread, Action::Write { file, at, bytes, through });
            }
            Prepared::Said(mark) => self.push(thread, Action::Said(mark)),
            Prepared::Actions(actions) => {
                for action in actions {
                    let action = self.note(action);
                    self.push(thread, action);
                }
            }
            Prepared::Map { node, length, offset } => {
                self.files.map(Map::new(result.cast_unsigned(), length, node, offset));
            }
            Prepared::Unmap { at, length } => self.files.unmap(at, length),
            Prepared::Nothing => {}
        }
        Ok(())
    }

    fn opened(&mut self, thread: Pid, place: Option<&Place>, is_root: bool, flags: i32, fd: Fd) {
        self.files.descriptors.remove(&fd);
        let node = match place {
            Some(place) => match self.files.at(place) {
                Some(node) => {
                    if flags & libc::O_TRUNC != 0 {
                        self.push(thread, Action::Resize { file: node, length: 0 });
                    }
                    node
                }
                None => {
                    let node = self.files.create(place, &Kind::File);
                    self.push(thread, Action::Create { place: place.clone(), node, kind: Kind::File });
                    node
                }
            },
            None if is_root => Node::ROOT,
            None => return,
        };
        // `O_SYNC` has this bit too.
        let through = flags & libc::O_DSYNC != 0;
        let append = flags & libc::O_APPEND != 0;
        self.files.descriptors.insert(fd, Descriptor { node, through, append });
    }

    /// Takes in what an action does to names.
    fn note(&mut self, action: Action) -> Action {
        match &action {
            Action::Create { place, kind, .. } => {
                let node = self.files.create(place, kind);
                return Action::Create { place: place.clone(), node, kind: kind.clone() };
            }
            Action::Link { place, node } => self.files.link(place, *node),
            Action::Rename { from, to } => {
                if let Some(node) = self.files.remove(from) {
                    self.files.link(to, node);
                }
            }
            Action::Remove { place } => drop(self.files.remove(place)),
            _ => {}
        }
        action
    }

    fn push(&mut self, thread: Pid, action: Action) {
        let process = self.process;
        let name = self.threads.entry(thread).or_insert_with(|| {
            match fs::read_to_string(format!("/proc/{process}/task/{thread}/comm")).unwrap_or_default().trim() {
                "datacache-apply" => Thread::Apply,
                "datacache-sync" => Thread::Sync,
                "datacache-blobs" => Thread::Blobs,
                _ => Thread::Owner,
            }
        });
        self.events.push(Event { thread: *name, action });
    }

    /// What a shared map holds, as writes of its pages, and that the disk is to have it.
    fn mapped_pages(&mut self, at: u64, length: u64) -> Result<Vec<Action>, Fault> {
        let Some(map) = self.files.mapped(at) else { return Ok(Vec::new()) };
        let mut actions = Vec::new();
        for at in (at..at + length).step_by(PAGE as usize) {
            let (page, offset) = (self.memory.read(at, PAGE)?, map.offset(at));
            if page.iter().any(|byte| *byte != 0) {
                self.files.used.insert((map.node, offset));
            }
            if self.files.used.contains(&(map.node, offset)) {
                actions.push(Action::Write { file: map.node, at: offset, bytes: page, through: false });
            }
        }
        actions.push(Action::Sync { node: map.node });
        Ok(actions)
    }

    fn node(&self, fd: Fd) -> Option<Node> {
        self.files.descriptors.get(&fd).map(|descriptor| descriptor.node)
    }

    fn place(&self, path: PathAt) -> Result<Option<Place>, Fault> {
        let (folder, text) = self.path(path)?;
        Ok(self.files.place(folder, &text))
    }

    /// The file that a link is made to: by name, or by the name of an open descriptor.
    fn source(&self, path: PathAt) -> Result<Option<Node>, Fault> {
        let (folder, text) = self.path(path)?;
        let open = text.strip_prefix("/proc/self/fd").ok().and_then(|fd| fd.to_str()?.parse().ok());
        Ok(match open {
            Some(fd) => self.node(fd),
            None => self.files.place(folder, &text).and_then(|place| self.files.at(&place)),
        })
    }

    fn path(&self, path: PathAt) -> Result<(Option<Node>, PathBuf), Fault> {
        Ok((self.node(path.folder), self.memory.text(path.text)?))
    }
}
