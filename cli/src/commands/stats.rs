//! `stats`: counters and sizes.

use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::output::{print, print_line};
use crate::render::{json, prometheus, stats};

/// The arguments of `stats`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatsArgs {
    /// Print a JSON object, whose fields docs/statistics.md lists
    #[arg(long)]
    json: bool,
    /// Print Prometheus' text format
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
}

pub(crate) fn stats(args: &StatsArgs, context: &Context) -> Result<Answer, Failure> {
    let numbers = context.open_existing()?.stats()?;
    if args.json {
        print_line(json::to_line(&numbers))?;
    } else if args.prometheus {
        print(&prometheus::exposition(&numbers))?;
    } else {
        print(&stats::plain(&numbers))?;
    }
    Ok(Answer::Yes)
}
