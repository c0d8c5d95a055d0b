//! The outcome of a look at the whole store, and all that it can find.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Digest, MovedAside};
use crate::key::Key;

/// The outcome of a look at the whole store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Entries that were looked at.
    pub entries: u64,
    /// Blobs that were hashed.
    pub blobs: u64,
    /// Bytes of values that were read.
    pub bytes: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What [`Fault::LostIndex`] is about, where that was found.
    pub moved_aside: Option<MovedAside>,
}

/// One thing that is wrong in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// The entry it is about, where it is about one: namespace and key.
    pub entry: Option<(String, Key)>,
    /// The blob it is about, where it is about one.
    pub digest: Option<Digest>,
    /// What could not be read, where it is about that.
    pub unread: Option<Unread>,
    /// Whether it was mended in this run.
    pub repaired: bool,
}

/// A file or folder that could not be read, although the system is short of nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Its path; what is not UTF-8 in it is replaced.
    pub path: String,
    /// The system's error number.
    pub errno: i32,
}

/// The kinds of things that can be wrong in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// An entry's record can't be read, or its checksum is wrong.
    DamagedRecord,
    /// An entry's blob is not there.
    MissingBlob,
    /// A blob's length or hash is wrong.
    DamagedBlob,
    /// A blob can't be read for a reason that only somebody can take away, as who may read it. Nothing is known of its bytes, and no repair
    /// removes it or its entries. It may be a folder of blobs, too.
    UnreadableBlob,
    /// A file among the blobs belongs to no entry.
    OrphanBlob,
    /// A row of the expiry, tag or sequence index disagrees with the entries.
    WrongIndexRow,
    /// A count of references or entries disagrees with the entries.
    WrongCount,
    /// The index can't be read as a whole. Repaired, it is moved aside, and the store begins empty.
    DamagedIndex,
    /// An index that could not be read lies aside, and all that it held is lost. It is found until somebody removes the folder:
    /// no repair does that.
    LostIndex,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DamagedRecord => "damaged record",
            Self::MissingBlob => "missing blob",
            Self::DamagedBlob => "damaged blob",
            Self::UnreadableBlob => "unreadable blob",
            Self::OrphanBlob => "orphan blob",
            Self::WrongIndexRow => "wrong index row",
            Self::WrongCount => "wrong count",
            Self::DamagedIndex => "damaged index",
            Self::LostIndex => "lost index",
        })
    }
}
