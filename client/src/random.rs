//! Numbers that no other process draws: names of calls, scopes and staged files. Not for secrets.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Draws a number.
///
/// The system's randomness is behind it once a thread; a forked child inherits that, which is why the process's
/// number, the clock and a counter go in as well.
pub(crate) fn random() -> u64 {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u64(DRAWN.fetch_add(1, Ordering::Relaxed));
    let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    hasher.write_u128(clock.as_nanos());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_within_and_across_threads() {
        let draw = || (0..100).map(|_| random()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let mut drawn: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 400);
    }
}
