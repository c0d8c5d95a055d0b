//! The errors that cross the socket: few kinds, with the facts in fields. Neither side ever sends a
//! bare string for an error.

use serde::{Deserialize, Serialize};

use crate::additions::Malformed;
use crate::key::{KeyError, NamespaceError, TagError};

/// Why the daemon did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum WireError {
    /// The two builds have no protocol in common. Frozen: stays the first variant in every protocol.
    #[error(
        "the daemon ({build}) speaks protocol {min} to {max}, which this client does not; \
         restart the older of the two with `datacache stop`, or update the client"
    )]
    Version {
        /// The oldest protocol the daemon speaks.
        min: u32,
        /// The newest protocol the daemon speaks.
        max: u32,
        /// The daemon's build.
        build: String,
    },
    /// A call came before `hello` and `introduce`.
    #[error("the connection has not been introduced; call `hello` and `introduce` first")]
    NotIntroduced,
    /// The key can't name an entry.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A tag, or the number of them, is out of bounds.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The namespace's name is out of bounds.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A number in the request is out of bounds.
    #[error("`{field}` is {value}, it must be {min} to {max}")]
    OutOfRange {
        /// The field's name.
        field: String,
        /// What was sent.
        value: u64,
        /// The least that is accepted.
        min: u64,
        /// The most that is accepted.
        max: u64,
    },
    /// A value of this size is never taken.
    #[error("the value is {size} bytes, and `value_max` is {limit}")]
    TooLarge {
        /// The value's size in bytes.
        size: u64,
        /// What the setting `value_max` says, in bytes.
        limit: u64,
    },
    /// A batch does not fit one frame of the log.
    #[error(
        "the batch does not fit one step of the log: it takes {size} bytes or more of at most {limit}, or more than \
         16384 operations, where a scope and a new namespace count as one each; split it"
    )]
    BatchTooLarge {
        /// How many bytes of the log it takes at least.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// One addition of a batch is refused, and so is the batch.
    #[error("addition {index} of the batch is refused: {error}")]
    InBatch {
        /// Which one, from 0.
        index: u64,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// A text or JSON value is not valid UTF-8.
    #[error("the value was sent as text but is not valid UTF-8 from byte {valid_up_to} on; add it as bytes")]
    NotText {
        /// How many bytes at the beginning are valid.
        valid_up_to: u64,
    },
    /// The staged file can't be adopted.
    #[error("the staged file `{name}` can't be taken: {fault}")]
    Staged {
        /// The name that was sent.
        name: String,
        /// What is wrong with it.
        fault: StagedFault,
    },
    /// There is no such upload on this connection, or its length is not what was said.
    #[error("upload {upload} is not open on this connection or is not {length} bytes long")]
    Upload {
        /// The upload's number.
        upload: u64,
        /// The length that was said, in bytes.
        length: u64,
    },
    /// There is no such open value on this connection.
    #[error("value {handle} is not open on this connection")]
    Handle {
        /// The number that was sent.
        handle: u64,
    },
    /// A lease was asked for by a connection that can hold none.
    #[error("a value can't be bound: {reason}")]
    Unbindable {
        /// Why.
        reason: UnbindableReason,
    },
    /// The filesystem of the store is full, or its user has no more of it. Reads, and what removes entries, go on.
    #[error(
        "no space left on the filesystem of `{folder}`, or none for its user; free space there, or delete or evict entries"
    )]
    NoSpace {
        /// The store's folder, as the daemon sees it.
        folder: String,
    },
    /// The index can't grow any more. Reads, and what removes entries, go on.
    #[error(
        "the index of the store fills the {limit} bytes of its map; delete or evict entries, or grant the daemon more address \
         space (`ulimit -v`) and start it again"
    )]
    IndexFull {
        /// The size of its map in bytes.
        limit: u64,
    },
    /// An entry that could not stay whatever were evicted for it.
    #[error("{}", never_fits(*.bytes, of.as_deref(), *.limit))]
    NeverFits {
        /// What it takes on the disk, in bytes, and what has to be there besides it.
        bytes: u64,
        /// The namespace whose limit it is; `None` for the store's.
        of: Option<String>,
        /// The limit in bytes.
        limit: u64,
    },
    /// A limit is reached, and nothing may be evicted for what was to be added.
    #[error("{}", full(of.as_deref(), *.cause))]
    Full {
        /// The namespace whose limit it is; `None` for the store's.
        of: Option<String>,
        /// Why nothing is evicted.
        cause: FullCause,
    },
    /// Too many of something are in use.
    #[error("too many {what}: the limit is {limit}; try again when some are done")]
    Busy {
        /// Of what.
        what: Resource,
        /// The limit.
        limit: u64,
    },
    /// The daemon is about to end; another one takes the call.
    #[error("the daemon is stopping; the call can be repeated")]
    Stopping,
    /// The store failed to do its part.
    #[error("the store failed to {step}{}; {}", cause(*.errno), .step.advice())]
    Store {
        /// What it was doing.
        step: StoreStep,
        /// The system's error number, where there is one, or LMDB's, which is negative.
        errno: Option<i32>,
    },
    /// The bytes of an entry are damaged.
    #[error("the entry is damaged; `datacache verify --repair` removes it")]
    Damaged,
    /// The additions of a batch are not written down as this build does it.
    #[error("the additions of the batch can't be read")]
    Malformed,
    /// The daemon can't take its settings as they are now; the old ones hold.
    #[error("the daemon can't read its settings again, the old ones hold: {fault}")]
    Settings {
        /// What is wrong, with the file, the line and the setting.
        fault: String,
    },
}

impl From<Malformed> for WireError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Returns the words for an error number, to be put behind what failed.
fn cause(errno: Option<i32>) -> String {
    match errno {
        Some(code) if code < 0 => format!(" (error {code} of LMDB)"),
        Some(code) => format!(" ({})", std::io::Error::from_raw_os_error(code)),
        None => String::new(),
    }
}

impl WireError {
    /// Tells whether there is no room for more: what helps is to remove something.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(
            self.innermost(),
            Self::NoSpace { .. } | Self::IndexFull { .. } | Self::NeverFits { .. } | Self::Full { .. }
        )
    }

    /// Returns what is wrong with the one addition of a batch that is refused; else the error itself.
    #[must_use]
    pub fn innermost(&self) -> &Self {
        match self {
            Self::InBatch { error, .. } => error.innermost(),
            other => other,
        }
    }
}

/// Why nothing is evicted for what was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FullCause {
    /// The policy is `none`.
    Policy,
    /// What there is, is pinned or bound; of a store, also what is in namespaces with the policy `none`.
    Held,
    /// What is to be held would be more than may be.
    HeldLimit {
        /// What pinned and bound entries may take, in bytes.
        limit: u64,
    },
    /// Others fill the disk: whatever is evicted, what they leave beyond the reserve is too little at the moment.
    Reserve,
    /// A batch adds more entries than there may be.
    Batch {
        /// How many it adds.
        entries: u64,
        /// How many there may be.
        limit: u64,
    },
    /// There would be more pinned and bound entries than may be.
    HeldEntries {
        /// How many there may be.
        limit: u64,
    },
}

fn never_fits(bytes: u64, of: Option<&str>, limit: u64) -> String {
    let whose = of.map_or_else(|| "that of the cache".to_owned(), |name| format!("that of namespace `{name}`"));
    let setting = of.map_or_else(|| "`limit`".to_owned(), |name| format!("`limit` of namespace `{name}`"));
    format!("the value needs a limit of {bytes} bytes, and {whose} is {limit}: it can never fit; raise {setting}")
}

fn full(of: Option<&str>, cause: FullCause) -> String {
    let what = of.map_or_else(|| "the cache".to_owned(), |name| format!("namespace `{name}`"));
    match cause {
        FullCause::Policy => {
            format!("{what} is at its limit, and its policy is to evict nothing; delete entries, or raise the limit")
        }
        FullCause::Held => {
            let stays = of.map_or("pinned, bound, or in a namespace whose policy is `none`", |_| "pinned or bound");
            format!(
                "{what} is at its limit, and what is left of it is {stays}; delete some of that, or raise the limit"
            )
        }
        FullCause::HeldLimit { limit } => format!(
            "pinned and bound entries of {what} may take {limit} bytes, and this would be more; delete some of them, or raise \
             `held_max`"
        ),
        FullCause::HeldEntries { limit } => format!(
            "{limit} entries of {what} may be pinned or bound, and this would be one more; delete some of them, or raise `held_max`"
        ),
        FullCause::Reserve => {
            format!(
                "others fill the disk, and what they leave {what} beyond the reserve is too little, whatever it evicts; free \
                 space there, or lower `reserve`"
            )
        }
        FullCause::Batch { entries, limit } => {
            format!("the batch adds {entries} entries, {what} may have {limit}; split it, or raise `limit_entries`")
        }
    }
}

/// What is wrong with a staged file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum StagedFault {
    /// The name is not one plain component.
    #[error("its name is not a single file name")]
    Name,
    /// There is no such file in the staging folder.
    #[error("there is no such file in the staging folder")]
    Missing,
    /// It is a link, a folder or a device.
    #[error("it is not a regular file")]
    NotRegular,
    /// It belongs to another user.
    #[error("it belongs to user {owner}")]
    Foreign {
        /// The owner's uid.
        owner: u32,
    },
    /// It is not as long as was said.
    #[error("it is {actual} bytes long, not {expected}")]
    Length {
        /// The length that was said, in bytes.
        expected: u64,
        /// The length that it has, in bytes.
        actual: u64,
    },
    /// Its content does not have the hash that was said.
    #[error("its content does not have the SHA-256 that was said")]
    Content,
}

/// Why a connection can't hold leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum UnbindableReason {
    /// The process at the other end is not the one that was introduced.
    #[error("the connection belongs to another process; open the cache anew after a fork")]
    ForeignProcess,
    /// The scope has ended.
    #[error("the scope has ended")]
    Ended,
}

/// What there can be too many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Resource {
    /// Connections.
    #[error("connections")]
    Connections,
    /// Uploads that are open on a connection.
    #[error("uploads")]
    Uploads,
    /// Values that are open on a connection.
    #[error("open values")]
    Handles,
    /// Namespaces in the store.
    #[error("namespaces")]
    Namespaces,
}

/// What a store was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum StoreStep {
    /// Appending to the log.
    #[error("append to its log")]
    Append,
    /// Applying the log to the index.
    #[error("apply its log to the index")]
    Apply,
    /// Making something durable.
    #[error("write its data through to the disk")]
    Sync,
    /// Reading the index.
    #[error("read its index")]
    Read,
    /// Reading or writing a blob.
    #[error("reach a value's file")]
    Blob,
}

impl StoreStep {
    /// Returns what to do about it.
    fn advice(self) -> &'static str {
        match self {
            Self::Sync => {
                "the change is made, and a loss of power may undo it: check the disk, and see the daemon's log"
            }
            _ => "check the disk, and see the daemon's log",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_store_tells_the_step_the_cause_and_what_to_do() {
        let told = |step, errno| WireError::Store { step, errno }.to_string();
        assert_eq!(
            told(StoreStep::Append, Some(5)),
            "the store failed to append to its log (Input/output error (os error 5)); check the disk, and see the daemon's log"
        );
        assert_eq!(
            told(StoreStep::Apply, Some(-30_788)),
            "the store failed to apply its log to the index (error -30788 of LMDB); check the disk, and see the daemon's log"
        );
        assert!(told(StoreStep::Sync, None).contains("; the change is made, and a loss of power may undo it: "));
    }

    #[test]
    fn what_is_full_is_named_with_what_to_do() {
        let disk = WireError::NoSpace { folder: "/s".into() };
        assert!(disk.is_no_space());
        assert_eq!(
            disk.to_string(),
            "no space left on the filesystem of `/s`, or none for its user; free space there, or delete or evict entries"
        );
        let map = WireError::InBatch { index: 3, error: Box::new(WireError::IndexFull { limit: 1 << 32 }) };
        assert!(map.is_no_space());
        assert!(
            map.to_string().contains("fills the 4294967296 bytes of its map; delete or evict entries, or "),
            "{map}"
        );
        assert!(!WireError::Stopping.is_no_space());
    }

    #[test]
    fn a_limit_is_told_with_whose_it_is_and_what_to_do() {
        let never = WireError::NeverFits { bytes: 9, of: None, limit: 8 };
        assert_eq!(
            never.to_string(),
            "the value needs a limit of 9 bytes, and that of the cache is 8: it can never fit; raise `limit`"
        );
        let full = WireError::Full { of: Some("n".into()), cause: FullCause::Policy };
        assert_eq!(
            full.to_string(),
            "namespace `n` is at its limit, and its policy is to evict nothing; delete entries, or raise the limit"
        );
        let held = |of| WireError::Full { of, cause: FullCause::Held };
        assert_eq!(
            held(None).to_string(),
            "the cache is at its limit, and what is left of it is pinned, bound, or in a namespace whose policy is `none`; \
             delete some of that, or raise the limit"
        );
        assert_eq!(
            held(Some("n".into())).to_string(),
            "namespace `n` is at its limit, and what is left of it is pinned or bound; delete some of that, or raise the limit"
        );
        let short = WireError::Full { of: None, cause: FullCause::Reserve };
        assert_eq!(
            short.to_string(),
            "others fill the disk, and what they leave the cache beyond the reserve is too little, whatever it evicts; free \
             space there, or lower `reserve`"
        );
        assert!(never.is_no_space() && full.is_no_space() && short.is_no_space());
    }
}
