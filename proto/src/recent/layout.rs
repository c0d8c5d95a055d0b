//! Where in `recent` each word is.
//!
//! All words are 64 bits, little-endian, and accessed as atomics.
//!
//! ```text
//! byte
//!       0  magic            -+
//!       8  layout version    |
//!      16  store id (2)      |  constant: stored once, before the file can be
//!      32  boot id (2)       |  seen, and covered by the checksum
//!      48  device            |
//!      56  inode             |
//!      64  mount id         -+
//!      72  checksum
//!     128  in-use mark          changes when the daemon starts and ends
//!     256  view                 changes three times a segment; read by every lookup
//!    4096  table 0: 2^17 slots  even segments
//! 1052672  table 1: 2^17 slots  odd segments
//! 2101248  end
//! ```
//! Mark and view have 128 bytes each to themselves: processors fetch cache lines in pairs.
//!
//! Of all versions, the length is the same, and so are the places of magic, version and view and the view that says
//! that the generation is over: a daemon of another build says so to readers before it makes a file of its own.

/// The number of slots of one table.
pub const SLOTS: usize = 1 << 17;

/// The number of distinct keys at which a segment wants to be succeeded: half of its table, where a miss looks at 2.5
/// slots on average.
pub const ROTATE_AT: usize = SLOTS / 2;

/// The version of everything in `recent`: of the layout, the slots and the hash of keys.
pub const LAYOUT_VERSION: u64 = 2;

/// The length of `recent` in 64-bit words.
pub const WORDS: usize = TABLES + 2 * SLOTS;

/// The length of `recent` in bytes.
pub const FILE_LEN: u64 = WORDS as u64 * 8;

/// `"dcrecent"` read as a little-endian word.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"dcrecent");

// Indexes of words, each derived from the one before.
pub(super) const MAGIC_AT: usize = 0;
pub(super) const VERSION_AT: usize = MAGIC_AT + 1;
pub(super) const STORE_AT: usize = VERSION_AT + 1;
pub(super) const BOOT_AT: usize = STORE_AT + 2;
pub(super) const DEVICE_AT: usize = BOOT_AT + 2;
pub(super) const INODE_AT: usize = DEVICE_AT + 1;
pub(super) const MOUNT_AT: usize = INODE_AT + 1;
pub(super) const CHECKSUM_AT: usize = MOUNT_AT + 1;
pub(super) const HEADER_WORDS: usize = CHECKSUM_AT + 1;
pub(super) const MARK_AT: usize = HEADER_WORDS.next_multiple_of(LINE_PAIR);
pub(super) const VIEW_AT: usize = MARK_AT + LINE_PAIR;
pub(super) const TABLES: usize = PAGE;

/// Words in two cache lines.
const LINE_PAIR: usize = 128 / 8;

/// Words in the header page.
const PAGE: usize = 4096 / 8;

const _: () = assert!(VIEW_AT + LINE_PAIR <= TABLES, "the view and its lines fit into the header page");

/// Returns how many slots of a table of `slots` are looked at before a probe gives up: one more than half.
///
/// A table that is rotated when it is half full has no longer run of used slots, so this bound never hides a key. It
/// is for a reader whose table is cleared and filled again under its hands, and it is the writer's bound too, so that
/// nothing is published where nobody looks.
pub(super) const fn probe_limit(slots: usize) -> usize {
    if slots < 2 { slots } else { slots / 2 + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_where_other_builds_look_for_them() {
        assert_eq!(CHECKSUM_AT * 8, 72);
        assert_eq!(MARK_AT * 8, 128);
        assert_eq!(VIEW_AT * 8, 256);
        assert_eq!(TABLES * 8, 4096);
        assert_eq!((TABLES + SLOTS) * 8, 1_052_672);
        assert_eq!(FILE_LEN, 2_101_248);
    }

    #[test]
    fn a_probe_is_bounded_by_half_of_the_table_and_one() {
        assert_eq!([1, 2, 4, SLOTS].map(probe_limit), [1, 2, 3, SLOTS / 2 + 1]);
    }
}
