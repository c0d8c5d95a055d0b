//! The daemon's process, from its start to its death.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use super::instant::{Instant, VARIABLE};
use crate::Home;
use crate::process::Watched;
use crate::program::mortal_program;
use crate::wait::{PATIENCE, eventually};

/// A daemon that runs. Dropping it ends it at once.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    watch: Watch,
}

/// What is known of a daemon by those who use it.
#[derive(Debug)]
pub struct Watch {
    process: Watched,
    is_over: AtomicBool,
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Killed, by the test or at its instant.
    Killed,
    /// In good order.
    Well,
}

impl Daemon {
    /// Starts a daemon that dies at `instant`, or lives. Returns once it takes connections, or has died: then `None`.
    ///
    /// # Panics
    /// Where it comes to neither, or fails.
    #[must_use]
    pub fn start(home: &Home, instant: Option<Instant>) -> Option<Self> {
        let mut program = home.program(mortal_program());
        let log = File::options().create(true).append(true).open(home.path().join("log")).unwrap();
        program.arg("daemon").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        if let Some(instant) = instant {
            program.env(VARIABLE, instant.to_string());
        }
        let child = program.spawn().unwrap();
        let process = Watched::begin(child.id()).expect("it was not waited for yet");
        let daemon = Self { child, watch: Watch { process, is_over: AtomicBool::new(false) } };
        let mut serves = false;
        eventually("the daemon serves, or is dead", PATIENCE, || {
            serves = UnixStream::connect(home.socket()).is_ok();
            serves || daemon.watch.is_dead()
        });
        if serves {
            return Some(daemon);
        }
        assert_eq!(daemon.ended(home), Ended::Killed, "it ended before it served");
        None
    }

    /// Returns what its users look at.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Ends it with SIGKILL.
    pub fn kill(&self) {
        self.watch.process.kill();
    }

    /// Asks it to end in good order.
    pub fn ask_to_end(&self) {
        self.watch.process.signal(Signal::TERM);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it does not come, or is another one than a daemon that works has.
    pub fn ended(mut self, home: &Home) -> Ended {
        assert!(self.watch.process.ends(PATIENCE), "the daemon goes on: {}", log(home));
        let status: ExitStatus = self.child.wait().unwrap();
        match (status.signal(), status.success()) {
            (Some(signal), _) if signal == Signal::KILL.as_raw() => Ended::Killed,
            (None, true) => Ended::Well,
            _ => panic!("the daemon ended with {status}: {}", log(home)),
        }
    }
}

/// Returns the end of what daemons had to say.
fn log(home: &Home) -> String {
    let told = std::fs::read_to_string(home.path().join("log")).unwrap_or_default();
    let lines: Vec<&str> = told.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.watch.process.kill();
        self.child.wait().ok();
    }
}

impl Watch {
    /// Tells whether there is nothing more to do for its users.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.is_dead()
    }

    /// Has its users stop.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Tells whether it is dead.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.ends(Duration::ZERO)
    }

    /// Tells whether it dies within that time.
    #[must_use]
    pub fn ends(&self, within: Duration) -> bool {
        self.process.ends(within)
    }
}
