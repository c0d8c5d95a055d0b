//! The command `datacache`: every subcommand is a client of the daemon, and `datacache daemon` is the daemon.

mod args;
mod bench;
mod commands;
mod context;
mod destination;
mod detach;
mod failure;
mod input;
mod interrupt;
mod output;
mod process_end;
mod progress;
mod render;
mod run;
mod top;
mod unserved;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::run()
}
