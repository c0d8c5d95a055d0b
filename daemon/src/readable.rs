//! A descriptor that is waited for on the runtime: a timer, a process, a list of events.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// A descriptor of which only one thing is wanted: that it becomes readable.
#[derive(Debug)]
pub(crate) struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Takes a descriptor that does not block. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the system can't wait for it.
    #[expect(unsafe_code, reason = "tokio can't know that a descriptor stays open as long as it is waited for")]
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` is open until it is dropped, and always names the same file. It moves into the `AsyncFd`,
        // which drops it only after it has ceased to wait for it, and nothing here takes it out or exchanges it.
        let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Waits until there is something to read.
    ///
    /// # Errors
    /// Where the runtime is going down.
    pub(crate) async fn ready(&self) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
        self.0.readable().await
    }
}

impl AsFd for Readable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
