//! Waiting for the end of a process that is not our child, without asking again and again.

use std::io;
use std::time::Duration;

use datacache_proto::process::Process;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use datacache_proto::readable::Readable;

/// How often a process is looked at where the kernel hands out no descriptor for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A look-out for the end of one process.
#[derive(Debug)]
pub(crate) struct Watch {
    process: Process,
    /// Becomes readable when the process ends; `None` where there is none to be had (too many open files, a filter).
    descriptor: Option<Readable>,
}

impl Watch {
    /// Begins to watch `process`; `None` where it has ended already. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the system does not tell whether it lives.
    pub(crate) fn begin(process: Process) -> io::Result<Option<Self>> {
        // Opened first, looked at then: if the number was given away in between, the start tells.
        let descriptor = open(process.pid);
        let is_alive = process.is_alive()?;
        Ok(is_alive.then_some(Self { process, descriptor }))
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(self) {
        if let Some(descriptor) = &self.descriptor {
            match descriptor.ready().await {
                Ok(_) => return,
                Err(error) => tracing::warn!(%error, "a process can't be waited for, it is looked at instead"),
            }
        }
        while self.process.is_alive().unwrap_or(true) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn open(pid: u32) -> Option<Readable> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    let descriptor = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from);
    descriptor
        .and_then(Readable::new)
        .inspect_err(|error| tracing::debug!(%error, "no descriptor for a process, it is looked at instead"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            Self(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
        }

        fn process(&self) -> Process {
            let start = datacache_proto::process::start_of(self.0.id()).unwrap().unwrap();
            Process { pid: self.0.id(), start, ..Process::current().unwrap() }
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_end_of_a_process_is_noticed() {
        let mut sleeper = Sleeper::start();
        let watch = Watch::begin(sleeper.process()).unwrap().unwrap();
        assert!(watch.descriptor.is_some());
        let mut ended = std::pin::pin!(watch.ended());
        assert!(futures::poll!(&mut ended).is_pending(), "it lives");
        sleeper.0.kill().unwrap();
        ended.await;
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn the_end_is_noticed_without_a_descriptor_too() {
        let mut sleeper = Sleeper::start();
        let watch = Watch { process: sleeper.process(), descriptor: None };
        sleeper.0.kill().unwrap();
        sleeper.0.wait().unwrap();
        watch.ended().await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_process_that_has_ended_is_not_watched_nor_a_later_one_in_its_place() {
        let mut sleeper = Sleeper::start();
        let process = sleeper.process();
        assert!(Watch::begin(Process { start: process.start + 1, ..process }).unwrap().is_none());
        sleeper.0.kill().unwrap();
        sleeper.0.wait().unwrap();
        assert!(Watch::begin(process).unwrap().is_none());
    }
}
