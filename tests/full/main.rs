//! Stores on filesystems that are full: small ones, a memory and a disk, that only the test sees.
//!
//! A test here has two halves. The outer one starts this very program among mounts of its own; the inner one does what the test's
//! name says. Where the system does not let this user have such mounts, a test counts as ignored, and the reason is told.

#![expect(clippy::unwrap_used, reason = "tests")]

mod beginning;
mod disk;
mod limited;
mod load;
mod smaller;
mod writing;

use std::process::{Command, ExitCode};

use disk::Kind;
use libtest_mimic::{Arguments, Failed, Trial};

/// A test's name, and its inner half.
type Case = (&'static str, fn(Kind));

const INSIDE: &str = "--inside";
/// How long a test may take until it counts as hanging, as `timeout` reads it.
const HANGS_AFTER: &str = "170";

fn all() -> impl Iterator<Item = Case> {
    [beginning::CASES, limited::CASES, smaller::CASES, writing::CASES].into_iter().flatten().copied()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [INSIDE, case, kind] => inside(case, kind),
        _ => return outside(),
    }
    ExitCode::SUCCESS
}

/// A failed assertion ends the process with its words on stderr, which the outer half hands on.
fn inside(case: &str, kind: &str) {
    let (_, run) = all().find(|(name, _)| *name == case).expect("the outer half knows the same names");
    run(Kind::ALL.into_iter().find(|known| known.name() == kind).expect("and the same filesystems"));
}

fn outside() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for kind in Kind::ALL {
        let missing = disk::missing(kind);
        if let Some(reason) = &missing {
            eprintln!("skipped: {} tests of full disks on {}: {reason}", all().count(), kind.name());
        }
        trials.extend(all().map(|(case, _)| {
            let trial = Trial::test(format!("{case}_on_{}", kind.name()), move || run(case, kind));
            trial.with_ignored_flag(missing.is_some())
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(case: &str, kind: Kind) -> Result<(), Failed> {
    // Built here, and not by each of the inner halves.
    datacache_tests::program::program();
    let own = std::env::current_exe()?;
    let mut timeout = Command::new("timeout");
    timeout.args(["--kill-after=10", HANGS_AFTER, "unshare", disk::namespaces()]).arg(own);
    let output = timeout.args([INSIDE, case, kind.name()]).output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Err(format!("{}\n{told}", output.status).into())
}
