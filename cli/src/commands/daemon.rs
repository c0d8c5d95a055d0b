//! `daemon`: becomes the daemon, in the foreground or as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use datacache_daemon::config::Flags;
use datacache_daemon::store::Occasion;
use datacache_proto::paths::Overrides;
use datacache_proto::time::Lifetime;

use crate::args::Global;
use crate::context::Context;
use crate::detach::detach;
use crate::failure::{Answer, Failure};

/// The arguments of `daemon`.
#[derive(Debug, clap::Args)]
pub(crate) struct DaemonArgs {
    /// End after this long without a client [default: never]
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    idle_exit: Option<Lifetime>,
    /// Leave the caller's session, folder and descriptors behind; for clients that start a daemon
    #[arg(long, hide = true)]
    detached: bool,
}

/// The arguments of the command that the daemon runs itself.
#[derive(Debug, clap::Args)]
pub(crate) struct ExamineArgs {
    /// When it is looked through, and so by how much: alone, in-use or repair
    occasion: Occasion,
    /// The folder of a generation
    generation: PathBuf,
}

/// Looks an index through; the exit status is between the daemon and this process.
pub(crate) fn examine(args: &ExamineArgs) -> Result<ExitCode, Failure> {
    let examined = datacache_daemon::store::examine(&args.generation, args.occasion);
    examined.map_err(|source| Failure::System { what: "look the index through", source })
}

pub(crate) fn daemon(args: &DaemonArgs, context: &Context) -> Result<Answer, Failure> {
    let Overrides { dir, socket } = context.overrides();
    // Relative paths start from the caller's folder, which a detached daemon leaves.
    let overrides = Overrides { dir: absolute(dir)?, socket: absolute(socket)? };
    if args.detached {
        detach()?;
    }
    let log = log(&context.global).map(str::to_owned);
    datacache_daemon::start(&Flags { overrides, idle_exit: args.idle_exit, log })?;
    Ok(Answer::Yes)
}

fn absolute(path: Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    let absolute = path.map(std::path::absolute).transpose();
    absolute.map_err(|source| Failure::System { what: "find the working folder", source })
}

/// Returns what `-v` and `-q` ask the log to tell; by default the configuration decides.
fn log(global: &Global) -> Option<&'static str> {
    match global.verbose {
        _ if global.quiet => Some("error"),
        0 => None,
        1 => Some("debug"),
        _ => Some("trace"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_decides_about_the_log_unless_the_command_line_does() {
        let global = |verbose, quiet| Global { verbose, quiet, ..Global::default() };
        let told = [global(0, false), global(1, false), global(2, false), global(0, true)].map(|global| log(&global));
        assert_eq!(told, [None, Some("debug"), Some("trace"), Some("error")]);
    }
}
