//! What the calls of the service carry: requests, answers and the few values both are made of.
//! Plain data; every field is public and nothing here acts. Changing a type here changes the protocol, see [`crate::PROTOCOL`].

mod addition;
mod call;
mod codec;
mod digest;
mod fallback;
mod greeting;
mod latency;
mod list;
mod lookup;
mod metadata;
mod readers;
mod reloaded;
mod space;
mod stats;
mod tags;
mod verification;

pub use addition::{Added, Addition, Body};
pub use call::{BATCH_FILES_MAX, BATCH_MAX, CallId};
pub use codec::Codec;
pub use digest::Digest;
pub use fallback::Fallback;
pub use greeting::{Hello, Introduced, Introduction, Welcome};
pub use latency::{CallLatencies, FrameStats, Latency, LatencyStats, Sizes};
pub use list::{ListPage, ListQuery};
pub use lookup::{Lookup, Opened};
pub use metadata::Metadata;
pub use readers::ReaderStats;
pub use reloaded::{Overridden, Reloaded};
pub use space::{NamespaceSpace, ReserveStats, SpaceStats};
pub use stats::{
    DaemonStats, Laggard, LostValues, MovedAside, NamespaceStats, ReadStats, Scarce, Shortage, Stats, StoreStats,
};
pub use tags::{TagRow, TagStats};
pub use verification::{Fault, Finding, Unread, Verification};
