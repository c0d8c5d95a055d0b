//! The daemon of datacache: the only writer of a store, and the one who answers where a client can't look for itself.
//!
//! # Who owns what
//! Everything but blocking work lives on one thread, the runtime's: the connections, the calls on them, and the writer with
//! the [`store`]. So nothing here is locked, and a call costs no wake-up of another thread. Work that may wait for the
//! disk goes to a small pool; the store has threads of its own, which only ever wake the writer.
//!
//! ```text
//! listener ─► server ─► connection ─► service ─┬─► addition(s), bulk, listing, transfer ─► writer ─► store
//!                                              └─► reads, lookups: the store, directly
//! maintenance, leases ─► bulk ─► writer
//! ```
//!
//! | module | its noun |
//! | --- | --- |
//! | [`config`], `settings` | the settings, and where each came from; those of a daemon that runs, and how they are read again |
//! | [`listener`], `links` | the socket: systemd's, or one that is bound here; and the way from it to the store |
//! | `server`, `connection`, `conversation` | who may connect; one client and what is kept for it; its calls and their answers |
//! | `service` | what the calls mean: checks and translates, decides nothing |
//! | `writer`, `queue`, `crowd`, `waiting` | everything that waits goes into one frame; who waits for room below a limit; replies; waits for durability |
//! | `bulk`, `long_calls` | evict, clear, expire in slices; and what makes them repeatable |
//! | `leases`, `scopes`, `peer`, `watch` | who holds entries, and how it is noticed that they are gone |
//! | `load` | how much memory the calls of all clients take |
//! | `polling`, `callers` | trying for the next call for a moment instead of sleeping |
//! | [`eviction`] | who goes when there is no room: a policy, without I/O |
//! | `limits` | keeping below the marks beside the calls, giving way to others on the disk |
//! | `maintenance`, `alarm`, `deadlines` | expiry, housekeeping, leaving when idle |
//! | `compaction` | the index in a smaller file, when much of it is free and nobody writes |
//! | `laggards` | processes that are stopped in the middle of a read |
//! | `notify`, `signals`, `logging`, `vanish` | the world outside |
//!
//! # Start and end
//! [`start`](start()): the settings, the log, the store, the socket, the runtime, the signals, and then [`run`](run()). The store's lock decides who is the
//! daemon, so the store is opened before the socket is touched. Clients that connect while a store recovers wait
//! in systemd's socket; without systemd there is none yet.
//!
//! The end, by a signal, a call, or idleness: the socket is given up, so that new clients find or start the next daemon; calls that
//! are under way are answered, for five seconds at most, and new ones told that the daemon stops; connections are closed; the
//! store is closed, with all of its log applied.
//!
//! # What is only approximate
//! - Counters of events begin anew with each daemon, and miss calls that were given up.
//! - Replies of evict, clear, expire and release are kept in memory: one that is repeated after a restart finishes the work, and counts
//!   what was left of it.
//! - What others take of the disk is looked at every ten seconds, and every twenty while nobody calls.
//! - What the policies of eviction have learned is written down every ten minutes in which calls come, and at the end: a crash takes what is
//!   newer.
//! - Values that don't come with their call are not checked to be text; readers look at what they get.

mod activity;
mod addition;
mod additions;
mod alarm;
mod bulk;
mod call_spans;
mod callers;
mod compaction;
pub mod config;
mod connection;
mod conversation;
mod crowd;
mod daemon;
mod deadlines;
pub mod eviction;
mod gauge;
mod inspection;
mod laggards;
mod leases;
mod lifecycle;
mod limits;
mod links;
pub mod listener;
mod listing;
mod load;
mod logging;
mod long_calls;
mod lookups;
mod maintenance;
mod notify;
mod oldest;
mod open_store;
mod peer;
mod polling;
mod queue;
mod refusal;
mod run;
mod scopes;
mod server;
mod service;
mod settings;
mod signals;
mod start;
mod stats;
pub mod store;
mod suspicions;
mod tag_survey;
mod tasks;
mod transfer;
mod vanish;
mod waiting;
mod watch;
mod writer;

pub use config::{Config, Flags};
pub use listener::Listener;
pub use logging::LoggingError;
pub use open_store::{EXAMINE, OpenStore};
pub use run::{RunError, run};
pub use settings::Settings;
pub use start::{StartError, start};
