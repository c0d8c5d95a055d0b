//! What can be typed.

use std::path::PathBuf;

/// Measures datacache beside its peers.
#[derive(Debug, clap::Parser)]
#[command(name = "peers", max_term_width = 100)]
pub(crate) struct Arguments {
    /// Measure only this row; can be given several times
    #[arg(long, value_name = "ROW")]
    pub(crate) only: Vec<String>,
    /// Tell which rows there are
    #[arg(long)]
    pub(crate) list: bool,
    /// Measure with ten million entries too: takes a quarter of an hour and 10 GB of disk
    #[arg(long)]
    pub(crate) huge: bool,
    /// Measure a minute of writing too
    #[arg(long)]
    pub(crate) minute: bool,
    /// Measure hardly anything, to see whether it works; the figures mean nothing
    #[arg(long, conflicts_with_all = ["huge", "minute"])]
    pub(crate) quick: bool,
    /// The folder for the files of all, ours and the peers' [default: the one for temporary files]
    #[arg(long, value_name = "D")]
    pub(crate) dir: Option<PathBuf>,
    /// Where Python packages are installed to [default: beside this program]
    #[arg(long, value_name = "D")]
    pub(crate) python: Option<PathBuf>,
    /// Write all that was measured as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw the times of a get and a set
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write the tables as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// What this program runs as processes of its own.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Part {
    /// Do as told on standard input
    #[command(hide = true)]
    Worker,
}
