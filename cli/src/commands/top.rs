//! `top`: a live view of the daemon and its store.

use std::time::Duration;

use datacache_proto::time::Lifetime;

use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::top;

/// The arguments of `top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It needs a terminal of 80 columns and 24 lines at least. NO_COLOR=1 has it use no colours. The key ? shows the others. \
Where the daemon goes, it waits for the next one, and starts none. For programs there is `datacache stats`.")]
pub(crate) struct TopArgs {
    /// How often the daemon is asked: between 0.1s and 1h
    #[arg(long, value_name = "D", default_value = "2s", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(3_600));
    match text.parse::<Lifetime>().map_err(|error| error.to_string())? {
        Lifetime::For(span) if (least..=most).contains(&span) => Ok(span),
        _ => Err("an interval is between 0.1s and 1h".to_owned()),
    }
}

pub(crate) fn top(args: &TopArgs, context: &Context) -> Result<Answer, Failure> {
    top::run(context, args.interval)?;
    Ok(Answer::Yes)
}
