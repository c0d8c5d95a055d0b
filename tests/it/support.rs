//! What several modules need: client processes and values.

use datacache_tests::{Client, Home};

/// Starts a client that is a process of its own.
pub(crate) fn client(home: &Home) -> Client {
    Client::start(home.program(env!("CARGO_BIN_EXE_client-process")))
}

/// Returns bytes that look like nothing in particular, the same for a seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}
