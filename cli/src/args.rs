//! What can be typed: the global flags and one variant for each command.
//! The arguments of a command stand in its own file below `commands`.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};
use datacache_proto::BUILD;

use crate::commands::add::AddArgs;
use crate::commands::bench::BenchArgs;
use crate::commands::completions::CompletionsArgs;
use crate::commands::config::ConfigCommand;
use crate::commands::control::StatusArgs;
use crate::commands::daemon::{DaemonArgs, ExamineArgs};
use crate::commands::delete::{DeleteArgs, EvictArgs};
use crate::commands::get::{GetArgs, GetFileArgs};
use crate::commands::hash::HashArgs;
use crate::commands::ls::LsArgs;
use crate::commands::service::ServiceCommand;
use crate::commands::stat::{ContainsArgs, StatArgs, TouchArgs};
use crate::commands::stats::StatsArgs;
use crate::commands::top::TopArgs;
use crate::commands::verify::VerifyArgs;
use crate::values;

const NOTES: &str = "\
Durations: 90, 0.5s, 15m, 1h30m, 14d, never (0 is never).

Exit status:
  0  done
  1  the answer is no: a missing key, nothing deleted, findings, no store there,
     no daemon to stop
  2  wrong usage or input: an unknown option, a bad key, tag or duration,
     a file that can't be read
  3  no daemon could be reached or started
  4  refused or failed: too large, no space, not permitted, another version";

/// A cache that all processes of a user share.
#[derive(Debug, Parser)]
#[command(name = "datacache", version = BUILD, after_help = NOTES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The flags that every command has.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Use this namespace of the store [default: default]
    #[arg(long, global = true, value_name = "N", value_parser = values::namespace)]
    pub(crate) namespace: Option<String>,
    /// Use the store in this folder; it has a daemon of its own
    #[arg(long, global = true, value_name = "D")]
    pub(crate) dir: Option<PathBuf>,
    /// Talk to the daemon at this socket
    #[arg(long, global = true, value_name = "S")]
    pub(crate) socket: Option<PathBuf>,
    /// Don't start a daemon where none runs
    #[arg(long, global = true)]
    pub(crate) no_start: bool,
    /// Tell on stderr what happens; more with -vv and -vvv
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// No progress bars and no remarks on stderr, only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add the content of a file or of stdin, and print its key
    Add(AddArgs),
    /// Write a value to stdout or into a file
    Get(GetArgs),
    /// Write a value into a file that stays, and print its path
    GetFile(GetFileArgs),
    /// Exit with 0 if all keys are there, with 1 if not
    Contains(ContainsArgs),
    /// Delete entries, and print how many went; exit with 1 if none
    #[command(visible_alias = "rm")]
    Delete(DeleteArgs),
    /// Delete the entries that have one of the tags, and print how many went; exit with 1 if none
    Evict(EvictArgs),
    /// Remove the entries whose time is over, and print how many went
    Expire,
    /// Delete all entries of the namespace, and print how many went
    Clear,
    /// Print the number of live entries in the namespace
    Len,
    /// List the entries of the namespace
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Print what is kept about an entry
    Stat(StatArgs),
    /// Give an entry a new expiry, counted from now
    Touch(TouchArgs),
    /// Print the default key of some content without storing it
    Hash(HashArgs),
    /// Print counters and sizes
    Stats(StatsArgs),
    /// Watch traffic, namespaces, tags and latencies as they change
    Top(TopArgs),
    /// Run the daemon in the foreground
    Daemon(DaemonArgs),
    /// Tell whether a daemon runs, since when, which build and which store; exit with 3 if none does
    Status(StatusArgs),
    /// Stop the daemon and wait for its end; exit with 1 if none runs
    Stop,
    /// Check the whole store, and print what is wrong; exit with 1 if anything is
    Verify(VerifyArgs),
    /// Look at the configuration, and change it
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Manage the systemd user units that start the daemon on demand
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Measure what the operations take, beside what the machine can do
    Bench(BenchArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Look through an index that may be damaged; for the daemon, which would not survive that
    #[command(hide = true, name = datacache_daemon::EXAMINE)]
    ExamineIndex(ExamineArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use unicode_width::UnicodeWidthStr as _;

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        Cli::command().debug_assert();
    }

    /// What is longer is wrapped by clap, which takes a line for a paragraph: a paragraph of several lines would be torn.
    #[test]
    fn what_follows_the_options_is_a_line_of_80_columns_or_a_paragraph_in_one() {
        let root = Cli::command();
        for command in root.get_subcommands().chain([&root]) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let text = format!("\n{text}\n\n");
            let lines: Vec<_> = text.lines().collect();
            for [above, line, below] in lines.array_windows() {
                assert!(line.width() <= 80 || above.is_empty() && below.is_empty(), "{}: {line}", command.get_name());
            }
        }
    }

    #[test]
    fn global_flags_are_taken_after_the_command_too() {
        let cli = Cli::try_parse_from(["datacache", "len", "--namespace", "x", "--dir", "/d", "--no-start"]).unwrap();
        assert_eq!(cli.global.namespace.as_deref(), Some("x"));
        assert_eq!(cli.global.dir, Some("/d".into()));
        assert!(cli.global.no_start && !cli.global.quiet);
    }

    #[test]
    fn every_command_of_the_contract_is_known() {
        for line in [
            "add f --key k --expire 15m --tag a --tag b --text --durable --pin",
            "add - --json",
            "get k -o f",
            "get-file k --filename f --directory d --prefix p --suffix s",
            "contains a b",
            "delete a b",
            "evict a b",
            "expire",
            "clear",
            "len",
            "ls --prefix p --tag t --json",
            "ls -l --tag t",
            "ls --long",
            "stat k --json",
            "touch k --expire never",
            "hash f --type md5 --text",
            "stats --json",
            "stats --prometheus",
            "top --interval 0.5s",
            "daemon --idle-exit 10m",
            "status --json",
            "stop",
            "verify --repair --json",
            "config show",
            "config set limit 2GiB",
            "config set limit_entries 5 --namespace x",
            "config unset limit",
            "service install",
            "service uninstall",
            "service status",
            "bench --json --entries 10 --value-size 0 --ops 5 --processes 2",
            "completions bash",
        ] {
            let parsed = Cli::try_parse_from(["datacache"].into_iter().chain(line.split(' ')));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        for line in [
            "add a b",
            "add --text --json",
            "add --expire soon",
            "add --expire -1",
            "add --tag=",
            "get",
            "delete",
            "touch k",
            "hash --type crc32",
            "ls --json --long",
            "stats --json --prometheus",
            "len --namespace=",
            "len -q -v",
            "top --interval 0",
            "config set limit",
            "config unset limit 5",
            "bench --entries 0",
            "bench --ops 0",
            "bench --processes 65",
            "bench --value-size 1M",
            "nonsense",
        ] {
            let parsed = Cli::try_parse_from(["datacache"].into_iter().chain(line.split(' ')));
            assert_eq!(parsed.map(|_| line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
