//! The command `datacache` as a process, as far as it goes without a daemon.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too, which clippy can't know")]

mod detached;
mod hash;
mod home;
mod service;
mod shell;
mod without_daemon;
