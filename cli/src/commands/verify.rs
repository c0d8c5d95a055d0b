//! `verify`: a look at the whole store.

use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::output::{Output, print_line};
use crate::progress::Extent;
use crate::render::finding::{can_be_mended, finding_lines, verified_json};
use crate::render::human;

/// The arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Mend what can be mended; damaged entries are removed, but not an index that was moved aside, nor values that can't be read
    /// for who may. Exit with 1 if anything was wrong, mended or not
    #[arg(long)]
    repair: bool,
    /// Print a JSON object with entries, blobs, bytes, findings and moved_aside. Each finding has fault, namespace, key, sha256, unread
    /// (path and errno of what can't be read) and repaired
    #[arg(long)]
    json: bool,
}

pub(crate) fn verify(args: &VerifyArgs, context: &Context) -> Result<Answer, Failure> {
    // It is the daemon that looks, and that survives what it sees.
    let cache = context.open_existing()?;
    let progress = context.progress("verifying", Extent::Time);
    let outcome = cache.verify(args.repair)?;
    drop(progress);
    if args.json {
        print_line(verified_json(&outcome))?;
    } else {
        let mut output = Output::new();
        finding_lines(&outcome).try_for_each(|line| output.line(line))?;
        output.finish()?;
        let advice = if can_be_mended(&outcome) && !args.repair {
            "; `datacache verify --repair` mends what can be mended"
        } else {
            ""
        };
        context.remark(&format!(
            "entries: {}, blobs: {}, {} read; findings: {}{advice}",
            outcome.entries,
            outcome.blobs,
            human::size(outcome.bytes),
            outcome.findings.len()
        ));
    }
    Ok(Answer::of(outcome.findings.is_empty()))
}
