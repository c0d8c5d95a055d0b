//! From the command line to the exit status.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, CommandFactory as _, Parser as _, value_parser};

use crate::args::{Cli, Command};
use crate::commands::config::{self, ConfigCommand};
use crate::commands::{
    add, bench, completions, control, daemon, delete, get, hash, ls, service, stat, stats, top, verify,
};
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
        Command::Top(args) => top::top(&args, context),
        Command::Daemon(args) => daemon::daemon(&args, context),
        Command::Status(args) => control::status(&args, context),
        Command::Stop => control::stop(context),
        Command::Verify(args) => verify::verify(&args, context),
        Command::Config(ConfigCommand::Show) => config::show(context),
        Command::Config(ConfigCommand::Set(args)) => config::set(&args, context),
        Command::Config(ConfigCommand::Unset(args)) => config::unset(&args, context),
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
            let arguments: Vec<_> = std::env::args_os().collect();
            say(mistake(error, &arguments));
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

/// Returns what is wrong with these arguments, in one line.
fn mistake(error: &clap::Error, arguments: &[OsString]) -> String {
    let help = help_for(arguments.iter().cloned());
    let page = match error.kind() {
        // Which does not say in which.
        ErrorKind::InvalidUtf8 => not_text(arguments),
        _ => error.render().to_string(),
    };
    usage_line(&with_tip(error, &page, arguments), &help)
}

fn not_text(arguments: &[OsString]) -> String {
    let wrong: Vec<_> = arguments.iter().filter(|argument| argument.to_str().is_none()).collect();
    let tip = match has_key_of_bytes(arguments) {
        true => "; a key of bytes is given as hexadecimal digits with --key-type hex",
        false => "",
    };
    let wrong: Vec<_> = wrong.iter().map(|argument| format!("`{}`", argument.display())).collect();
    format!("{} is not UTF-8{tip}", wrong.join(", "))
}

/// Tells whether what is not text was given where a key is expected.
fn has_key_of_bytes(arguments: &[OsString]) -> bool {
    // Every value is taken, to see where it would go.
    let taking = |argument: Arg| match argument.get_action().takes_values() {
        true => argument.value_parser(value_parser!(OsString)),
        false => argument,
    };
    let command = Cli::command().mut_subcommands(move |command| command.mut_args(taking)).mut_args(taking);
    let Ok(matches) = command.clone().ignore_errors(true).try_get_matches_from(arguments) else { return false };
    let Some((name, matches)) = matches.subcommand() else { return false };
    let known = command.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
    // `add` has it as an option.
    let mut keys =
        known.filter(|known| known.get_id() == "key" || known.get_value_names().is_some_and(|it| it == ["KEY"]));
    keys.any(|key| {
        let mut given = matches.get_raw(key.get_id().as_str()).into_iter().flatten();
        given.any(|value| value.to_str().is_none())
    })
}

/// Has clap's tip give what begins with a hyphen to the option before it, where there is one that takes a value.
fn with_tip(error: &clap::Error, page: &str, arguments: &[OsString]) -> String {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else { return page.to_owned() };
    let texts = arguments.iter().map(|argument| argument.to_str().unwrap_or_default());
    let mut pairs = texts.clone().zip(texts.skip(1));
    match pairs.find(|(option, value)| value.starts_with(&**unknown) && takes_value(option)) {
        // Of several letters, clap names the first.
        Some((option, value)) => page.replace(
            &format!("to pass '{unknown}' as a value, use '-- {unknown}'"),
            &format!("to pass '{value}' as a value, use '{option}={value}'"),
        ),
        None => page.to_owned(),
    }
}

fn takes_value(option: &str) -> bool {
    let command = Cli::command();
    let commands = std::iter::once(&command).chain(command.get_subcommands());
    let mut known = commands.flat_map(clap::Command::get_arguments).filter(|known| known.get_action().takes_values());
    known.any(|known| known.get_long().is_some_and(|long| option.strip_prefix("--") == Some(long)))
}

/// Returns clap's page about a mistake as one line: what it says before it turns to usage, and where to read more.
fn usage_line(page: &str, help: &str) -> String {
    let said = page.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let said: Vec<_> = said.filter(|line| !line.is_empty() && !line.starts_with("For more information")).collect();
    let hidden = format!(", {}", datacache_daemon::EXAMINE);
    let said = said.join(" ").replace(" tip: ", "; ").replace(&hidden, "");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    one_line(&format!("{said}; see `{help}`")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(line: &str) -> String {
        mistake_in(["datacache"].into_iter().chain(line.split(' ')).map(OsString::from))
    }

    fn mistake_in(arguments: impl IntoIterator<Item = OsString>) -> String {
        let arguments: Vec<_> = arguments.into_iter().collect();
        super::mistake(&Cli::try_parse_from(&arguments).unwrap_err(), &arguments)
    }

    #[test]
    fn a_value_that_begins_with_a_hyphen_is_told_how_to_be_given() {
        let tip = |line: &str, tip: &str| {
            let told = mistake(line);
            assert!(told.contains(&format!("as a value, use '{tip}'; see `datacache ")), "{told}");
        };
        tip("add f --key -5", "--key=-5");
        tip("add f --key -secret", "--key=-secret");
        tip("touch k --expire -5m", "--expire=-5m");
        tip("get -5", "-- -5");
        tip("stat --json -5", "-- -5");
    }

    #[test]
    fn an_argument_that_is_not_text_is_named() {
        use std::os::unix::ffi::OsStringExt as _;
        let key = OsString::from_vec(b"k\xff".to_vec());
        let line = mistake_in(["datacache".into(), "get".into(), key]);
        assert!(line.starts_with("`k\u{fffd}` is not UTF-8; ") && line.ends_with("`datacache get --help`"), "{line}");
    }

    #[test]
    fn only_who_gives_a_key_that_is_not_text_is_told_how_keys_of_bytes_are_given() {
        use std::os::unix::ffi::OsStringExt as _;
        let told = |line: &str| {
            let bytes: Vec<_> = line.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
            let words = bytes.split(|byte| *byte == b' ').map(|word| OsString::from_vec(word.to_vec()));
            mistake_in(["datacache".into()].into_iter().chain(words))
        };
        for line in
            ["get ?", "delete a k?", "contains ?", "stat k?", "touch k? --expire 5m", "add f --key k?", "add --key=?"]
        {
            assert!(told(line).contains("--key-type hex"), "{line}: {}", told(line));
        }
        for line in [
            "len --namespace n?",
            "--namespace ? get k",
            "add f --tag ?",
            "touch k --expire ?",
            "ls --prefix=?",
            "evict t?",
        ] {
            assert!(told(line).contains("` is not UTF-8; see "), "{line}: {}", told(line));
        }
    }

    #[test]
    fn a_hidden_command_is_not_proposed() {
        let line = mistake("--namespace x");
        assert!(line.contains("completions") && !line.contains(datacache_daemon::EXAMINE), "{line}");
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
