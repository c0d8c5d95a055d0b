//! Replays a trace of requests, and tells how many of them a policy would have answered: one line of JSON.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser as _, ValueEnum};
use datacache_daemon::eviction::Policy;
use datacache_tests::replay::{Outcome, Trace, live, rehearse};
use serde::Serialize;

/// Replays a trace of requests: asks for each id, and adds what is missing.
#[derive(Debug, clap::Parser)]
#[command(name = "replay", max_term_width = 100)]
struct Arguments {
    /// A file with an id a line, plain or packed by xz.
    trace: PathBuf,
    /// How many entries are kept at most; all of them have the same size.
    #[arg(long)]
    entries: NonZeroU64,
    /// Who goes when there is no room: s3-fifo, lru, lfu, fifo or none, or by one of `DiskCache`'s names.
    #[arg(long, default_value_t)]
    policy: Policy,
    /// What the requests go through.
    #[arg(long, value_enum, default_value_t)]
    through: Through,
}

/// What requests go through.
#[derive(Clone, Copy, Debug, Default, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Through {
    /// The policy alone, with marks and queues in memory.
    #[default]
    Policy,
    /// A daemon with such a limit, started in a folder of its own: one client reads for itself, and adds what it misses. It is the
    /// command `datacache` as cargo builds it, or what DATACACHE_TEST_BIN names.
    Daemon,
}

/// Anything that can go wrong; told to whoever runs this, never decided on.
type Fault = Box<dyn std::error::Error>;

/// What is printed.
#[derive(Serialize)]
struct Told<'a> {
    trace: &'a str,
    policy: &'static str,
    through: Through,
    entries: NonZeroU64,
    #[serde(flatten)]
    outcome: Outcome,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match replay(&arguments) {
        Ok(outcome) => {
            println!("{}", told(&arguments, outcome));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let source = error.source().map(|source| format!(": {source}"));
            eprintln!("replay: {error}{}", source.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn replay(arguments: &Arguments) -> Result<Outcome, Fault> {
    let &Arguments { ref trace, policy, entries, through } = arguments;
    let trace = Trace::read(trace)?;
    Ok(match through {
        Through::Policy => rehearse(&trace, policy, entries.get()),
        Through::Daemon => live(&trace, policy, entries.get())?,
    })
}

fn told(arguments: &Arguments, outcome: Outcome) -> String {
    let Arguments { trace, entries, policy, through } = arguments;
    let (entries, through) = (*entries, *through);
    let told = Told { trace: &trace.to_string_lossy(), policy: policy.name(), through, entries, outcome };
    serde_json::to_string(&told).expect("names and numbers are JSON")
}
