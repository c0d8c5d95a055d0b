//! A descriptor that is waited for on the runtime until it becomes readable: a socket, a timer, a process, a list of events.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// A descriptor of which only one thing is wanted: that it becomes readable.
///
/// For a socket that is more than an economy: one that is waited for in both directions wakes its process each time the
/// other end takes something off it.
#[derive(Debug)]
pub struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Takes a descriptor that does not block. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the system can't wait for it.
    #[expect(unsafe_code, reason = "tokio can't know that a descriptor stays open as long as it is waited for")]
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` is open until it is dropped, and always names the same file. It moves into the `AsyncFd`,
        // which drops it only after it has ceased to wait for it, and nothing here takes it out or exchanges it.
        let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Waits until there is something to read.
    ///
    /// # Errors
    /// Where the runtime is going down.
    pub async fn ready(&self) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
        self.0.readable().await
    }

    /// The same for one task at a time: the last one that asked is woken.
    ///
    /// # Errors
    /// Where the runtime is going down.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<AsyncFdReadyGuard<'_, OwnedFd>>> {
        self.0.poll_read_ready(cx)
    }
}

impl AsFd for Readable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
