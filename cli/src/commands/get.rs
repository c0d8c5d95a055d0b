//! `get` and `get-file`: values come out, to stdout or into files.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::destination::Destination;
use crate::failure::{Answer, Failure};
use crate::output::Output;
use crate::progress::{Extent, Progress};
use crate::render::line::one_line;
use crate::values::KeyArgs;

const CHUNK: usize = 256 * 1024;

/// The arguments of `get`.
#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// The entry's key
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    keys: KeyArgs,
    /// Write into this file instead of stdout; it appears when it is complete, and only if it is what was added
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The arguments of `get-file`.
#[derive(Debug, clap::Args)]
pub(crate) struct GetFileArgs {
    /// The entry's key
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    keys: KeyArgs,
    /// Write into this very file; the other options mean nothing then [default: a new file with a name of its own]
    #[arg(long, value_name = "P")]
    filename: Option<PathBuf>,
    /// The folder of the new file [default: the folder for temporary files]
    #[arg(long, value_name = "D")]
    directory: Option<PathBuf>,
    /// How the name of the new file begins [default: datacache-]
    #[arg(long, value_name = "P")]
    prefix: Option<String>,
    /// How the name of the new file ends
    #[arg(long, value_name = "S")]
    suffix: Option<String>,
}

pub(crate) fn get(args: &GetArgs, context: &Context) -> Result<Answer, Failure> {
    let key = args.keys.read(&args.key)?;
    let cache = context.open_to_read()?;
    let Some(mut value) = cache.get_reader(key.clone())? else {
        return Ok(missing(&args.key, context));
    };
    let mut destination = match &args.output {
        Some(path) if path != Path::new("-") => Destination::create(path)?,
        _ => Destination::stdout(),
    };
    // A bar between the lines of a value would only spoil both.
    let progress = context.progress_unless("reading", Extent::Total(value.len()), destination.is_terminal());
    copy(&mut value, &mut destination, &args.key, &progress).inspect_err(|failure| {
        if matches!(failure, Failure::Value { .. }) {
            // What is told is that the value is damaged; that it is a miss from now on is for the next.
            cache.suspect(key).ok();
        }
    })?;
    drop(progress);
    destination.finish()?;
    Ok(Answer::Yes)
}

/// Copies all of `value`; which side failed decides what is said.
fn copy(value: &mut impl Read, into: &mut Destination, key: &str, progress: &Progress) -> Result<(), Failure> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match value.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                into.write(&chunk[..length])?;
                progress.advance(length as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                let (key, is_handed_on) = (one_line(key).into_owned(), into.is_handed_on());
                return Err(Failure::Value { key, is_handed_on, source });
            }
        }
    }
}

pub(crate) fn get_file(args: GetFileArgs, context: &Context) -> Result<Answer, Failure> {
    let key = args.keys.read(&args.key)?;
    let cache = context.open_to_read()?;
    let progress = context.progress("reading", Extent::Bytes);
    let mut get = cache.get_file(key).delete(false).progress(progress.counter());
    if let Some(filename) = args.filename {
        get = get.filename(filename);
    }
    if let Some(directory) = args.directory {
        get = get.directory(directory);
    }
    if let Some(prefix) = args.prefix {
        get = get.prefix(prefix);
    }
    if let Some(suffix) = args.suffix {
        get = get.suffix(suffix);
    }
    let file = get.run()?;
    drop(progress);
    let Some(file) = file else {
        return Ok(missing(&args.key, context));
    };
    let mut output = Output::new();
    output.path(&file.keep())?;
    output.finish()?;
    Ok(Answer::Yes)
}

/// Says that an entry is not there.
pub(crate) fn missing(key: &str, context: &Context) -> Answer {
    context.remark(&format!(
        "no entry has the key `{}` in the namespace `{}`; `datacache ls` lists the keys",
        one_line(key),
        context.namespace()
    ));
    Answer::No
}
