//! Cuts of the power. They are simulated by a program of the daemon's own tests, since that drives the store itself; this one has
//! it built, and tells it how many.

use std::path::PathBuf;
use std::process::Command;

use datacache_tests::program::test_program;

use crate::Fault;

/// Cut the power while a store is written, and look at what comes back
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many cuts
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    cuts: u64,
    /// What all else follows from, but for what threads do at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Make one cut again, in this recording
    #[arg(long, value_name = "FILE", requires = "position", conflicts_with = "cuts")]
    record: Option<PathBuf>,
    /// The place of that cut
    #[arg(long, value_name = "N", requires = "record")]
    position: Option<u64>,
}

/// Returns whether the store survived all of them.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, Fault> {
    let mut command = Command::new(test_program("datacache-daemon", "power_cuts")?);
    command.arg("soak");
    match (&arguments.record, arguments.position) {
        (Some(record), Some(position)) => command.arg(record).arg(position.to_string()),
        _ => command.arg(arguments.cuts.to_string()),
    };
    Ok(command.arg(arguments.seed.to_string()).status()?.success())
}
