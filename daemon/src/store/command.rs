//! What the store can be told to do, and what comes of it: the writer's vocabulary, free of sockets and files.

use std::sync::Arc;

use bytes::Bytes;
use datacache_proto::key::{Key, Tag};
use datacache_proto::process::Process;
use datacache_proto::record::{Record, Value};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Added, CallId, Codec, Digest};
use serde::{Deserialize, Serialize};

use super::foresight::Foresight;
use super::incoming::Incoming;
use crate::eviction::Place;

/// Commands that are done together or not at all, also across a crash.
#[derive(Clone, Debug)]
pub struct Batch {
    /// In the order in which they take effect; a later one sees what an earlier one did.
    pub commands: Vec<Command>,
    /// Names the call, so that a repeated one is answered from its stored reply.
    pub call: Option<CallId>,
    /// What was looked up ahead for commands that are puts; they come first then.
    pub foresight: Option<Foresight>,
}

impl Batch {
    /// Returns a batch of which nothing was looked up ahead.
    #[must_use]
    pub fn all(commands: Vec<Command>, call: Option<CallId>) -> Self {
        Self { commands, call, foresight: None }
    }

    /// Returns a batch of one command.
    #[must_use]
    pub fn of(command: Command, call: Option<CallId>) -> Self {
        Self::all(vec![command], call)
    }
}

/// One change of the store.
#[derive(Clone, Debug)]
pub enum Command {
    /// Adds an entry, or replaces the one with its key.
    Put(Put),
    /// Gives a live entry another expiry (`None` for never).
    Touch {
        /// The namespace's number.
        namespace: u32,
        /// The entry's key.
        key: Key,
        /// The new expiry.
        expires: Option<Timestamp>,
    },
    /// Deletes an entry, if it is there and the condition holds for it *then*.
    Delete {
        /// The namespace's number.
        namespace: u32,
        /// The entry's key.
        key: Key,
        /// What must hold for the current record.
        when: Condition,
    },
    /// Ends a scope's lease of one version; the entry goes with the last lease of its version.
    Release {
        /// The holder.
        holder: Holder,
        /// The version it was taken on.
        version: u64,
    },
    /// Evicts an entry, if it is still the one that was born so, and nobody holds it.
    Evict {
        /// The namespace's number.
        namespace: u32,
        /// The entry's key.
        key: Key,
        /// The entry's birth.
        birth: u64,
    },
    /// Gives an entry another place in the eviction's queues, if it is still the one that was born so.
    Keep {
        /// The namespace's number.
        namespace: u32,
        /// The entry's key.
        key: Key,
        /// The entry's birth.
        birth: u64,
        /// The queue that it joins.
        place: Place,
    },
    /// Notes that a blob was hashed and has the content that its name says.
    Verified {
        /// The blob.
        digest: Digest,
    },
}

/// An entry to be added. Those of one batch share the memory that they came in.
#[derive(Clone, Debug)]
pub struct Put {
    /// The namespace's name; it is made if it is new.
    pub namespace: Arc<str>,
    /// The entry's key as [`Key::encoded`] gives it, checked.
    pub key: Bytes,
    /// What the bytes stand for.
    pub codec: Codec,
    /// The value.
    pub value: NewValue,
    /// When the entry ends; `None` for never.
    pub expires: Option<Timestamp>,
    /// Its tags, checked and sorted.
    pub tags: Vec<Tag>,
    /// Whether it stays when there is no room for all.
    pub pinned: bool,
    /// The scope that it is bound to.
    pub holder: Option<Holder>,
}

impl Put {
    /// Tells whether a record has this very content.
    pub(super) fn has_content_of(&self, record: &Record<'_>) -> bool {
        record.codec == self.codec && record.value == self.value.as_value()
    }
}

/// A value on its way in.
#[derive(Clone, Debug)]
pub enum NewValue {
    /// The bytes themselves.
    Inline(Bytes),
    /// A file in the staging folder that has been looked at.
    Blob(Incoming),
}

impl NewValue {
    /// Returns it as a record has it.
    pub(super) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Inline(bytes) => Value::Inline(bytes),
            Self::Blob(incoming) => Value::Blob { length: incoming.length(), digest: incoming.digest() },
        }
    }
}

/// Who holds a lease: a scope of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    /// The process.
    pub process: Process,
    /// The number that the process drew for the scope.
    pub scope: u64,
}

/// What must hold for a record so that a delete deletes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is live.
    Live,
    /// Its time is over.
    Expired,
    /// It is live and has this tag.
    Tagged(Tag),
    /// It was last written by an operation up to this sequence number.
    NotAfter(u64),
    /// It has this version.
    Version(u64),
    /// It has this version and names this blob, which is damaged or gone, and was not added again since that was found.
    Lost {
        /// The version.
        version: u64,
        /// The blob.
        digest: Digest,
    },
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The entry is there.
    Added(Added),
    /// Whether a live entry was there to be touched.
    Touched(bool),
    /// Whether an entry was deleted.
    Deleted(bool),
    /// Whether the entry went with the lease.
    Released(bool),
    /// The blob is marked, if it is still there.
    Verified,
    /// Whether the entry was evicted.
    Evicted(bool),
    /// Whether the entry was given the place.
    Kept(bool),
}
