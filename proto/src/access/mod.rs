//! `access`: hints and counters that clients write and the daemon reads. Nothing in it decides what a reader sees.
//!
//! It is memory that every process of the user shares and stores to, without order and without locks: all accesses are
//! relaxed. A process that writes nonsense into it spoils statistics, the choice of what is evicted, and how long others
//! poll, and nothing else.
//!
//! It belongs to the generation, is kept across restarts and boots, and is made anew, all zero, where its header does not
//! fit. How often reads hit is counted exactly; how often a key was read is a guess, from 0 to 3.

mod callers;
mod counters;
mod header;
mod layout;
mod marks;
#[cfg(test)]
mod testing;
mod words;

pub use counters::{Reads, has_row};
pub use header::{Field, Header, HeaderError};
pub use layout::{CELLS, FILE_LEN, LAYOUT_VERSION, ROWS, SHARDS, WORDS};
pub use marks::FREQUENCY_MAX;
pub use words::{Access, LengthError};
