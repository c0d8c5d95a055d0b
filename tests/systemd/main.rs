//! The systemd units under a real user manager, with the real command.
//!
//! A test here has two halves. Outside, as far as the test runner is concerned, it starts a manager of its own and runs this very
//! program in it; inside, as the throw-away user of that manager, it does what its name says. Where no manager can be had, the
//! tests count as ignored, and the reason is told.

#![expect(clippy::unwrap_used, reason = "tests")]

mod activation;
mod command;
mod confinement;
mod files;
mod manager;
mod probe;
mod restarts;
mod session;
mod upgrades;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use manager::Manager;

/// A test's name, and its inner half.
type Case = (&'static str, fn());

/// Lists the tests of a module under their own names.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        pub(crate) const CASES: &[crate::Case] = &[$((stringify!($name), $name)),+];
    };
}
use cases;

const INSIDE: &str = "--inside";
const PROBE: &str = "--probe";

fn all() -> impl Iterator<Item = Case> {
    [activation::CASES, command::CASES, confinement::CASES, restarts::CASES, upgrades::CASES]
        .into_iter()
        .flatten()
        .copied()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [INSIDE, name] => inside(name),
        [PROBE, name] => println!("{}", probe::observe(name)),
        _ => return outside(),
    }
    ExitCode::SUCCESS
}

/// A failed assertion ends the process with its words on stderr, which the outer half hands on.
fn inside(name: &str) {
    let (_, run) = all().find(|case| case.0 == name).expect("the outer half knows the same names");
    run();
}

fn outside() -> ExitCode {
    let arguments = Arguments::from_args();
    let manager = Manager::reach().map(Arc::new);
    if let Err(reason) = &manager {
        eprintln!("skipped: {} tests of the systemd units: {reason}", all().count());
    }
    let mut trials: Vec<Trial> = all().map(|(name, _)| trial(name, manager.clone())).collect();
    trials.extend(files::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &'static str, manager: Result<Arc<Manager>, String>) -> Trial {
    let is_ignored = manager.is_err();
    let run = move || manager?.run(&[INSIDE, name]).map_err(Into::into);
    Trial::test(name, run).with_ignored_flag(is_ignored)
}
