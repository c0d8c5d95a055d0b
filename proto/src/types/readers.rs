//! Who reads the index at a moment.

use serde::{Deserialize, Serialize};

/// Those who read the index, clients and the daemon itself, and how far behind the oldest read is: what is freed in the index after
/// that one began can't be used again before it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderStats {
    /// Threads with a place among the readers: all that ever read, until they or their processes end. Equal to
    /// [`super::StoreStats::readers`].
    pub places: u64,
    /// How many there can be.
    pub places_max: u64,
    /// Their processes.
    pub processes: u64,
    /// Those in the middle of a read.
    pub reading: u64,
    /// How many transactions were committed since the one that the oldest read sees; 0 where nobody reads.
    pub behind_transactions: u64,
    /// For how long another process has been at the read that is the oldest, in milliseconds; `None` where none was at one when
    /// it was last looked for. That is done each second while the daemon is called, so that it is a second too short at the most,
    /// and reads that are over sooner are hardly ever seen.
    pub oldest_read_ms: Option<u64>,
}
