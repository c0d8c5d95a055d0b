//! What tests do for seconds, for hours: with ever new seeds, until something is found. Each finding says how to look at it again.
//!
//! | part | what it repeats |
//! | --- | --- |
//! | [`bytes`] | damage to the files of a store, see the test `bytes` |
//! | [`history`] | histories of concurrent clients, while daemons die |
//! | [`kills`] | deaths of the daemon while clients write and upload, see the test `kills` |
//! | [`powercut`] | cuts of the power while a store is written, see the daemon's test `power_cuts` |

mod bytes;
mod history;
mod kills;
mod powercut;

use std::process::ExitCode;

use clap::Parser as _;

/// Anything that keeps it from being done; not what it finds.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Repeats tests with ever new seeds.
#[derive(Debug, clap::Parser)]
#[command(name = "soak", max_term_width = 100)]
enum Arguments {
    Bytes(bytes::Arguments),
    History(history::Arguments),
    Kills(kills::Arguments),
    Powercut(powercut::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse() {
        Arguments::Bytes(arguments) => bytes::run(&arguments),
        Arguments::History(arguments) => history::run(&arguments),
        Arguments::Kills(arguments) => kills::run(&arguments),
        Arguments::Powercut(arguments) => powercut::run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("soak: {fault}");
            ExitCode::FAILURE
        }
    }
}
