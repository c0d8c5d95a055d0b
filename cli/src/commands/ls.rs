//! `ls` and `len`: what is in a namespace.

use std::io::{self, IsTerminal as _};

use datacache_proto::key::Tag;
use datacache_proto::time::Timestamp;
use datacache_proto::types::Metadata;

use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::output::{Output, print_line};
use crate::render::entry::{key_line, listed_json};
use crate::render::listing::Listing;
use crate::values;

/// The arguments of `ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A key is printed as it is: text as text, integers in decimal, bytes as 0x and hexadecimal digits. \
In text with control characters, these and backslashes are escaped: \\n, \\t, \\u{1b}, \\\\. \
With --json keys are exact: text is a string, an integer a number, bytes are {\"hex\": \"00ff\"}.

Without --long it prints the same to a terminal as to a pipe. With it, a terminal is shown the names of \
the columns, and long tags cut, with a … for the rest; keys are never cut, and nothing is on a pipe.")]
pub(crate) struct LsArgs {
    /// Only text keys that begin with this
    #[arg(long, value_name = "P")]
    prefix: Option<String>,
    /// Only entries with this tag
    #[arg(long, value_name = "T", value_parser = values::tag)]
    tag: Option<Tag>,
    /// Print size, age, the time until it expires (or never), pin where it is pinned, and tags before each key
    #[arg(short, long)]
    long: bool,
    /// Print a JSON object a line, with key, size, tags, created, expires (null for never), codec and pinned
    #[arg(long, conflicts_with = "long")]
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
    let mut form = Form::of(args.long, args.json);
    let mut output = Output::new();
    while let Some(page) = list.next_page()? {
        form.print(&mut output, &page)?;
        // What is known is shown while the next page is fetched.
        output.flush()?;
    }
    Ok(Answer::Yes)
}

/// How entries are shown.
enum Form {
    Keys,
    Json,
    Long { listing: Listing, wants_head: bool },
}

impl Form {
    fn of(long: bool, json: bool) -> Self {
        if !long {
            return if json { Self::Json } else { Self::Keys };
        }
        let on_terminal = io::stdout().is_terminal();
        Self::Long { listing: Listing::begin(on_terminal), wants_head: on_terminal }
    }

    fn print(&mut self, output: &mut Output, page: &[Metadata]) -> Result<(), Failure> {
        match self {
            Self::Keys => page.iter().try_for_each(|entry| output.line(key_line(&entry.key))),
            Self::Json => page.iter().try_for_each(|entry| output.line(listed_json(entry))),
            Self::Long { listing, wants_head } => {
                if std::mem::take(wants_head) {
                    output.line(listing.head(page))?;
                }
                listing.lines(page, Timestamp::now()).try_for_each(|line| output.line(line))
            }
        }
    }
}

pub(crate) fn len(context: &Context) -> Result<Answer, Failure> {
    print_line(context.open_existing()?.len()?)?;
    Ok(Answer::Yes)
}
