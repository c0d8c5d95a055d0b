//! The settings of a daemon, read and checked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use datacache_proto::paths::{CONFIG_VARIABLE, Overrides, Paths, PathsError};
use datacache_proto::time::Lifetime;
use datacache_proto::types::{Overridden, Reloaded};

use super::amount::Size;
use super::file::{self, FileError, FromFile};
use super::limits::{self, NONE};
use super::setting::{Fault, SETTINGS, Setting, Source, Typed, name_in};
use super::short_span::ShortSpan;
use super::values::Values;
use super::variable::{self, Unknown};
use crate::store::Rules;

/// The most that `inline_max` can be, in bytes: such values are copied into the log and into the index.
const INLINE_MAX: u64 = 1 << 20;
/// The longest that anyone polls: beyond it sleeping costs less than looking.
const BUSY_POLL_MAX: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// What the command line says; it wins over everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// Where the store and the socket lie.
    pub overrides: Overrides,
    /// How long to stay without a client.
    pub idle_exit: Option<Lifetime>,
    /// Which events to log.
    pub log: Option<String>,
}

/// The settings of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the store, the socket and the configuration lie.
    pub paths: Paths,
    /// Values up to this many bytes are kept in the index, longer ones as files; at most 1 MiB. Takes a restart.
    pub inline_max: u64,
    /// The longest value in bytes that is taken; `None` for no limit.
    pub value_max: Option<u64>,
    /// How much time's worth of writes a loss of power may take. Takes a restart.
    pub sync_interval: Duration,
    /// The most connections at a time.
    pub max_connections: usize,
    /// The most calls of one connection at a time; further ones wait in the socket.
    pub calls_per_connection: usize,
    /// How long leases that only a connection can prove wait for it after a restart.
    pub lease_grace: Duration,
    /// How long daemon and clients look for the other's next message, with a core that has nothing else to do, before they
    /// sleep; zero for not at all, at most 1 ms. Clients learn it when they connect.
    pub busy_poll: Duration,
    /// How long to stay without connections and leases; `None` for ever.
    pub idle_exit: Option<Duration>,
    /// Which events to log, in the syntax of `tracing_subscriber::EnvFilter`, but that a word alone is a level.
    pub log: String,
    /// What the store may take, and who goes when that is not enough.
    pub rules: Rules,
    /// The values as they were typed; what [`Config::sources`] tells.
    typed: BTreeMap<&'static str, Typed>,
    /// The same of namespaces, where they have settings of their own.
    namespaces: BTreeMap<String, BTreeMap<&'static str, Typed>>,
    /// What the file sets in vain, and what wins over it.
    overridden: Vec<(&'static str, Source)>,
    /// Variables of the environment that look like ours and set nothing.
    unknown: Vec<Unknown>,
}

/// Settings that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The places can't be told.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// The file can't be taken.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value can't be taken.
    #[error(transparent)]
    Value(#[from] Fault),
}

impl Config {
    /// Reads the settings from the file, the environment and `flags`.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting, where its value came from and what would be right.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let paths = Paths::resolve(&flags.overrides)?;
        let unknown = variable::unknown(std::env::vars_os().map(|(name, _)| name));
        Ok(Self { unknown, ..Self::load_from(paths, flags, |variable| std::env::var_os(variable))? })
    }

    /// Returns the variables of the environment that look like ours and set nothing. They are no error: others may mean them.
    #[must_use]
    pub fn unknown(&self) -> &[Unknown] {
        &self.unknown
    }

    /// Returns the settings of a daemon that nobody has configured, without a look at file and environment.
    #[must_use]
    pub fn defaults(paths: Paths) -> Self {
        let default = |setting: &Setting| Typed { text: setting.default.into(), source: Source::Default };
        let typed = SETTINGS.iter().map(|setting| (setting.name, default(setting))).collect();
        Self::read(paths, typed, BTreeMap::new()).expect("the defaults are within their bounds")
    }

    fn load_from(
        paths: Paths,
        flags: &Flags,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let is_named = environment(CONFIG_VARIABLE).is_some_and(|path| !path.is_empty());
        let from_file = file::read(&paths.config, is_named)?;
        Ok(Self::merged(paths, from_file, |setting| {
            from_flags(setting, flags).or_else(|| from_environment(setting, &environment))
        })?)
    }

    /// Reads what a file says, without a look at anything else.
    ///
    /// # Errors
    /// Where a value is not within its bounds.
    pub(super) fn of_file(paths: Paths, file: FromFile) -> Result<Self, Fault> {
        Self::merged(paths, file, |_| None)
    }

    /// Reads the settings from what wins over the file, the file and the defaults.
    fn merged(paths: Paths, file: FromFile, above: impl Fn(&Setting) -> Option<Typed>) -> Result<Self, Fault> {
        let FromFile { mut settings, namespaces } = file;
        let (mut typed, mut overridden) = (BTreeMap::new(), Vec::new());
        for setting in &SETTINGS {
            let in_file = settings.remove(setting.name);
            let above = above(setting);
            overridden.extend(in_file.as_ref().and(above.as_ref()).map(|above| (setting.name, above.source.clone())));
            let default = || Typed { text: setting.default.into(), source: Source::Default };
            typed.insert(setting.name, above.or(in_file).unwrap_or_else(default));
        }
        Ok(Self { overridden, ..Self::read(paths, typed, namespaces)? })
    }

    fn read(
        paths: Paths,
        typed: BTreeMap<&'static str, Typed>,
        namespaces: BTreeMap<String, BTreeMap<&'static str, Typed>>,
    ) -> Result<Self, Fault> {
        let values = Values::new(&typed);
        Ok(Self {
            paths,
            inline_max: values.within::<Size>("inline_max", Size(0)..=Size(INLINE_MAX))?.0,
            value_max: values.size_or("value_max", &[NONE, "unlimited"])?,
            sync_interval: values.span("sync_interval", Duration::from_millis(10)..=DAY)?,
            max_connections: values.within("max_connections", 1..=65_536)?,
            calls_per_connection: values.within("calls_per_connection", 1..=4_096)?,
            lease_grace: values.span("lease_grace", Duration::from_millis(1)..=DAY)?,
            busy_poll: values.within::<ShortSpan>("busy_poll", ShortSpan(Duration::ZERO)..=ShortSpan(BUSY_POLL_MAX))?.0,
            idle_exit: values.parsed::<Lifetime>("idle_exit")?.as_duration(),
            log: values.filter("log")?,
            rules: limits::read(values, &namespaces)?,
            typed,
            namespaces,
            overridden: Vec::new(),
            unknown: Vec::new(),
        })
    }

    /// Returns what the store may take, and who goes when that is not enough.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules.clone()
    }

    /// Returns every setting: its name, its value and where that came from. Of namespaces, those that are set.
    #[must_use]
    pub fn sources(&self) -> Vec<(String, String, Source)> {
        let row = |name: String, typed: &Typed| (name, typed.text.clone(), typed.source.clone());
        let settings = SETTINGS.iter().filter_map(|setting| Some((setting, self.typed.get(setting.name)?)));
        let mut rows: Vec<_> = settings.map(|(setting, typed)| row(setting.name.to_owned(), typed)).collect();
        for (namespace, settings) in &self.namespaces {
            rows.extend(settings.iter().map(|(name, typed)| row(name_in(namespace, name), typed)));
        }
        rows
    }

    /// Returns what is told of settings that were just read: the file, and what it sets in vain.
    #[must_use]
    pub fn told(&self) -> Reloaded {
        let told = |(name, by): &(&str, Source)| Overridden { setting: (*name).to_owned(), by: by.to_string() };
        Reloaded {
            file: self.paths.config.to_string_lossy().into_owned(),
            waiting: Vec::new(),
            overridden: self.overridden.iter().map(told).collect(),
        }
    }

    /// Returns these settings as they are after a reload that read `new`, and the names of those that `new` changes
    /// but that hold until the daemon is restarted.
    #[must_use]
    pub fn reloaded(&self, mut new: Self) -> (Self, Vec<&'static str>) {
        let text_of = |config: &Self, name: &str| config.typed.get(name).map(|typed| typed.text.clone());
        let held: Vec<_> =
            SETTINGS.iter().filter(|setting| setting.needs_restart).map(|setting| setting.name).collect();
        let waiting = held.iter().copied().filter(|name| text_of(self, name) != text_of(&new, name)).collect();
        for name in held {
            if let Some(typed) = self.typed.get(name) {
                new.typed.insert(name, typed.clone());
            }
        }
        let kept = Self { paths: self.paths.clone(), inline_max: self.inline_max, ..new };
        (Self { sync_interval: self.sync_interval, ..kept }, waiting)
    }
}

fn from_flags(setting: &Setting, flags: &Flags) -> Option<Typed> {
    let text = match setting.name {
        "idle_exit" => flags.idle_exit.map(|span| span.to_string()),
        "log" => flags.log.clone(),
        _ => None,
    };
    text.map(|text| Typed { text, source: Source::Flag })
}

/// Reads a setting's variable; an empty one counts as unset.
fn from_environment(setting: &Setting, environment: impl Fn(&str) -> Option<OsString>) -> Option<Typed> {
    let variable = setting.variable();
    let text = environment(&variable).filter(|value| !value.is_empty())?;
    Some(Typed { text: text.to_string_lossy().into_owned(), source: Source::Environment { variable } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::Policy;
    use crate::store::{Reserve, Rule};
    use std::path::Path;

    fn paths_in(folder: &Path) -> Paths {
        let [store, socket, store_link, config] = ["s", "sock", "store", "config.toml"].map(|name| folder.join(name));
        Paths { store, socket, store_link, config, is_default: false }
    }

    fn read_with(name: &'static str, text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let variable = format!("DATACACHE_{}", name.to_ascii_uppercase());
        let environment = |asked: &str| (asked == variable).then(|| text.into());
        Config::load_from(paths_in(folder.path()), &Flags::default(), environment)
    }

    #[test]
    fn the_defaults_are_what_the_documentation_says() {
        let config = Config::defaults(paths_in(Path::new("/t")));
        assert_eq!((config.inline_max, config.value_max), (32_768, None));
        assert_eq!((config.max_connections, config.calls_per_connection), (1_024, 64));
        assert_eq!((config.sync_interval, config.lease_grace), (Duration::from_secs(1), Duration::from_secs(10)));
        assert_eq!(config.busy_poll, Duration::from_micros(50));
        assert_eq!((config.idle_exit, config.log.as_str()), (None, "info"));
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file_and_that_over_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths_in(folder.path());
        std::fs::write(&paths.config, "idle_exit = 60\nlog = \"warn\"\n\nvalue_max = \"1 GiB\"\n").unwrap();
        let flags = Flags { idle_exit: Some(Lifetime::Never), ..Flags::default() };
        let environment =
            |name: &str| ["DATACACHE_IDLE_EXIT", "DATACACHE_LOG"].contains(&name).then(|| OsString::from("debug"));
        let config = Config::load_from(paths.clone(), &flags, environment).unwrap();
        let row = |name| config.sources().into_iter().find(|row| row.0 == name).unwrap();
        assert_eq!(row("idle_exit"), ("idle_exit".into(), "never".into(), Source::Flag));
        let variable = "DATACACHE_LOG".to_owned();
        let overridden = config.told().overridden;
        let overridden: Vec<_> = overridden.iter().map(|it| format!("{}: {}", it.setting, it.by)).collect();
        assert_eq!(overridden, ["idle_exit: command line", "log: environment DATACACHE_LOG"]);
        assert_eq!(row("log"), ("log".into(), "debug".into(), Source::Environment { variable }));
        assert_eq!(
            row("value_max"),
            ("value_max".into(), "1 GiB".into(), Source::File { path: paths.config, line: 4 })
        );
        assert_eq!(row("inline_max"), ("inline_max".into(), "32 KiB".into(), Source::Default));
        assert_eq!((config.sources().len(), config.value_max), (SETTINGS.len(), Some(1 << 30)));
    }

    #[test]
    fn a_configuration_that_was_named_must_be_there() {
        let error = read_with("config", "/nowhere/config.toml").unwrap_err();
        assert!(matches!(error, ConfigError::File(FileError::Read { .. })), "{error}");
    }

    #[test]
    fn a_bad_value_is_refused_with_its_setting_its_source_and_the_bounds() {
        let cases = [
            ("inline_max", "2 MiB", "2 MiB is not within 0 to 1 MiB"),
            ("value_max", "big", "`32 KiB`, `1 MiB` or `2 GiB`, or `none`"),
            ("sync_interval", "never", "never is not within 0.01s to 86400s"),
            ("max_connections", "0", "0 is not within 1 to 65536"),
            ("calls_per_connection", "many", "invalid digit"),
            ("lease_grace", "-1", "is negative"),
            ("busy_poll", "2ms", "2ms is not within 0 to 1ms"),
            ("busy_poll", "50", "`50` is not a short duration"),
            ("idle_exit", "soon", "`soon` is not a duration"),
            (
                "limit",
                "much",
                "`much` is not a size; write for example `32768`, `32 KiB`, `1 MiB` or `2 GiB`, or `auto` or `none`",
            ),
            ("limit", "1000 KiB", "1000 KiB is less than 1 MiB, below which nothing works well"),
            ("limit_entries", "0", "0 is not within 1 to 18446744073709551615"),
            ("limit_entries", "few", "`few` is not a number of entries, or `none`"),
            ("policy", "mru", "no policy is called `mru`; there are s3-fifo, lru, lfu, fifo and none"),
            ("held_max", "101%", "`101%` is not a share; write for example `50%`"),
            ("held_max", "50", "`50` is not a share; write `50%`"),
            ("held_max", "300", "`300` is not a share; write for example `50%`"),
            (
                "reserve",
                "none",
                "`none` is not a size; write for example `32768`, `32 KiB`, `1 MiB` or `2 GiB`, or `auto`",
            ),
            ("log", "info,[", "invalid"),
            ("log", "inof", "`inof` is no level; there are off, error, warn, info, debug and trace"),
        ];
        for (name, text, reason) in cases {
            let error = read_with(name, text).unwrap_err().to_string();
            let begin = format!("`{name}` (environment DATACACHE_{}): ", name.to_ascii_uppercase());
            assert!(error.starts_with(&begin) && error.contains(reason), "{name} = {text}: {error}");
        }
    }

    #[test]
    fn limits_are_read_as_they_are_typed() {
        let all = |limit| Rule { limit, policy: Some(Policy::S3Fifo), ..Rule::default() };
        let rules = Config::defaults(paths_in(Path::new("/t"))).rules();
        let expected = Rules { all: all(None), is_limit_auto: true, held_percent: 50, ..Rules::default() };
        assert_eq!(rules, expected);
        let rules = |name, text| read_with(name, text).unwrap().rules();
        assert_eq!(rules("limit", "none"), Rules { is_limit_auto: false, ..expected.clone() });
        assert_eq!(
            rules("limit", "1 MiB"),
            Rules { all: all(Some(1 << 20)), is_limit_auto: false, ..expected.clone() }
        );
        assert_eq!(rules("limit_entries", "7").all.limit_entries, Some(7));
        assert_eq!(rules("policy", "least-recently-used").all.policy, Some(Policy::Lru));
        assert_eq!([rules("held_max", "0"), rules("held_max", "100 %")].map(|rules| rules.held_percent), [0, 100]);
        assert_eq!(
            ["none", "Unlimited", "7"].map(|text| read_with("value_max", text).unwrap().value_max),
            [None, None, Some(7)]
        );
        assert_eq!(rules("reserve", "0").reserve, Reserve::Bytes(0));
        assert_eq!(rules("reserve", "Auto").reserve, Reserve::Share);
    }

    fn read_file(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths_in(folder.path());
        std::fs::write(&paths.config, text).unwrap();
        Config::load_from(paths, &Flags::default(), |_| None)
    }

    #[test]
    fn rules_of_namespaces_have_what_is_set_and_are_shown_with_their_full_names() {
        let text = "[namespaces.\"a b\"]\nlimit_entries = 5\n[namespaces.c]\nlimit = \"none\"\npolicy = \"fifo\"\n";
        let config = read_file(text).unwrap();
        let few = Rule { limit_entries: Some(5), ..Rule::default() };
        let fifo = Rule { policy: Some(Policy::Fifo), ..Rule::default() };
        assert_eq!(config.rules().namespaces, [("a b".into(), few), ("c".into(), fifo)].into());
        let shown = config.sources().split_off(SETTINGS.len());
        let shown: Vec<_> = shown.iter().map(|(name, text, _)| (name.as_str(), text.as_str())).collect();
        let expected = [
            ("namespaces.\"a b\".limit_entries", "5"),
            ("namespaces.c.limit", "none"),
            ("namespaces.c.policy", "fifo"),
        ];
        assert_eq!(shown, expected);
        let error = read_file("[namespaces.c]\n\nlimit = \"auto\"\n").unwrap_err().to_string();
        let reason = "`auto` is not a size; write for example `32768`, `32 KiB`, `1 MiB` or `2 GiB`, or `none`";
        assert!(
            error.starts_with("`namespaces.c.limit` (") && error.ends_with(&format!("line 3): {reason}")),
            "{error}"
        );
    }

    #[test]
    fn a_reload_keeps_what_the_store_was_opened_with_and_says_so() {
        let old = read_with("inline_max", "1 KiB").unwrap();
        let (reloaded, waiting) = old.reloaded(read_with("inline_max", "2 KiB").unwrap());
        assert_eq!(waiting, ["inline_max"]);
        assert_eq!(reloaded, old);
        let (reloaded, waiting) = old.reloaded(read_with("idle_exit", "5m").unwrap());
        assert_eq!(waiting, ["inline_max"]);
        assert_eq!((reloaded.inline_max, reloaded.idle_exit), (1_024, Some(Duration::from_secs(300))));
        let row = reloaded.sources().into_iter().find(|row| row.0 == "inline_max").unwrap();
        assert_eq!(row.1, "1 KiB");
    }
}
