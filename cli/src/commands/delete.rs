//! `delete`, `evict`, `expire` and `clear`: entries go, and their number is printed.

use datacache_proto::key::Tag;
use datacache_proto::types::BATCH_MAX;

use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::output::print_line;
use crate::progress::Extent;
use crate::values::{self, KeyArgs};

/// The arguments of `delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// The keys of the entries
    #[arg(value_name = "KEY", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    keys: KeyArgs,
}

/// The arguments of `evict`.
#[derive(Debug, clap::Args)]
pub(crate) struct EvictArgs {
    /// The tags
    #[arg(value_name = "TAG", required = true, value_parser = values::tag)]
    tags: Vec<Tag>,
}

pub(crate) fn delete(args: &DeleteArgs, context: &Context) -> Result<Answer, Failure> {
    let keys = args.keys.read_all(&args.names)?;
    let cache = context.open_existing()?;
    let mut gone = 0;
    // More than a shell passes on by itself, but not more than it can be told to: several steps then.
    for keys in keys.chunks(BATCH_MAX) {
        gone += cache.delete_many(keys.iter().cloned())?;
    }
    print_line(gone)?;
    Ok(Answer::of(gone > 0))
}

pub(crate) fn evict(args: EvictArgs, context: &Context) -> Result<Answer, Failure> {
    let cache = context.open_existing()?;
    let progress = context.progress("evicting", Extent::Time);
    let gone = cache.evict_many(args.tags)?;
    drop(progress);
    print_line(gone)?;
    Ok(Answer::of(gone > 0))
}

// These two were not asked for anything in particular, so that nothing went is no "no".

pub(crate) fn expire(context: &Context) -> Result<Answer, Failure> {
    let cache = context.open_existing()?;
    let progress = context.progress("expiring", Extent::Time);
    let gone = cache.expire()?;
    drop(progress);
    print_line(gone)?;
    Ok(Answer::Yes)
}

pub(crate) fn clear(context: &Context) -> Result<Answer, Failure> {
    let cache = context.open_existing()?;
    let progress = context.progress("clearing", Extent::Time);
    let gone = cache.clear()?;
    drop(progress);
    print_line(gone)?;
    Ok(Answer::Yes)
}
