//! What can be typed.

use crate::cleanup::Cleanup;

/// Measures what a clean-up does to its neighbours.
#[derive(Debug, clap::Parser)]
#[command(name = "bulk", max_term_width = 100)]
pub(crate) struct Arguments {
    /// The clean-ups to measure [default: all]
    #[arg(value_enum, value_name = "CLEANUP")]
    pub(crate) cleanups: Vec<Cleanup>,
    /// How many entries go [default: 1000000, and 60000 that are files]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) entries: Option<i64>,
    /// How many turns the neighbour has before a clean-up
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) turns: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
