//! LMDB's descriptor of the index: it leaves that one open to the programs that this process becomes or starts, unlike all others.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::fs::stat;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::environment::Identity;

/// Keeps a file that LMDB has just opened from other programs.
///
/// # Errors
/// Where the system does not tell which descriptors are open.
pub(super) fn close_on_exec(identity: Identity) -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        // One that another thread has closed meanwhile is not the one that is meant.
        let is_it = stat(&path).is_ok_and(|file| (file.st_dev, file.st_ino) == identity);
        let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| is_it) {
            mark(number)?;
        }
    }
    Ok(())
}

#[expect(unsafe_code, reason = "heed does not lend the descriptor")]
fn mark(number: RawFd) -> io::Result<()> {
    // SAFETY: the descriptor must stay open meanwhile. It is LMDB's own, which stays open as long as the environment, or
    // another one of the same file that some other part of the process opened without the flag; that one may go, and its
    // number may come to stand for another file: then a flag of that one is set, and no memory is touched.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(descriptor)?;
    if !flags.contains(FdFlags::CLOEXEC) {
        fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC)?;
    }
    Ok(())
}
