//! `add`: content goes in, its key comes out.

use std::path::{Path, PathBuf};

use datacache_client::{Error, Expire};
use datacache_proto::key::{Tag, check_tags};
use datacache_proto::time::Lifetime;
use datacache_proto::types::Codec;

use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::input::Input;
use crate::output::print_line;
use crate::render::entry::key_line;
use crate::values::{self, CodecArgs, KeyArgs};

/// The arguments of `add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// The file to read; `-`, or nothing where stdin is not a terminal, reads stdin
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The entry's key [default: the hash of the content, as `datacache hash` prints it]
    #[arg(long, value_name = "K")]
    key: Option<String>,
    #[command(flatten)]
    keys: KeyArgs,
    /// How long the entry lives [default: 14d]
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    expire: Option<Lifetime>,
    /// A tag of the entry; can be given several times
    #[arg(long = "tag", value_name = "T", value_parser = values::tag)]
    tags: Vec<Tag>,
    #[command(flatten)]
    codec: CodecArgs,
    /// Keep the entry when others are evicted because there is no room for all; its time still ends
    #[arg(long)]
    pin: bool,
    /// Return only when the entry would survive a loss of power
    #[arg(long)]
    durable: bool,
}

pub(crate) fn add(args: AddArgs, context: &Context) -> Result<Answer, Failure> {
    let key = args.key.as_deref().map(|key| args.keys.read(key)).transpose()?;
    let tags = check_tags(args.tags)?;
    let input = Input::open(args.file.as_deref())?;
    let name = input.name().to_owned();
    let cache = context.open()?;

    let progress = context.progress("adding", input.extent());
    let mut add = match input.regular_path() {
        Some(path) => cache.add_file(path),
        None => cache.add_reader(input.into_reader()),
    };
    add = add
        .tags(tags)
        .expire(args.expire.map_or(Expire::Default, Expire::from))
        .pin(args.pin)
        .progress(progress.counter());
    add = match args.codec.codec() {
        Codec::Bytes => add,
        Codec::Text => add.text(),
        Codec::Json => add.json(),
    };
    if let Some(key) = key {
        add = add.key(key);
    }
    if args.durable {
        add = add.durable();
    }
    let key = add.run().map_err(|error| about_input(error, &name))?;
    drop(progress);
    print_line(key_line(&key))?;
    Ok(Answer::Yes)
}

/// What is wrong with the content is said with the content's name.
fn about_input(error: Error, name: &Path) -> Failure {
    let name = name.to_owned();
    match error {
        Error::NotText { valid_up_to } => Failure::NotText { name, valid_up_to },
        Error::Json(source) => Failure::Json { name, source },
        Error::Source { source } => Failure::Input { name, source },
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Status, chain};

    #[test]
    fn what_is_wrong_with_the_content_names_the_file_and_the_place() {
        let failure = about_input(Error::NotText { valid_up_to: 7 }, Path::new("notes"));
        assert_eq!(failure.status(), Status::Usage);
        assert_eq!(
            chain(&failure),
            "`notes` is not UTF-8 from byte 7 on; without --text and --json it is taken as bytes"
        );
    }
}
