//! Clients and daemons that are not let everywhere: behind mounts of their own, or among files of another user.
//!
//! Where the system does not let this user arrange that, a test counts as ignored, and the reason is told.

#![expect(clippy::unwrap_used, reason = "tests")]

mod client;
mod daemon;
mod intruder;
mod network;
#[path = "../it/wire.rs"]
mod wire;

use std::process::{Command, ExitCode};

use datacache_tests::Home;
use libtest_mimic::{Arguments, Trial};

/// A test's name, what it needs, and the test.
type Case = (&'static str, Need, fn());

/// What a test needs that not every user is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Mounts that only its own processes see.
    Mounts,
    /// Files that belong to somebody else.
    Root,
    /// A filesystem that is a program.
    Fuse,
}

impl Need {
    /// Says why it can't be had, if it can't.
    fn missing(self) -> Option<String> {
        match self {
            Self::Root => (!is_root()).then(|| "only root can give files away".into()),
            Self::Fuse => network::missing(),
            Self::Mounts => {
                let tried =
                    Command::new("unshare").args([namespaces(), "mount", "-t", "tmpfs", "none", "/mnt"]).output();
                match tried {
                    Ok(tried) if tried.status.success() => None,
                    Ok(tried) => Some(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
                    Err(error) => Some(format!("`unshare` can't be run: {error}")),
                }
            }
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A user who is not root gets mounts only as the root of a user namespace.
pub(crate) fn namespaces() -> &'static str {
    if is_root() { "-m" } else { "-Urm" }
}

/// Returns a program that is to run after `mounts` were done, which only it sees; `$STORE` is the store's folder.
pub(crate) fn behind(home: &Home, mounts: &str, program: &str) -> Command {
    let mut command = home.program("unshare");
    command.args([namespaces(), "sh", "-ec", &format!("{mounts}\nexec {program}")]).env("STORE", home.store());
    command
}

fn main() -> ExitCode {
    if let Some(socket) = intruder::wanted() {
        return intruder::knock(&socket);
    }
    if let Some(filesystem) = network::wanted() {
        return network::serve(&filesystem);
    }
    let arguments = Arguments::from_args();
    let missing = [Need::Mounts, Need::Root, Need::Fuse].map(|need| (need, need.missing()));
    for (need, reason) in &missing {
        if let Some(reason) = reason {
            eprintln!("skipped: tests that need {need:?}: {reason}");
        }
    }
    let is_missing = |need| missing.iter().any(|(other, reason)| *other == need && reason.is_some());
    let trials = [client::CASES, daemon::CASES, intruder::CASES, network::CASES].into_iter().flatten().map(
        |&(name, need, test)| {
            let run = move || {
                test();
                Ok(())
            };
            Trial::test(name, run).with_ignored_flag(is_missing(need))
        },
    );
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
