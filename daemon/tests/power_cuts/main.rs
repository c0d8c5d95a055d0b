//! Loss of power, simulated on the store's real files. What a process does to them is recorded, call by call, while it drives a
//! store; then the power is cut at any place of the record: what was synced is there, of all else any part may be. The store
//! that comes back must be as it was after one of the last writes, and go on.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`workload`], [`effect`], [`model`] | the process that is recorded: random writes on a store beside a map |
//! | [`record`] | the recorder |
//! | [`disk`], [`simulator`] | the simulator: what may be on a disk after a cut; and its own tests |
//! | [`history`], [`check`] | what the store has to be then |
//! | [`campaign`] | lives of a store, and cuts in them |
//! | [`soak`] | more of that than tests have time for |
//!
//! What is checked is worth as much as what would be noticed: each rule that the store keeps for the sake of a loss of power is broken
//! in turn, by a disk whose syncs of that kind do nothing, and that must be noticed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod campaign;
mod check;
mod disk;
mod effect;
mod history;
mod model;
mod quiet;
mod record;
mod simulator;
mod soak;
mod tests;
mod workload;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use crate::workload::Plan;

/// Anything that keeps a recording or a simulation from being made; not what it finds.
type Fault = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["workload", path, seed, steps, life, ref older @ ..] => {
            let number = |text: &str| text.parse().unwrap();
            record::submit();
            let older = older.first().map(|layout| layout.parse().unwrap());
            let plan = Plan { seed: number(seed), steps: number(steps), life: number(life), older };
            workload::run(path.as_ref(), plan);
            ExitCode::SUCCESS
        }
        ["submit"] => match record::try_to_submit() {
            Ok(()) => ExitCode::SUCCESS,
            Err(errno) => {
                eprintln!("no process may be watched here: {errno}");
                ExitCode::FAILURE
            }
        },
        ["soak", ref asked @ ..] => {
            quiet::prepare();
            soak::run(asked)
        }
        _ => {
            quiet::prepare();
            libtest_mimic::run(&Arguments::from_args(), tests::trials().unwrap()).exit_code()
        }
    }
}
