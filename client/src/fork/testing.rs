//! For tests: real forks.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Forks, and returns what `look` says in the child; `false` where it panics.
#[expect(unsafe_code, reason = "only a fork is a fork")]
pub(crate) fn in_child(look: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs `look`, which takes no lock that another thread could hold, and ends.
    match unsafe { libc::fork() } {
        0 => {
            let seen = catch_unwind(AssertUnwindSafe(look)).unwrap_or(false);
            // SAFETY: it ends the process at once, and nothing of the parent's runs here.
            unsafe { libc::_exit(i32::from(!seen)) }
        }
        pid => {
            let mut status = -1;
            // SAFETY: it waits for our own child, and `status` is ours to write to.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            status == 0
        }
    }
}
