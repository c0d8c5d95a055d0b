//! From the command line to the exit status.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};
use crate::commands::config::{self, ConfigCommand};
use crate::commands::{add, bench, completions, control, daemon, delete, get, hash, ls, service, stat, stats, verify};
use crate::context::Context;
use crate::failure::{Answer, Failure, Status};
use crate::output::say;
use crate::render::line::one_line;

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error).into(),
    };
    let answered = match cli.command {
        Command::ExamineIndex(args) => daemon::examine(&args),
        other => command(other, &Context { global: cli.global }).map(|answer| answer.status().into()),
    };
    answered.unwrap_or_else(|failure| {
        failure.report();
        failure.status().into()
    })
}

fn command(command: Command, context: &Context) -> Result<Answer, Failure> {
    // The daemon's log is its own; everybody else's is set up here.
    if !matches!(command, Command::Daemon(_)) {
        context.begin_log();
    }
    match command {
        Command::Add(args) => add::add(args, context),
        Command::Get(args) => get::get(&args, context),
        Command::GetFile(args) => get::get_file(args, context),
        Command::Contains(args) => stat::contains(&args, context),
        Command::Delete(args) => delete::delete(&args, context),
        Command::Evict(args) => delete::evict(args, context),
        Command::Expire => delete::expire(context),
        Command::Clear => delete::clear(context),
        Command::Len => ls::len(context),
        Command::Ls(args) => ls::ls(args, context),
        Command::Stat(args) => stat::stat(&args, context),
        Command::Touch(args) => stat::touch(&args, context),
        Command::Hash(args) => hash::hash(&args, context),
        Command::Stats(args) => stats::stats(&args, context),
        Command::Daemon(args) => daemon::daemon(&args, context),
        Command::Status(args) => control::status(&args, context),
        Command::Stop => control::stop(context),
        Command::Verify(args) => verify::verify(&args, context),
        Command::Config(ConfigCommand::Show) => config::show(context),
        Command::Service(command) => service::service(&command, context),
        Command::Bench(args) => bench::bench(&args, context),
        Command::Completions(args) => completions::completions(&args),
        Command::ExamineIndex(_) => unreachable!("it has no answer, but an exit status of its own"),
    }
}

/// Prints the help that was asked for, or what is wrong with the arguments.
fn not_parsed(error: &clap::Error) -> Status {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed output, as of `datacache --help | head -1`, is no failure.
            error.print().unwrap_or_default();
            if error.use_stderr() { Status::Usage } else { Status::Done }
        }
        _ => {
            say(usage_line(&error.render().to_string(), &help_for(std::env::args_os())));
            Status::Usage
        }
    }
}

/// Returns the command that helps with a mistake in these arguments: the help of the subcommand where one is named.
fn help_for(arguments: impl IntoIterator<Item = OsString>) -> String {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(arguments).ok();
    match matches.as_ref().and_then(clap::ArgMatches::subcommand_name) {
        Some(name) => format!("datacache {name} --help"),
        None => "datacache --help".to_owned(),
    }
}

/// Returns clap's page about a mistake as one line: what it says before it turns to usage, and where to read more.
fn usage_line(page: &str, help: &str) -> String {
    let said = page.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let said: Vec<_> = said.filter(|line| !line.is_empty() && !line.starts_with("For more information")).collect();
    let said = said.join(" ").replace(" tip: ", "; ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    one_line(&format!("{said}; see `{help}`")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(line: &str) -> String {
        let arguments = || ["datacache"].into_iter().chain(line.split(' '));
        let error = Cli::try_parse_from(arguments()).unwrap_err();
        usage_line(&error.render().to_string(), &help_for(arguments().map(OsString::from)))
    }

    #[test]
    fn a_mistake_is_told_in_one_line_with_its_reason() {
        let line = mistake("add --expire soon");
        assert!(
            line.starts_with("invalid value 'soon' for '--expire <D>': `soon` is not a duration; write "),
            "{line}"
        );
        assert!(line.ends_with("; see `datacache add --help`"), "{line}");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            mistake("stat --json"),
            "the following required arguments were not provided: <KEY>; see `datacache stat --help`"
        );
    }

    #[test]
    fn a_similar_command_is_proposed() {
        let line = mistake("statt k");
        assert!(line.contains("unrecognized subcommand 'statt'") && line.contains("'stat'"), "{line}");
        assert!(line.ends_with("; see `datacache --help`"), "{line}");
    }

    #[test]
    fn control_characters_of_an_argument_do_not_reach_the_terminal() {
        assert!(!mistake("--\u{1b}[31mred").contains('\u{1b}'));
    }
}
