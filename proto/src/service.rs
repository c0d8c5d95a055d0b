//! The calls that a client can make: one tarpc service, typed, with the same verbs as every other layer.
//! How they travel is [`crate::codec`]'s business.

use crate::additions::Additions;
use crate::error::WireError;
use crate::key::{Key, Tag};
use crate::lists::{NAMES, at_most};
use crate::time::Timestamp;
use crate::types::{
    Added, Addition, CallId, Fallback, Hello, Introduced, Introduction, ListPage, ListQuery, Lookup, Metadata, Opened,
    Reloaded, Stats, TagStats, Verification, Welcome,
};

/// The daemon's service.
///
/// A connection begins with `hello`, then `introduce`; everything else is refused before. Calls that change something
/// carry a [`CallId`], and repeating one with the same id is answered from the stored reply. `hello` stays the first
/// method for ever, so that any two builds can find out that they don't understand each other.
#[tarpc::service]
pub trait Cache {
    /// Agrees on a protocol.
    async fn hello(hello: Hello) -> Result<Welcome, WireError>;
    /// Tells who the client is, and learns where the store lies.
    async fn introduce(introduction: Introduction) -> Result<Introduced, WireError>;

    /// Adds an entry, or replaces value, expiry and tags of the one with its key.
    async fn add(call: CallId, addition: Addition) -> Result<Added, WireError>;
    /// Adds entries, all or none of them: they are one frame of the log. At most [`crate::types::BATCH_MAX`].
    async fn add_many(call: CallId, additions: Additions) -> Result<Vec<Added>, WireError>;
    /// Looks a key up; `fallback` says why the client does not do that itself.
    async fn get(namespace: String, key: Key, fallback: Fallback) -> Result<Lookup, WireError>;
    /// Looks keys up, at most [`crate::types::BATCH_MAX`]. Answers for as many of them, from the first on, as fit a message:
    /// at least one.
    async fn get_many(namespace: String, keys: Keys, fallback: Fallback) -> Result<Vec<Lookup>, WireError>;
    /// Tells whether a live entry has this key.
    async fn contains(namespace: String, key: Key) -> Result<bool, WireError>;
    /// Returns what is kept about an entry.
    async fn stat(namespace: String, key: Key) -> Result<Option<Metadata>, WireError>;
    /// Gives an entry a new expiry (`None` for never); tells whether it was there.
    async fn touch(call: CallId, namespace: String, key: Key, expires: Option<Timestamp>) -> Result<bool, WireError>;
    /// Deletes entries, all in one step, at most [`crate::types::BATCH_MAX`]; returns how many were there.
    async fn delete(call: CallId, namespace: String, keys: Keys) -> Result<u64, WireError>;
    /// Deletes the entries that have one of these tags; returns how many.
    async fn evict(call: CallId, namespace: String, tags: Tags) -> Result<u64, WireError>;
    /// Removes the entries whose time is over; returns how many.
    async fn expire(call: CallId, namespace: String) -> Result<u64, WireError>;
    /// Deletes all entries of a namespace that were there when the call began; returns how many.
    async fn clear(call: CallId, namespace: String) -> Result<u64, WireError>;
    /// Ends a scope of the calling process, and with it its leases; returns how many entries went.
    async fn release(call: CallId, scope: u64) -> Result<u64, WireError>;

    /// Counts the live entries of a namespace.
    async fn len(namespace: String) -> Result<u64, WireError>;
    /// Lists entries, a page at a time.
    async fn list(query: ListQuery) -> Result<ListPage, WireError>;
    /// Returns counters and sizes.
    async fn stats() -> Result<Box<Stats>, WireError>;
    /// Returns what is known of the tags of a namespace, or of all, and has them counted anew where that was long ago.
    async fn tags(namespace: Option<String>) -> Result<Box<TagStats>, WireError>;

    /// Begins to send a value in chunks, for a client that can't reach the store's folder.
    async fn upload_begin() -> Result<u64, WireError>;
    /// Appends a chunk to an upload; `offset` is where it begins.
    async fn upload(upload: u64, offset: u64, chunk: Chunk) -> Result<(), WireError>;
    /// Opens a large value to be read in chunks; `None` where no live entry has the key.
    async fn open(namespace: String, key: Key) -> Result<Option<Opened>, WireError>;
    /// Reads up to `length` bytes of an open value from `offset` on; empty at its end.
    async fn read(handle: u64, offset: u64, length: u64) -> Result<Chunk, WireError>;
    /// Closes an open value, or gives up an upload.
    async fn close(handle: u64) -> Result<(), WireError>;

    /// Checks the whole store, and mends what can be mended if `repair` is set.
    async fn verify(repair: bool) -> Result<Verification, WireError>;
    /// Ends the daemon in good order; returns once it has begun to.
    async fn stop() -> Result<(), WireError>;
    /// Has the daemon look at the value of an entry that a client found to be damaged. Tells whether it is; then it is a miss from now
    /// on, and removed.
    async fn suspect(namespace: String, key: Key) -> Result<bool, WireError>;
    /// Has the daemon read its settings again, as a hang-up does; where they can't be taken, the old ones hold.
    async fn reload() -> Result<Reloaded, WireError>;
    /// Tells whether a value of so many bytes can be added to a namespace at all, before it is sent: it can't where it is above a limit. Several
    /// that are to be added together are asked for as one.
    async fn fits(namespace: String, bytes: u64) -> Result<(), WireError>;
}

/// Bytes of a value on their way in either direction; they cross the wire as bytes, not one by one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Chunk(#[serde(with = "serde_bytes")] pub Vec<u8>);

/// The keys of one call; more than twice [`crate::types::BATCH_MAX`] are not taken off the wire.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Keys(#[serde(deserialize_with = "at_most::<NAMES, _, _>")] pub Vec<Key>);

/// The tags of one call; more than twice [`crate::types::BATCH_MAX`] are not taken off the wire.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tags(#[serde(deserialize_with = "at_most::<NAMES, _, _>")] pub Vec<Tag>);
