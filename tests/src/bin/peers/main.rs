//! Measures datacache beside its peers, in one run, with the same sizes and operations: DiskCache, Redis and memcached over
//! Unix sockets, a bare LMDB, and what the system does by itself. Tells which of the goals are reached.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`arguments`], [`sizes`] | what was asked for |
//! | [`rows`] | what is measured, a group of rows a file |
//! | [`ours`] | our daemon and clients |
//! | [`diskcache`], [`redis`], [`memcached`], [`bare`] | the peers, each with the little that is asked of it |
//! | [`worker`], [`talk`] | what this program does in processes of its own, and how they are told to |
//! | [`times`], [`outcome`] | what was measured, and what it means |
//! | [`table`], [`markdown`], [`chart`], [`machine`] | how it is told |
//! | [`server`], [`place`], [`stop`] | processes and folders that are gone in the end |

mod arguments;
mod bare;
mod bench;
mod chart;
mod diskcache;
mod machine;
mod markdown;
mod memcached;
mod ours;
mod outcome;
mod place;
mod redis;
mod rows;
mod server;
mod sizes;
mod stop;
mod table;
mod talk;
mod times;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Part};
use crate::bench::Bench;

/// Anything that can go wrong; told to whoever runs this, never decided on.
type Fault = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        Some(Part::Worker) => worker::serve(),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("peers: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Fault> {
    if arguments.list {
        rows::ALL.iter().for_each(|row| println!("{:8}  {}", row.name, row.about));
        return Ok(());
    }
    let chosen = rows::choose(&arguments.only)?;
    stop::listen()?;
    let mut bench = Bench::new(arguments)?;
    bench.missing.iter().for_each(|missing| println!("missing: {missing}"));
    for row in chosen {
        bench.run(row)?;
    }
    rows::growth::add(&mut bench);
    bench.tell(arguments)
}
