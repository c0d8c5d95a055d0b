//! The client against a daemon that makes trouble.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod batches;
mod blocking;
mod connection;
mod fake;
mod files;
mod forks;
mod repeat;
mod scopes;
mod start;
mod transfer;
mod values;
mod wait;
