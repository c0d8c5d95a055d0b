//! A place in the log.

/// A place in the log: everything appended before it sorts before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The number of the segment.
    pub segment: u64,
    /// The distance from the segment's start in bytes.
    pub offset: u64,
}
