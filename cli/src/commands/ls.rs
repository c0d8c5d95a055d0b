//! `ls` and `len`: what is in a namespace.

use datacache_proto::key::Tag;
use datacache_proto::types::Metadata;

use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::output::{Output, print_line};
use crate::render::entry::{key_line, listed_json};
use crate::values;

/// The arguments of `ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A key is printed as it is: text as text, integers in decimal, bytes as 0x and hexadecimal digits.
In text with control characters, these and backslashes are escaped: \\n, \\t, \\u{1b}, \\\\.
With --json keys are exact: text is a string, an integer a number, bytes are {\"hex\": \"00ff\"}.")]
pub(crate) struct LsArgs {
    /// Only text keys that begin with this
    #[arg(long, value_name = "P")]
    prefix: Option<String>,
    /// Only entries with this tag
    #[arg(long, value_name = "T", value_parser = values::tag)]
    tag: Option<Tag>,
    /// Print a JSON object a line, with key, size, tags, created, expires (null for never) and codec
    #[arg(long)]
    json: bool,
}

pub(crate) fn ls(args: LsArgs, context: &Context) -> Result<Answer, Failure> {
    context.check_any_store()?;
    let cache = context.open()?;
    let mut list = cache.list();
    if let Some(prefix) = args.prefix {
        list = list.prefix(prefix);
    }
    if let Some(tag) = args.tag {
        list = list.tag(tag);
    }
    let line = if args.json { listed_json } else { |entry: &Metadata| key_line(&entry.key) };
    let mut output = Output::new();
    for entry in list {
        output.line(line(&entry?))?;
    }
    output.finish()?;
    Ok(Answer::Yes)
}

pub(crate) fn len(context: &Context) -> Result<Answer, Failure> {
    print_line(context.open_existing()?.len()?)?;
    Ok(Answer::Yes)
}
