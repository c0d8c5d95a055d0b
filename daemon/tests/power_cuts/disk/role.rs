//! What a file of a store is for, by its path; and which promises of the disk can be taken back, to see who relies on them.

use crate::record::Thread;

/// What a file or folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A folder above the store.
    Above,
    Store,
    Generation,
    Log,
    Segment(u64),
    Index,
    /// `recent` or `access`.
    Shared,
    Blobs,
    BlobFolder,
    Blob,
    Other,
}

impl Role {
    pub(crate) fn of(path: &str) -> Self {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        match names[..] {
            [] | ["above"] => Self::Above,
            ["above", "store"] => Self::Store,
            ["above", "store", "blobs"] => Self::Blobs,
            ["above", "store", "blobs", _] => Self::BlobFolder,
            ["above", "store", "blobs", _, _] | ["above", "store", "staging", _] => Self::Blob,
            ["above", "store", _] => Self::Generation,
            ["above", "store", _, "log"] => Self::Log,
            ["above", "store", _, "log", number] => number.parse().map_or(Self::Other, Self::Segment),
            ["above", "store", _, "data.mdb"] => Self::Index,
            ["above", "store", _, "recent" | "recent.new" | "access" | "access.new"] => Self::Shared,
            _ => Self::Other,
        }
    }
}

/// A rule that is not kept: a sync that does nothing, although it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Neglect {
    /// All rules are kept.
    Nothing,
    /// The log is synced after the append.
    Log,
    /// A segment is synced too when the next one is in use already.
    PreviousSegment,
    /// `log/` is synced after a segment was made.
    LogFolder,
    /// The index's pages are synced before its root.
    IndexPages,
    /// The index's root is written through.
    IndexRoot,
    /// Blobs are synced before a durable reply.
    BlobsOfReplies,
    /// So are their folders.
    BlobFoldersOfReplies,
    /// Blobs and their folders are synced before a frame of several operations.
    BlobsOfBatches,
    /// Blobs and their folders are synced before the transaction that names them. The syncs for replies are ignored too, since they
    /// mostly come first; so what was promised to be durable does not count.
    BlobsOfTransactions,
    /// The folders of blobs are synced when they are made.
    FoldersOfBlobs,
    /// The generation's folder is synced before the generation becomes visible.
    Generation,
    /// The store's folder is synced when `current` was swapped.
    Current,
    /// So are the folders above that the store made.
    Above,
    /// Shared memory of another boot is recognised: it says that it is of this one.
    Boot,
}

impl Neglect {
    /// Tells whether a sync of a file does nothing. `newest` is the segment that frames were last written to.
    pub(crate) fn covers_sync(self, role: Role, thread: Thread, is_opening: bool, newest: u64) -> bool {
        let is_blob = matches!(role, Role::Blob | Role::BlobFolder);
        match self {
            Self::Nothing | Self::IndexRoot | Self::Boot => false,
            Self::Log => matches!(role, Role::Segment(_)),
            Self::PreviousSegment => matches!(role, Role::Segment(number) if number < newest),
            Self::LogFolder => role == Role::Log,
            Self::IndexPages => role == Role::Index,
            Self::BlobsOfReplies => role == Role::Blob && thread == Thread::Sync,
            Self::BlobFoldersOfReplies => role == Role::BlobFolder && thread == Thread::Sync,
            Self::BlobsOfBatches => is_blob && thread == Thread::Owner && !is_opening,
            Self::BlobsOfTransactions => is_blob && (thread != Thread::Owner || is_opening),
            Self::FoldersOfBlobs => role == Role::Blobs,
            Self::Generation => role == Role::Generation,
            Self::Current => role == Role::Store,
            Self::Above => role == Role::Above,
        }
    }

    /// Tells whether nothing is expected to be durable.
    pub(crate) fn covers_promises(self) -> bool {
        self == Self::BlobsOfTransactions
    }

    /// Tells whether a write that goes through to the disk does not.
    pub(crate) fn covers_write(self, role: Role) -> bool {
        self == Self::IndexRoot && role == Role::Index
    }
}
