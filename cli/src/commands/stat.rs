//! `stat`, `touch` and `contains`: one entry without its value.

use datacache_client::Expire;
use datacache_proto::time::{Lifetime, Timestamp};

use super::get::missing;
use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::output::{print, print_line};
use crate::render::entry::{described, described_json};
use crate::values::KeyArgs;

/// The arguments of `stat`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatArgs {
    /// The entry's key
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    keys: KeyArgs,
    /// Print a JSON object: what `ls --json` has, and version, bound and sha256
    #[arg(long)]
    json: bool,
}

/// The arguments of `touch`.
#[derive(Debug, clap::Args)]
pub(crate) struct TouchArgs {
    /// The entry's key
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    keys: KeyArgs,
    /// How long the entry lives from now on
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    expire: Lifetime,
}

/// The arguments of `contains`.
#[derive(Debug, clap::Args)]
pub(crate) struct ContainsArgs {
    /// The keys of the entries
    #[arg(value_name = "KEY", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(crate) fn stat(args: &StatArgs, context: &Context) -> Result<Answer, Failure> {
    let key = args.keys.read(&args.key)?;
    let Some(entry) = context.open_to_read()?.stat(key)? else {
        return Ok(missing(&args.key, context));
    };
    if args.json {
        print_line(described_json(&entry))?;
    } else {
        print(&described(&entry, Timestamp::now()))?;
    }
    Ok(Answer::Yes)
}

pub(crate) fn touch(args: &TouchArgs, context: &Context) -> Result<Answer, Failure> {
    let key = args.keys.read(&args.key)?;
    if context.open_existing()?.touch(key, Expire::from(args.expire))? {
        return Ok(Answer::Yes);
    }
    Ok(missing(&args.key, context))
}

pub(crate) fn contains(args: &ContainsArgs, context: &Context) -> Result<Answer, Failure> {
    let keys = args.keys.read_all(&args.names)?;
    let cache = context.open_to_read()?;
    for key in keys {
        if !cache.contains(key)? {
            return Ok(Answer::No);
        }
    }
    Ok(Answer::Yes)
}
