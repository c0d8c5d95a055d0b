//! `config show`: every setting of the daemon, and where its value came from.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use datacache_daemon::config::{Config, Flags};
use datacache_proto::paths::{CONFIG_VARIABLE, DIR_VARIABLE, SOCKET_VARIABLE};

use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::output::print;
use crate::render::line::one_line;
use crate::render::table::aligned;

/// Where the folders of caches and of sockets are.
const CACHE: &str = "XDG_CACHE_HOME";
const RUNTIME: &str = "XDG_RUNTIME_DIR";

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting, its value and where it came from: the command line, the environment, the file or the default
    Show,
}

pub(crate) fn show(context: &Context) -> Result<Answer, Failure> {
    let flags = Flags { overrides: context.overrides(), ..Flags::default() };
    let config = Config::load(&flags)?;
    let places = [
        place("store", &config.paths.store, flags.overrides.dir.is_some(), &[DIR_VARIABLE, CACHE]),
        place("socket", &config.paths.socket, flags.overrides.socket.is_some(), &[SOCKET_VARIABLE, RUNTIME, CACHE]),
        place("config", &config.paths.config, false, &[CONFIG_VARIABLE, "XDG_CONFIG_HOME"]),
    ];
    let settings = config.sources().into_iter();
    let settings =
        settings.map(|(name, value, source)| [name, one_line(&value).into_owned(), source.to_string()]);
    let rows: Vec<_> = places.into_iter().chain(settings).collect();
    config.unknown().iter().for_each(|unknown| context.remark(&unknown.to_string()));
    print(&aligned(&rows))?;
    Ok(Answer::Yes)
}

/// The row of a path, which may come of the first of these variables that is set and leads to it: one that is empty counts as unset,
/// and so does one of `XDG_*` that is no absolute path.
fn place(name: &str, path: &Path, is_flag: bool, variables: &[&str]) -> [String; 3] {
    let leads_here = |variable: &&&str| {
        let value = std::env::var_os(variable).map(PathBuf::from).filter(|value| value.is_absolute());
        value.is_some_and(|value| !variable.starts_with("XDG_") || path.starts_with(value))
    };
    let source = match variables.iter().find(leads_here) {
        _ if is_flag => "command line".into(),
        Some(variable) => format!("environment {variable}"),
        None => "default".into(),
    };
    [name.to_owned(), one_line(&path.to_string_lossy()).into_owned(), source]
}
