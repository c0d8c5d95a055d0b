//! The cross-process tests: real commands, real clients, a real daemon, and a home of its own for each test.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too, which clippy can't know")]

mod access;
mod bad_input;
mod batches;
mod bench;
mod both_ways;
mod bulk;
mod chunks;
mod cli;
mod concurrency;
mod damage;
mod deaths;
mod direct;
mod expiry;
mod files;
mod forks;
mod harness;
mod hashes;
mod idle;
mod inheritance;
mod leases;
mod limits;
mod listing;
mod load;
mod peers;
mod persistence;
mod real_input;
mod replay;
mod round_trip;
mod semantics;
mod space;
mod statistics;
mod stopped;
mod support;
mod tags;
mod top;
mod uploads;
mod wire;
