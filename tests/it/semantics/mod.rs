//! What the cache promises, row by row (S1 to S26): every promise through every face that has it.
//!
//! A face is the asynchronous client, the blocking one, or the command; see [`face`]. Rows about hashes of many values are
//! in `hashes`, rows about processes that end in `leases`, and rows about files in `files` as well.

mod adding;
mod configuration;
mod face;
mod keys;
mod reading;
