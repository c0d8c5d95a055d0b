//! The end of another process, waited for without polling.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use datacache_proto::process::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::failure::Failure;

/// A process whose end can be waited for.
pub(crate) struct ProcessEnd(OwnedFd);

impl ProcessEnd {
    /// Takes hold of the process; `None` where this pid namespace does not show it, or it has ended.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub(crate) fn watch(process: &Process) -> Result<Option<Self>, Failure> {
        let what = "watch the daemon's process";
        let system = |source| Failure::System { what, source };
        let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(system(error.into())),
        };
        // Only now: a process that is alive after the handle was opened is the one that the handle is for.
        Ok(process.is_alive().map_err(system)?.then_some(Self(handle)))
    }

    /// Asks the process to end, as `kill` does.
    ///
    /// # Errors
    /// Where the system refuses; a process that has ended already is none.
    pub(crate) fn ask(&self) -> Result<(), Failure> {
        match pidfd_send_signal(&self.0, Signal::TERM) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(Failure::System { what: "tell the daemon to end", source: error.into() }),
        }
    }

    /// Waits until the process has ended, at most this long; tells whether it has.
    ///
    /// # Errors
    /// Where the system refuses to wait.
    pub(crate) fn wait(&self, patience: Duration) -> Result<bool, Failure> {
        let begun = Instant::now();
        loop {
            let left = patience.saturating_sub(begun.elapsed());
            let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => {
                    return Err(Failure::System { what: "wait for the daemon's end", source: io::Error::from(error) });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::process::{boot_id, start_of};
    use std::process::{Child, Command, Stdio};

    /// A child that ends when its stdin is closed.
    fn child() -> (Child, Process) {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let start = start_of(child.id()).unwrap().unwrap();
        let process = Process { boot: boot_id().unwrap(), pid: child.id(), start };
        (child, process)
    }

    #[test]
    fn the_end_of_a_process_is_noticed() {
        let (mut child, process) = child();
        let end = ProcessEnd::watch(&process).unwrap().unwrap();
        assert!(!end.wait(Duration::ZERO).unwrap());
        drop(child.stdin.take());
        assert!(end.wait(Duration::from_secs(30)).unwrap());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_asked_ends() {
        let (mut child, process) = child();
        let end = ProcessEnd::watch(&process).unwrap().unwrap();
        end.ask().unwrap();
        assert!(end.wait(Duration::from_secs(30)).unwrap());
        child.wait().unwrap();
        end.ask().unwrap();
    }

    #[test]
    fn a_later_process_with_the_same_number_is_not_waited_for() {
        let (mut child, process) = child();
        assert!(ProcessEnd::watch(&Process { start: process.start + 1, ..process }).unwrap().is_none());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(ProcessEnd::watch(&process).unwrap().is_none());
    }
}
