//! The daemon as its clients see it: a real one, on a store and a socket of its own in a temporary folder, talked to over that
//! socket.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod additions;
mod bad_input;
mod batches;
mod bulk;
mod crowded;
mod harness;
mod leases;
mod life;
mod limits;
mod process;
mod reads;
mod repeats;
mod transfers;
mod wire;
