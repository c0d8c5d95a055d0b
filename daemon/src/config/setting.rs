//! What a setting is called, what it is without being set, and where a value came from.

use std::fmt;
use std::path::PathBuf;

/// One setting, by the name that it has in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Its name in the file; in capitals behind `DATACACHE_` in the environment.
    pub(super) name: &'static str,
    /// What holds where nobody sets it, as it would be typed.
    pub(super) default: &'static str,
    /// Whether a change takes a restart: the store is opened with it.
    pub(super) needs_restart: bool,
}

const fn setting(name: &'static str, default: &'static str) -> Setting {
    Setting { name, default, needs_restart: false }
}

/// All settings, in the order in which they are shown.
pub(super) const SETTINGS: [Setting; 14] = [
    Setting { needs_restart: true, ..setting("inline_max", "32 KiB") },
    setting("value_max", "none"),
    setting("limit", "auto"),
    setting("limit_entries", "none"),
    setting("policy", "s3-fifo"),
    setting("held_max", "50%"),
    setting("reserve", "auto"),
    Setting { needs_restart: true, ..setting("sync_interval", "1s") },
    setting("max_connections", "1024"),
    setting("calls_per_connection", "64"),
    setting("lease_grace", "10s"),
    setting("busy_poll", "50us"),
    setting("idle_exit", "never"),
    setting("log", "info"),
];

/// The table of the file that has a table for each namespace with settings of its own.
pub(super) const NAMESPACES: &str = "namespaces";
/// The settings that a namespace can have of its own; what they mean without being set is that it has none.
pub(super) const OF_NAMESPACE: [&str; 3] = ["limit", "limit_entries", "policy"];

/// What is shown with the settings and is none, with what chooses it: the daemon has to know it before it reads the file.
pub(super) const PLACES: [(&str, &str); 3] = [
    ("store", "`--dir`, DATACACHE_DIR or XDG_CACHE_HOME"),
    ("socket", "`--socket`, DATACACHE_SOCKET or XDG_RUNTIME_DIR"),
    ("config", "DATACACHE_CONFIG or XDG_CONFIG_HOME"),
];

/// Returns what a setting of a namespace is called in full, as it can be written in the file. Names of namespaces have no control
/// characters.
pub(super) fn name_in(namespace: &str, name: &str) -> String {
    let is_bare = namespace.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    match is_bare && !namespace.is_empty() {
        true => format!("{NAMESPACES}.{namespace}.{name}"),
        false => format!("{NAMESPACES}.\"{}\".{name}", namespace.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

impl Setting {
    /// Returns the environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("DATACACHE_{}", self.name.to_ascii_uppercase())
    }
}

/// Where a setting's value came from; of several, the first of flag, environment and file wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// The command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// A setting's value as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) text: String,
    pub(super) source: Source,
}

/// What is wrong with a setting's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` ({source_of_value}): {reason}")]
pub struct Fault {
    /// The setting.
    pub name: String,
    /// Where the value came from.
    pub source_of_value: Source,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}
