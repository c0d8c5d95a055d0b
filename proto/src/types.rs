//! What the calls of the service carry: requests, answers and the few values both are made of.
//! Plain data; every field is public and nothing here acts. Changing a type here changes the protocol, see [`crate::PROTOCOL`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::key::{Key, Tag};
use crate::process::Process;
use crate::time::Timestamp;

/// The most keys or entries in one call: they go in one frame of the log.
pub const BATCH_MAX: usize = 8_192;

/// The most values of one call that are files: each is held open on both sides.
pub const BATCH_FILES_MAX: usize = 256;

/// What the bytes of a value stand for; travels with the entry, so that no reader is handed another type silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Codec {
    /// Raw bytes.
    Bytes = 0,
    /// UTF-8 text.
    Text = 1,
    /// Canonical JSON text.
    Json = 2,
}

impl Codec {
    /// Returns the codec of a stored byte, `None` where this build knows none.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Bytes, Self::Text, Self::Json].into_iter().find(|codec| *codec as u8 == byte)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// The SHA-256 of a value; names its blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Reads 64 hexadecimal digits in lower case, `None` where they are not.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || text.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Names one call of one client, so that a repeated call is answered from the stored reply and not done twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// A random number that the client process drew when it opened the cache.
    pub client: u64,
    /// Counts that client's changing calls, from 1.
    pub number: u64,
}

/// What a client says first. Frozen: every later protocol begins with this very message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest protocol the client speaks.
    pub protocol_min: u32,
    /// The newest protocol the client speaks.
    pub protocol_max: u32,
    /// The client's build, for people to read.
    pub build: String,
}

/// The daemon's answer to [`Hello`]. Frozen like it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol that both sides speak from here on.
    pub protocol: u32,
    /// The daemon's build, for people to read.
    pub build: String,
}

/// What a client tells of itself once a protocol is agreed on, at every new connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The client's own view of its process; the daemon compares it with what the socket tells.
    pub process: Process,
    /// The scopes of this process that are still open: their leases are renewed.
    pub scopes: Vec<u64>,
}

/// What a client has to know of the daemon to talk to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduced {
    /// The store's folder as the daemon sees it, UTF-8 where it can be.
    #[serde(with = "serde_bytes")]
    pub store: Vec<u8>,
    /// The store's random identity: tells whether a folder that the client sees is the same store.
    pub store_id: u128,
    /// Values up to this many bytes ride in the request.
    pub inline_max: u64,
    /// A larger value is never taken, in bytes; `None` where only the room decides. The client asks again
    /// before it refuses one itself, which it does before it is sent.
    pub value_max: Option<u64>,
    /// The most bytes of a value in one call of `upload` or `read`.
    pub chunk_max: u64,
    /// How long both sides look for the other's next message before they sleep, in microseconds; 0 for not at all.
    pub busy_poll: u32,
    /// The daemon's process.
    pub daemon: Process,
    /// When the daemon began to run.
    pub started: Timestamp,
}

/// A value to be added, with all that is kept about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addition {
    /// The namespace's name.
    pub namespace: String,
    /// The entry's key.
    pub key: Key,
    /// What the bytes stand for.
    pub codec: Codec,
    /// The value, or where it lies.
    pub body: Body,
    /// When the entry ends by itself; `None` for never.
    pub expires: Option<Timestamp>,
    /// The entry's tags, at most [`crate::key::MAX_TAGS`].
    pub tags: Vec<Tag>,
    /// The scope that the entry is bound to: it lives while a scope lives that it is bound to.
    pub scope: Option<u64>,
    /// Whether the answer waits until the entry survives a loss of power.
    pub durable: bool,
}

/// A value on its way into the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// The bytes themselves, at most `inline_max`.
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A file that the client wrote into the store's staging folder and holds locked.
    Staged {
        /// Its name there: one component.
        name: String,
        /// Its length in bytes.
        length: u64,
        /// Its SHA-256, as the client counted it.
        digest: Digest,
    },
    /// What this connection sent by `upload`.
    Uploaded {
        /// The number that `upload_begin` gave.
        upload: u64,
        /// The sum of the chunks in bytes.
        length: u64,
    },
}

/// What became of an [`Addition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// The version of the content, which leases and later checks refer to.
    pub version: u64,
    /// Whether a live entry was there before under this key.
    pub replaced: bool,
}

/// All that is kept about an entry, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its key.
    pub key: Key,
    /// What its bytes stand for.
    pub codec: Codec,
    /// Its value's length in bytes.
    pub size: u64,
    /// Its tags, sorted.
    pub tags: Vec<Tag>,
    /// When its content was added.
    pub created: Timestamp,
    /// When it ends; `None` for never.
    pub expires: Option<Timestamp>,
    /// The version of its content; grows with every new content of the store.
    pub version: u64,
    /// Whether it is bound to a scope.
    pub bound: bool,
    /// The name of its blob, where the value is a file of its own.
    pub digest: Option<Digest>,
}

/// The answer to a look at one key: found here, found as a blob, or not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lookup {
    /// No live entry has this key.
    Miss,
    /// The value's bytes are here.
    Inline {
        /// What the bytes stand for.
        codec: Codec,
        /// The version of the content.
        version: u64,
        /// The value.
        #[serde(with = "serde_bytes")]
        value: Vec<u8>,
    },
    /// The value is a file of the store.
    Blob {
        /// What the bytes stand for.
        codec: Codec,
        /// The version of the content.
        version: u64,
        /// Its length in bytes.
        length: u64,
        /// Its name.
        digest: Digest,
    },
}

/// Why a read comes as a call, although clients read the store themselves where they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// The client was built without the feature `direct`.
    Unsupported,
    /// It was told to read by call.
    Off,
    /// It can't reach the store's folder, or not as the daemon does: another mount, another namespace of processes.
    Unreachable,
    /// The folder is on a filesystem that memory can't be shared on safely, or its files have holes since they were copied.
    Filesystem,
    /// The store has a layout that it does not know.
    Layout,
    /// All readers' slots of the index are taken.
    Readers,
    /// Another part of the same process has the index open.
    Taken,
    /// The system does not grant it the memory map.
    Map,
    /// Only the daemon can tell which operations of the log are to be believed: it has not run since the boot or the copy.
    Unrecovered,
    /// What was found could not be read: it changed too often, or it is damaged.
    Unreadable,
}

impl Fallback {
    /// All reasons, in the order in which they are told.
    pub const ALL: [Self; 10] = [
        Self::Unsupported,
        Self::Off,
        Self::Unreachable,
        Self::Filesystem,
        Self::Layout,
        Self::Readers,
        Self::Taken,
        Self::Map,
        Self::Unrecovered,
        Self::Unreadable,
    ];
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "unsupported",
            Self::Off => "off",
            Self::Unreachable => "unreachable",
            Self::Filesystem => "filesystem",
            Self::Layout => "layout",
            Self::Readers => "readers",
            Self::Taken => "taken",
            Self::Map => "map",
            Self::Unrecovered => "unrecovered",
            Self::Unreadable => "unreadable",
        })
    }
}

/// A value that the daemon holds open for a client that can't reach the store's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Names it in `read` and `close` on this connection.
    pub handle: u64,
    /// What the bytes stand for.
    pub codec: Codec,
    /// Its length in bytes.
    pub length: u64,
    /// The SHA-256 that the bytes must have.
    pub digest: Digest,
}

/// Which entries to list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListQuery {
    /// The namespace's name.
    pub namespace: String,
    /// Only text keys that begin with this.
    pub prefix: Option<String>,
    /// Only entries with this tag.
    pub tag: Option<Tag>,
    /// Where the page before ended: its `next`.
    #[serde(with = "serde_bytes")]
    pub after: Option<Vec<u8>>,
    /// The most entries on a page, 1 to 4,096.
    pub limit: u32,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// The entries, by key, or by age where a tag was asked for.
    pub entries: Vec<Metadata>,
    /// What to put into `after` for the next page; `None` at the end.
    #[serde(with = "serde_bytes")]
    pub next: Option<Vec<u8>>,
}

/// Counters and sizes, all at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// One row for each namespace, by name.
    pub namespaces: Vec<NamespaceStats>,
    /// How values were read.
    pub reads: ReadStats,
    /// The store as a whole.
    pub store: StoreStats,
    /// The daemon's dealings since it began to run.
    pub daemon: DaemonStats,
}

/// Counters of one namespace; the events count since the daemon began to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceStats {
    /// Its name.
    pub name: String,
    /// Live entries.
    pub entries: u64,
    /// Bytes of the values of all entries that are there, expired ones included until they are removed.
    pub bytes: u64,
    /// Reads by call that found a live entry.
    pub hits: u64,
    /// Reads by call that found none.
    pub misses: u64,
    /// Reads that clients did themselves and that found a live entry, since the store's counters were made. Namespaces are
    /// numbered as they come to be; from the 1,023rd on they are counted in [`ReadStats`] alone, and have 0 here.
    pub direct_hits: u64,
    /// Reads that clients did themselves and that found none, since the same moment.
    pub direct_misses: u64,
    /// Entries added.
    pub adds: u64,
    /// Entries deleted, evicted by tag or cleared by a client.
    pub deletes: u64,
    /// Entries removed because their time was over.
    pub expired: u64,
}

/// How values were read: by the clients themselves, which counters in shared memory tell, or by call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadStats {
    /// Reads that clients did themselves and that found a live entry, in all namespaces, since the store's counters were
    /// made; they outlive daemons.
    pub direct_hits: u64,
    /// Reads that clients did themselves and that found none, since the same moment.
    pub direct_misses: u64,
    /// Reads by call since the daemon began to run, by the reason why they were not direct; reasons that never occurred are
    /// left out.
    #[serde(with = "by_reason")]
    pub fallbacks: Vec<(Fallback, u64)>,
}

/// Counts by reason as a map, whose keys are the reasons' names where the format has any.
mod by_reason {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Fallback;

    pub(super) fn serialize<S: Serializer>(counts: &[(Fallback, u64)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(counts.iter().map(|(reason, count)| (reason, count)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Fallback, u64)>, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}

/// Sizes of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStats {
    /// Bytes of the index (LMDB) in use.
    pub index_bytes: u64,
    /// Operations of the log that the index does not have yet.
    pub unapplied_operations: u64,
    /// Their bytes.
    pub unapplied_bytes: u64,
    /// Bytes of the log that a loss of power could take.
    pub unsynced_bytes: u64,
    /// Values that are files of their own.
    pub blobs: u64,
    /// The sum of their lengths in bytes; equal content counts once.
    pub blob_bytes: u64,
    /// Readers with a slot in the index.
    pub readers: u64,
    /// Leases that are held.
    pub leases: u64,
}

/// The daemon's dealings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStats {
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were turned away.
    pub refused: u64,
    /// Calls that were begun.
    pub calls: u64,
    /// Frames that were appended to the log.
    pub frames: u64,
    /// Operations in them.
    pub operations: u64,
    /// Segments of the log that were applied to the index.
    pub segments: u64,
    /// Times that writers had to wait for a segment to be applied.
    pub waits: u64,
}

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
    /// Whether it was mended in this run.
    pub repaired: bool,
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
    /// A file among the blobs belongs to no entry.
    OrphanBlob,
    /// A row of the expiry, tag or sequence index disagrees with the entries.
    WrongIndexRow,
    /// A count of references or entries disagrees with the entries.
    WrongCount,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DamagedRecord => "damaged record",
            Self::MissingBlob => "missing blob",
            Self::DamagedBlob => "damaged blob",
            Self::OrphanBlob => "orphan blob",
            Self::WrongIndexRow => "wrong index row",
            Self::WrongCount => "wrong count",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_reason_are_a_map_for_programs_and_come_back_over_the_wire() {
        let fallbacks = vec![(Fallback::Off, 3), (Fallback::Unreadable, u64::MAX)];
        let reads = ReadStats { direct_hits: 1, direct_misses: 2, fallbacks };
        let json = serde_json::to_string(&reads).unwrap();
        let expected = r#"{"direct_hits":1,"direct_misses":2,"fallbacks":{"off":3,"unreadable":18446744073709551615}}"#;
        assert_eq!(json, expected);
        let bytes = postcard::to_stdvec(&reads).unwrap();
        assert_eq!(postcard::from_bytes::<ReadStats>(&bytes).unwrap(), reads);
    }

    #[test]
    fn reasons_are_told_in_one_order_and_under_one_name_everywhere() {
        assert!(Fallback::ALL.is_sorted_by(|a, b| a < b));
        for fallback in Fallback::ALL {
            assert_eq!(serde_json::to_string(&fallback).unwrap(), format!("\"{fallback}\""));
        }
    }
}
