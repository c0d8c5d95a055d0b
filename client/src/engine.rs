//! What drives the calls of a blocking cache: a runtime on the threads that make them.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::pin;
use std::sync::OnceLock;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::Error;
use crate::fork::{Inherited, PerProcess};

/// What drives the calls: a runtime on the calling threads, one for each process of a line of forks. It is made for the first
/// call.
pub(crate) struct Engine(PerProcess<OnceLock<Motor>>);

/// A runtime that can be dropped anywhere.
struct Motor(Option<Runtime>);

impl Engine {
    pub(crate) fn new() -> Self {
        Self(PerProcess::new(OnceLock::new()))
    }

    /// Runs a call to its end.
    pub(crate) fn run<T: Send>(&self, future: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        let motor = self.motor()?;
        // A call's future is some kilobytes, and would be moved at each step from here to where it is polled.
        let future = pin!(future);
        if Handle::try_current().is_err() {
            return motor.run(future);
        }
        let failed = |source| Error::System { action: "start a thread to wait on", source };
        thread::scope(|scope| {
            let waiting = thread::Builder::new().spawn_scoped(scope, || motor.run(future)).map_err(failed)?;
            waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn motor(&self) -> Result<&Motor, Error> {
        let motor = self.0.get(OnceLock::new);
        if motor.get().is_none() {
            // Another thread may be faster; then ours is dropped.
            drop(motor.set(Motor::new()?));
        }
        Ok(motor.get().expect("it was set by us or by another thread"))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

impl Motor {
    fn new() -> Result<Self, Error> {
        let failed = |source: io::Error| Error::System { action: "make a runtime", source };
        Builder::new_current_thread().enable_all().build().map(|runtime| Self(Some(runtime))).map_err(failed)
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("it is taken only by `drop`").block_on(future)
    }
}

impl Inherited for OnceLock<Motor> {
    /// Nothing: its sockets are closed by their session, and its epoll set is the parent's.
    fn abandon(&self) {}
}

impl Drop for Motor {
    /// A runtime must not be dropped within another one, except in the background.
    fn drop(&mut self) {
        if let Some(runtime) = mem::take(&mut self.0) {
            runtime.shutdown_background();
        }
    }
}
