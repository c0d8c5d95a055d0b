//! What two processes of datacache must agree on: the calls they make and the bytes they share.
//!
//! This crate is the ground that client and daemon stand on. It does no I/O of its own accord: it looks at who and where the
//! process is, and moves frames through a socket when it is told to. It does not know LMDB.
//!
//! | module | what it settles |
//! | --- | --- |
//! | [`service`], [`types`], [`additions`], [`error`] | the calls, what they carry, and how they fail |
//! | [`codec`], [`wire`], [`readable`] | how calls travel over the socket |
//! | [`key`], [`time`], [`hash`], [`json`], [`utf8`] | keys and tags, moments and durations, the default key, canonical JSON, text |
//! | [`record`] | an entry as it is stored |
//! | [`log`] | the framing of the log |
//! | [`recent`] | the shared index over the log, and how it is read while it changes |
//! | [`access`] | hints and counters in shared memory |
//! | [`checked`] | which files of values need not be hashed again |
//! | [`polling`] | when a message is looked for instead of slept for |
//! | [`filesystem`], [`closed`] | where memory can be shared, and which folders this user can't use |
//! | [`layout`], [`paths`], [`process`], [`holder`], [`listening`] | names in the store's folder, where it lies, who a process is, who holds a store, who listens |
//!
//! # Changing what is agreed on
//! Calls: a change to [`service`], [`types`] or [`additions`] is a new [`PROTOCOL`]; a daemon may go on speaking older ones. Stored bytes: a
//! change to [`record`], [`log`] or [`layout`] is a new [`layout::LAYOUT`]; ask first what an old reader does with new data, a
//! new reader with old data, and an old writer with a store that has both. What is shared in memory alone, and made anew where
//! it does not fit: a change to [`recent`] or [`access`] is a new version of its own; but the hash of keys is in every record.

pub mod access;
pub mod additions;
pub mod checked;
pub mod closed;
pub mod codec;
pub mod error;
pub mod filesystem;
pub mod hash;
mod header_words;
pub mod holder;
pub mod json;
pub mod key;
pub mod layout;
pub mod listening;
mod lists;
pub mod log;
pub mod lost;
pub mod paths;
pub mod polling;
pub mod process;
pub mod readable;
pub mod recent;
pub mod record;
pub mod service;
pub mod time;
pub mod types;
pub mod utf8;
pub mod wire;

/// The protocol that this build speaks.
pub const PROTOCOL: u32 = 8;

/// This build, for people to read: the version of the crates.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");
