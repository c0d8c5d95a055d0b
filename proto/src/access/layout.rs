//! Where in `access` each word is.
//!
//! All words are 64 bits, in the byte order of the machine: they are added to in place. A machine of another order finds
//! another magic, and makes the file anew.
//!
//! ```text
//! byte
//!       0  magic                  -+
//!       8  layout version          |  constant: stored once, before the file can be
//!      16  store id (2)            |  seen, and covered by the checksum
//!      32  namespace of processes -+
//!      40  checksum
//!    4096  callers
//!    4224  spread
//!    4352  counters: 8 shards of 1,024 rows of (hits, misses)
//!  135424  marks: 2^24 cells of two bits, 32 a word, the first in the lowest bits
//! 4329728  end
//! ```
//! Callers and spread have two cache lines to themselves each, since processors fetch them in pairs. A shard has 16 KiB to itself.

/// The version of everything in `access`: of the layout, and of the hash of keys.
pub const LAYOUT_VERSION: u64 = 1;

/// The length of `access` in 64-bit words.
pub const WORDS: usize = MARKS + CELLS / CELLS_A_WORD;

/// The length of `access` in bytes.
pub const FILE_LEN: u64 = WORDS as u64 * 8;

/// How many copies of the counters there are, so that processes that count at the same time seldom meet in one.
pub const SHARDS: usize = 8;

/// How many namespaces are counted; the last row is shared by all that have none of their own.
pub const ROWS: usize = 1_024;

/// The cells of the marks.
pub const CELLS: usize = 1 << 24;

/// `"dcaccess"` read as a little-endian word.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"dcaccess");

// Indexes of words, each derived from the one before.
pub(super) const MAGIC_AT: usize = 0;
pub(super) const VERSION_AT: usize = MAGIC_AT + 1;
pub(super) const STORE_AT: usize = VERSION_AT + 1;
pub(super) const PROCESSES_AT: usize = STORE_AT + 2;
pub(super) const CHECKSUM_AT: usize = PROCESSES_AT + 1;
pub(super) const HEADER_WORDS: usize = CHECKSUM_AT + 1;
pub(super) const CALLERS_AT: usize = PAGE;
pub(super) const SPREAD_AT: usize = CALLERS_AT + LINE_PAIR;
pub(super) const COUNTERS_AT: usize = SPREAD_AT + LINE_PAIR;
pub(super) const MARKS: usize = COUNTERS_AT + SHARDS * ROWS * ROW_WORDS;

/// Hits, then misses.
pub(super) const ROW_WORDS: usize = 2;

pub(super) const BITS_A_CELL: usize = 2;
pub(super) const CELLS_A_WORD: usize = 64 / BITS_A_CELL;

/// Words in two cache lines.
const LINE_PAIR: usize = 128 / 8;

/// Words in the header page.
const PAGE: usize = 4096 / 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_where_other_builds_look_for_them() {
        assert_eq!([PROCESSES_AT, CHECKSUM_AT].map(|at| at * 8), [32, 40]);
        assert_eq!([CALLERS_AT, SPREAD_AT, COUNTERS_AT, MARKS].map(|at| at * 8), [4_096, 4_224, 4_352, 135_424]);
        assert_eq!(FILE_LEN, 4_329_728);
    }
}
