//! How a store is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::examiner::Examiner;

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// Its folder; made if it is not there.
    pub path: PathBuf,
    /// How long at most what was acknowledged waits before it is written through to the disk.
    pub sync_interval: Duration,
    /// A segment of this many bytes is succeeded by the next, whatever the number of its keys.
    pub segment_bytes: u64,
    /// Who looks an index through that daemons keep dying on.
    pub examiner: Examiner,
    /// Called from the store's threads when [`Store::progress`](super::Store::progress) has something to take in.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl StoreOptions {
    /// The bytes of a segment that is succeeded by the next (64 MiB).
    pub const SEGMENT_BYTES: u64 = 64 << 20;
}
