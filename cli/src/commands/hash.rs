//! `hash`: the default key of content, without a daemon.

use std::path::PathBuf;

use datacache_proto::hash::{HashType, Hasher, hash_text};
use datacache_proto::json::canonicalize;
use datacache_proto::types::Codec;

use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::input::Input;
use crate::output::print_line;
use crate::values::CodecArgs;

/// The arguments of `hash`.
#[derive(Debug, clap::Args)]
pub(crate) struct HashArgs {
    /// The file to read; `-`, or nothing where stdin is not a terminal, reads stdin
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The hash function: md5, sha1, sha224, sha256, sha384, sha512, sha3_224, sha3_256, sha3_384, sha3_512, blake2b or
    /// blake2s
    #[arg(long = "type", value_name = "T", default_value_t)]
    hash_type: HashType,
    #[command(flatten)]
    codec: CodecArgs,
}

pub(crate) fn hash(args: &HashArgs, context: &Context) -> Result<Answer, Failure> {
    let mut input = Input::open(args.file.as_deref())?;
    let progress = context.progress("hashing", input.extent());
    let mut hasher = Hasher::new(args.hash_type);
    let hash = match args.codec.codec() {
        Codec::Bytes => {
            input.for_each_chunk(&progress, |chunk| {
                hasher.update(chunk);
                Ok(())
            })?;
            hasher.finish()
        }
        Codec::Text => {
            input.for_each_text_chunk(&progress, |chunk| hasher.update(chunk))?;
            hasher.finish()
        }
        Codec::Json => {
            let source = input.read_text(&progress)?;
            let text = canonicalize(&source).map_err(|source| Failure::Json { name: input.name().into(), source })?;
            hash_text(&text, args.hash_type)
        }
    };
    drop(progress);
    print_line(hash)?;
    Ok(Answer::Yes)
}
