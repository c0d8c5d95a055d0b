//! The client of datacache: one cache for all processes of a user, shared through a daemon that starts by itself.
//!
//! ```no_run
//! use datacache_client::{Expire, Options, blocking::DataCache};
//! use std::time::Duration;
//!
//! let cache = DataCache::open(Options::new())?;
//!
//! // The key of a value is its hash, unless one is given.
//! let key = cache.add("some text").run()?;
//! assert_eq!(cache.get_as::<String>(&key)?.as_deref(), Some("some text"));
//!
//! cache.add(b"\x89PNG").key("thumbnail").expire(Expire::After(Duration::from_secs(3600))).tag("images").run()?;
//! assert_eq!(cache.evict("images")?, 1);
//! # Ok::<(), datacache_client::Error>(())
//! ```
//!
//! [`DataCache`] is the same for asynchronous programs: the builders are awaited instead of run.
//!
//! # What goes in
//! Bytes (`&[u8]`, `Vec<u8>`), text (`&str`, `String`), anything that serde writes, as JSON ([`json`], [`Json`]), a file
//! ([`DataCache::add_file`]), or what a reader yields ([`DataCache::add_reader`]). What a value is travels with it: reading it
//! as something else is an error ([`Error::is_wrong_type`]), never a surprise.
//!
//! ```no_run
//! # use datacache_client::{Options, blocking::DataCache, json};
//! # let cache = DataCache::open(Options::new())?;
//! cache.set("limits", json(&[("cpu", 4), ("disk", 100)]))?;
//! let limits: Option<Vec<(String, u32)>> = cache.get_json("limits")?;
//! # Ok::<(), datacache_client::Error>(())
//! ```
//!
//! # How long it stays
//! 14 days, or what [`Config::expire_time`] says, or what the [`Expire`] of an `add` says. Until it is deleted by key, by
//! tag, or with its namespace. Or until its [`Scope`] ends, if it is bound to one: with the block, or with the process,
//! however that ends.
//!
//! # The way of an `add`
//! What can be checked here is checked before anything is sent. A value of up to 32 KiB rides in the call; a larger one is
//! written to the store's staging folder, hashed on the way, and the daemon takes the file over. Where the store's folder
//! can't be reached, as from a container, it is sent in chunks ([`Transfer`]). When the call returns, every process sees the
//! entry, and it survives the end of any of them; with [`Add::durable`] a loss of power as well.
//!
//! # The way of a `get`
//! The client maps the store and looks the key up itself, in a microsecond and without the daemon: it works while none runs,
//! sees every value whose `add` has returned, in any process, and checks each small one against its checksum. What it can't do
//! that way, as in a container that has the socket but not the store, it asks the daemon; [`Stats`] tell how often, and why
//! ([`Fallback`]).
//! [`Options::direct`], or `DATACACHE_DIRECT=0`, has it always ask, and without the feature `direct` it can't do anything else.
//!
//! A large value is a file, which is mapped: nothing is copied, whatever its size, and it stays valid when the entry is deleted.
//! It is checked against its SHA-256 once per boot, by whoever of all processes comes first, and again after it was written to;
//! [`Options::check`] has that done always, or never. [`DataCache::get_reader`] and [`DataCache::get_file`] take values of any size
//! in constant memory, and check them always. Where the disk fails under a map, the system ends the process (SIGBUS); see
//! [`Options::direct`] and [`Options::mapped`].
//!
//! # Damage
//! A value whose bytes are not those that were added is never handed out: the entry is a miss, and the daemon removes it, where it sees
//! the same. A [`ValueReader`] fails at its end. What can't be noticed while reading: what a disk changes on its own in a
//! large value after the check of this boot; and bits that flip in the shared index or in a page of LMDB, which may show an entry as
//! it was before, or none, or lead the read to the daemon. A page of LMDB whose own structure is damaged can even end the process that
//! looks at it; `datacache verify` finds such pages without that risk, and so does the daemon when it was ended twice.
//!
//! # When the daemon goes away
//! Reading goes on. Where something else needs one and none runs, one is started, once for all who wait ([`Options::start`]). A
//! call that finds its connection gone is repeated with a new one, and a change that is repeated is done once. Only when the time
//! for a change is over ([`Options::call_timeout`]) is it unknown whether it was done, and [`Error::is_unknown_outcome`] says so.
//! [`Error`] has more such questions.
//!
//! # Threads, tasks and forks
//! Caches are cheap to clone and can be shared. Dropping the future of a call gives it up; a change that the daemon has begun is
//! done all the same. A forked child may go on with the cache that it inherited: it gets a connection and maps of its own, and has
//! none of its parent's scopes. An asynchronous program has to leak the runtime that the child inherited, as tokio requires.
//!
//! # What is only approximate
//! * [`Stats`] count reads by call since the daemon began to run, and bytes of expired entries until they are removed.
//! * [`DataCache::add_many`] and [`DataCache::delete_many`] do all or nothing, also across a crash; others may see the keys of one
//!   call change one after the other. [`DataCache::evict_many`] is done in steps.
//! * A [`List`] is a snapshot page by page, not as a whole.
//! * An entry that has expired is never returned; its room is freed a little later.

mod add;
mod add_many;
mod batch;
mod blob;
pub mod blocking;
mod bound;
mod cache;
mod config;
mod connection;
mod copy;
mod daemon;
mod descriptors;
mod desk;
#[cfg(feature = "direct")]
mod direct;
#[cfg(not(feature = "direct"))]
#[path = "direct/absent.rs"]
mod direct;
mod download;
mod engine;
mod entries;
mod error;
mod exchange;
mod expire;
mod fault;
mod file;
mod fork;
mod found;
mod get_many;
mod item;
mod lease;
mod list;
mod mapped;
mod namespace;
mod new_value;
mod options;
mod pause;
mod pending;
mod prepared;
mod random;
mod reader;
mod relay;
mod repeat;
mod room;
mod route;
mod scopes;
mod sending;
mod session;
mod spawn;
mod staged;
mod staging;
mod start;
mod suspicion;
mod tally;
mod transfer_place;
mod value;

pub use add::Add;
pub use add_many::AddMany;
pub use cache::DataCache;
pub use config::{Config, ConfigError};
pub use daemon::DaemonInfo;
pub use error::Error;
pub use expire::{DEFAULT_LIFETIME, Expire};
pub use file::{FileGuard, GetFile};
pub use item::Item;
pub use lease::Scope;
pub use list::List;
pub use mapped::Mapped;
pub use new_value::{NewValue, hash_of, json};
pub use options::{Check, DIRECT_VARIABLE, Options, PROGRAM_VARIABLE, Transfer};
pub use reader::ValueReader;
pub use value::{FromValue, Json, Value};

pub use datacache_proto::error::WireError;
pub use datacache_proto::hash::{HashType, HashTypeError, Hasher};
pub use datacache_proto::json::JsonError;
pub use datacache_proto::key::{DEFAULT_NAMESPACE, Key, KeyError, NamespaceError, Tag, TagError};
pub use datacache_proto::paths::{Paths, PathsError};
pub use datacache_proto::process::Process;
pub use datacache_proto::time::{Lifetime, LifetimeError, Timestamp};
pub use datacache_proto::types::{
    CallLatencies, Codec, DaemonStats, Digest, Fallback, Fault, Finding, FrameStats, Laggard, Latency, LatencyStats,
    LostValues, Metadata, MovedAside, NamespaceSpace, NamespaceStats, Overridden, ReadStats, ReaderStats, Reloaded,
    ReserveStats, Scarce, Shortage, Sizes, SpaceStats, Stats, StoreStats, TagRow, TagStats, Unread, Verification,
};
