//! The name of a call, and how much one call may carry.

use serde::{Deserialize, Serialize};

/// The most keys or entries in one call: they go in one frame of the log.
pub const BATCH_MAX: usize = 8_192;

/// The most values of one call that are files: each is held open on both sides.
pub const BATCH_FILES_MAX: usize = 256;

/// Names one call of one client, so that a repeated call is answered from the stored reply and not done twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// A random number that the client process drew when it opened the cache.
    pub client: u64,
    /// Counts that client's changing calls, from 1.
    pub number: u64,
}
