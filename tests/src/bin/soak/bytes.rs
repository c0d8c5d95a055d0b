//! Damage to the files of a store, see `datacache_tests::bytes`.

use std::collections::BTreeMap;

use datacache_tests::bytes::{Campaign, Kind, State};
use datacache_tests::program::client_program;

use crate::Fault;

/// Damage the files of stores, and look at what comes of it
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many rounds
    #[arg(long, value_name = "N", default_value_t = 100)]
    rounds: u64,
    /// What all else follows from, but for what processes do at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// How many rounds a store lives: what is wrong in one of them is easier to see when not much was before.
const LIFE: u64 = 10;

/// Returns whether all went well.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, Fault> {
    let client_process = client_program()?;
    let (mut lost, mut findings, mut ended, mut failures) = (0, BTreeMap::<Kind, usize>::new(), 0, 0);
    for life in 0..arguments.rounds.div_ceil(LIFE) {
        let seed = arguments.seed + life;
        let mut campaign = Campaign::new(client_process.clone(), seed);
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..LIFE.min(arguments.rounds - life * LIFE) {
            let kind = Kind::ALL[random.usize(..Kind::ALL.len())];
            let state = [State::Stopped, State::Killed, State::Served][random.usize(..3)];
            match campaign.round(kind, state) {
                Ok(outcome) => {
                    lost += outcome.lost;
                    ended += outcome.ended;
                    *findings.entry(kind).or_default() += outcome.findings.len();
                }
                Err(wrong) => {
                    failures += 1;
                    println!(
                        "seed {seed}, round {round}: {wrong}; again with `soak bytes --rounds {} --seed {seed}`",
                        round + 1
                    );
                    break;
                }
            }
        }
    }
    let Arguments { rounds, seed } = arguments;
    println!(
        "{rounds} rounds from seed {seed} on: {failures} failures; {lost} entries lost, {ended} readers ended, findings: {findings:?}"
    );
    Ok(failures == 0)
}
