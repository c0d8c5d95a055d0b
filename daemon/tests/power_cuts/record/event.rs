//! What was seen of a process: everything it did to the files below one folder, in order, and what it said meanwhile.

use datacache_proto::key::Key;
use serde::{Deserialize, Serialize};

use crate::history::Fact;

/// A file or folder for as long as it is there, whatever its names; 0 is the folder that everything is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Node(pub(crate) u32);

impl Node {
    pub(crate) const ROOT: Self = Self(0);
}

/// A name in a folder.
pub(crate) type Place = (Node, String);

/// One thing that a thread did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) thread: Thread,
    pub(crate) action: Action,
}

/// Who did it, by the name of the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Thread {
    /// The store's owner: it writes, and recovers at the start.
    Owner,
    Apply,
    Sync,
    Blobs,
}

/// What it did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Action {
    Create {
        place: Place,
        node: Node,
        kind: Kind,
    },
    Link {
        place: Place,
        node: Node,
    },
    Rename {
        from: Place,
        to: Place,
    },
    Remove {
        place: Place,
    },
    /// `through` where the call returned only when the disk had it.
    Write {
        file: Node,
        at: u64,
        bytes: Vec<u8>,
        through: bool,
    },
    Resize {
        file: Node,
        length: u64,
    },
    /// Makes it at least that long.
    Grow {
        file: Node,
        length: u64,
    },
    Sync {
        node: Node,
    },
    Said(Mark),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    File,
    Folder,
    /// A symbolic link, and where it leads.
    Link(String),
}

/// What the process says of the store it drives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Mark {
    /// The store is going to be opened.
    Opening,
    /// It is open, for the first time since the power came back, and holds this.
    Opened(Vec<Change>),
    /// It is open again, in the same boot.
    Reopened,
    /// The next write has begun.
    Begun,
    /// It was acknowledged, and this is different now. `whole` where it was a batch.
    Done { changes: Vec<Change>, call: Option<u64>, whole: bool },
    /// The store promises that the first so many writes survive a loss of power.
    Durable(u64),
}

/// A namespace, a key in it, and what is there now.
pub(crate) type Change = (String, Key, Option<Fact>);
