//! How much the daemon takes and gives at once: little, so that small values reach every limit.

/// Values up to this many bytes ride in the call.
pub(crate) const INLINE_MAX: u64 = 1_000;
/// A larger value is never taken.
pub(crate) const VALUE_MAX: u64 = 5_000_000;
/// The most bytes in a chunk.
pub(super) const CHUNK_MAX: u64 = 4_000;
/// The most keys that one answer of `get_many` speaks of.
pub(crate) const PAGE: usize = 3;
/// The most uploads at a time.
pub(super) const UPLOADS_MAX: usize = 16;
