//! Histories of concurrent clients, see [`datacache_tests::history`].

use std::fs;
use std::path::PathBuf;

use datacache_tests::history::Scene;
use datacache_tests::program::client_program;

use crate::Fault;

/// Have clients read and write the same keys while daemons die, and look for an order that explains what they saw
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many times, each with clients, a daemon and a store of its own
    #[arg(long, value_name = "N", default_value_t = 10)]
    rounds: u64,
    /// What the clients of the first round draw from; the next round has the next number
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How often clients do something in a round
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    steps: u64,
    /// How often the daemon is killed in a round, and as often stopped for a moment
    #[arg(long, value_name = "N", default_value_t = 4)]
    deaths: u64,
}

/// Returns whether there was an order each time.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, Fault> {
    let client = client_program()?;
    let mut operations = 0;
    for round in 0..arguments.rounds {
        let seed = arguments.seed + round;
        let recorded = Scene { steps: arguments.steps, deaths: arguments.deaths, seed }.record(&client);
        operations += recorded.histories.count(|_| true);
        let unknown = recorded.histories.count(|event| event.ended.is_none());
        println!(
            "round {}: {operations} operations so far; {} keys, {unknown} unknown outcomes, {} segments in this one",
            round + 1,
            recorded.histories.keys().count(),
            recorded.segments
        );
        if let Err(wrong) = recorded.histories.check() {
            let report = PathBuf::from(format!("history-{seed}.txt"));
            fs::write(&report, wrong.to_string())?;
            println!(
                "{wrong}this is in {} too; the same seed has clients do the same, not at the same moments",
                report.display()
            );
            return Ok(false);
        }
    }
    Ok(true)
}
