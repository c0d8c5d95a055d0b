//! How both sides of a new connection make themselves known: they agree on a protocol, then tell of themselves.

use serde::{Deserialize, Serialize};

use crate::lists::{SCOPES, at_most};
use crate::process::Process;
use crate::time::Timestamp;

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
    /// The scopes of this process that are still open: their leases are renewed. At most 131,072.
    #[serde(deserialize_with = "at_most::<SCOPES, _, _>")]
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
