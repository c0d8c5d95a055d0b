//! The descriptors of a connection, which a forked child has to close behind the back of their owner.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Stat;

use crate::exchange::Exchange;

/// A connected socket, by its descriptor in this process, which the connection's exchange owns.
#[derive(Debug)]
pub(crate) struct Descriptors {
    stream: RawFd,
    /// The socket's device and inode.
    identity: (u64, u64),
    is_closed: AtomicBool,
}

impl Descriptors {
    /// Notes the descriptor of `stream`.
    pub(crate) fn of(stream: &UnixStream) -> rustix::io::Result<Self> {
        let identity = identity(&rustix::fs::fstat(stream)?);
        Ok(Self { stream: stream.as_raw_fd(), identity, is_closed: AtomicBool::new(false) })
    }

    /// Closes it, and a duplicate that the exchange may have, in a forked child, where their owners are never dropped.
    ///
    /// Without it the child would keep the connection open when the parent ends. Shutting the socket down, or taking it
    /// out of the epoll set as dropping the stream does, would break the parent's connection.
    pub(crate) fn close_in_child(&self, exchange: &Exchange) {
        if self.is_closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let close = |descriptor| {
            if is_still(descriptor, self.identity) {
                close(descriptor);
            }
        };
        exchange.duplicate().into_iter().for_each(close);
        close(self.stream);
    }
}

/// Tells whether `descriptor` is open and the socket it was: the child may have closed it and used its number again.
#[expect(unsafe_code, reason = "the owner of the descriptor lives in a runtime that stopped at the fork")]
fn is_still(descriptor: RawFd, expected: (u64, u64)) -> bool {
    // SAFETY: the number is not -1, as it was an open descriptor's. The borrow ends with the call of `fstat`, which
    // returns EBADF where the descriptor is closed; no I/O is done through it.
    let stat = rustix::fs::fstat(unsafe { BorrowedFd::borrow_raw(descriptor) }.as_fd());
    stat.is_ok_and(|stat| identity(&stat) == expected)
}

#[expect(unsafe_code, reason = "the owner of the descriptor lives in a runtime that stopped at the fork")]
fn close(descriptor: RawFd) {
    // SAFETY: (1) it is open and ours, `is_still` compared the socket it stands for just before; (2) its Rust owner, in the
    // wire of the exchange, is leaked in this process, see `fork`, so that nobody uses or closes it after us.
    unsafe { rustix::io::close(descriptor) };
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_used_again_is_not_closed() {
        let pair = || UnixStream::pair().unwrap();
        let (ours, _theirs) = pair();
        let descriptors = Descriptors::of(&ours).unwrap();
        assert!(is_still(ours.as_raw_fd(), descriptors.identity));
        let (other, _) = pair();
        assert!(!is_still(other.as_raw_fd(), descriptors.identity));
    }
}
