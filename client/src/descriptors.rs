//! The descriptors of a connection: looked at to see whether the daemon is still there, and closed in a forked child.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Stat;
use rustix::net::RecvFlags;
use tokio::net::UnixStream;

/// A connected socket, by its two descriptors in this process: the stream's, which the task of the connection owns, and a
/// duplicate of ours.
#[derive(Debug)]
pub(crate) struct Descriptors {
    own: OwnedFd,
    stream: RawFd,
    /// The socket's device and inode.
    identity: (u64, u64),
    is_closed: AtomicBool,
}

impl Descriptors {
    /// Notes the descriptors of `stream`.
    pub(crate) fn of(stream: &UnixStream) -> rustix::io::Result<Self> {
        let own = rustix::io::fcntl_dupfd_cloexec(stream, 3)?;
        let identity = identity(&rustix::fs::fstat(&own)?);
        Ok(Self { own, stream: stream.as_raw_fd(), identity, is_closed: AtomicBool::new(false) })
    }

    /// Tells whether the other end has hung up and left nothing to read.
    pub(crate) fn is_hung_up(&self) -> bool {
        let peeked = rustix::net::recv(&self.own, &mut [0_u8; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        match peeked {
            Ok((read, _)) => read == 0,
            Err(errno) => errno != rustix::io::Errno::AGAIN && errno != rustix::io::Errno::INTR,
        }
    }

    /// Closes both in a forked child, where their owners are never dropped.
    ///
    /// Without it the child would keep the connection open when the parent ends. Shutting the socket down, or taking it
    /// out of the epoll set as dropping the stream does, would break the parent's connection.
    pub(crate) fn close_in_child(&self) {
        if self.is_closed.swap(true, Ordering::Relaxed) {
            return;
        }
        for descriptor in [self.own.as_raw_fd(), self.stream] {
            if is_still(descriptor, self.identity) {
                close(descriptor);
            }
        }
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
    // SAFETY: (1) it is open and ours, `is_still` compared the socket it stands for just before; (2) its Rust owner (the tokio
    // stream, or `own`) is leaked in this process, see `fork`, so that nobody uses or closes it after us.
    unsafe { rustix::io::close(descriptor) };
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }

    #[tokio::test]
    async fn a_peer_that_hung_up_is_noticed_without_a_call() {
        let (ours, theirs) = pair();
        let descriptors = Descriptors::of(&ours).unwrap();
        assert!(!descriptors.is_hung_up());
        theirs.writable().await.unwrap();
        theirs.try_write(b"answer").unwrap();
        drop(theirs);
        assert!(!descriptors.is_hung_up(), "an answer is still to be read");
        ours.readable().await.unwrap();
        ours.try_read(&mut [0; 16]).unwrap();
        assert!(descriptors.is_hung_up());
    }

    #[tokio::test]
    async fn a_number_that_was_used_again_is_not_closed() {
        let (ours, _theirs) = pair();
        let descriptors = Descriptors::of(&ours).unwrap();
        assert!(is_still(ours.as_raw_fd(), descriptors.identity));
        let (other, _) = pair();
        assert!(!is_still(other.as_raw_fd(), descriptors.identity));
    }
}
