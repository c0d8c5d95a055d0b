//! What each key holds at a version: noise of a length of its own, that follows from both.

use fastrand::Rng;

/// How many keys there are: 40 small ones, 8 that fill pages, 8 that are files of their own.
pub const KEYS: u64 = 56;

/// What a reader sees under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing.
    Miss,
    /// What was put there at this version.
    Version(u64),
    /// What nobody ever put there.
    Wrong,
}

/// Returns the name of a key.
#[must_use]
pub fn name(key: u64) -> String {
    format!("key {key}")
}

/// Returns the bytes that a key holds at a version.
#[must_use]
pub fn content(key: u64, version: u64) -> Vec<u8> {
    let mut random = Rng::with_seed(key << 32 | version);
    let length = match key {
        0..40 => random.usize(24..600),
        40..48 => random.usize(4_000..30_000),
        _ => random.usize(40_000..300_000),
    };
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    // So that the version can be told from the bytes.
    bytes[..8].copy_from_slice(&version.to_le_bytes());
    bytes
}

/// Tells what somebody sees who is given these bytes.
#[must_use]
pub fn sight(key: u64, bytes: &[u8]) -> Sight {
    let version = bytes.first_chunk().map(|version| u64::from_le_bytes(*version));
    match version {
        Some(version) if content(key, version) == bytes => Sight::Version(version),
        _ => Sight::Wrong,
    }
}
