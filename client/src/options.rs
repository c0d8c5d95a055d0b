//! How a cache is opened: which store, whose daemon, and how patient we are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datacache_proto::key::{DEFAULT_NAMESPACE, check_namespace};
use datacache_proto::paths::{Overrides, Paths};

use crate::config::Config;
use crate::error::Error;

/// Names the program that is run to start a daemon.
pub const PROGRAM_VARIABLE: &str = "DATACACHE_PROGRAM";
/// Turns the direct way to the store off: `0`, `off`, `no` or `false`.
pub const DIRECT_VARIABLE: &str = "DATACACHE_DIRECT";
/// The program that is run where nothing names one, looked up on `PATH`.
const PROGRAM: &str = "datacache";
/// The time to reach or start a daemon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for one call, before what its size adds.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a call looks for its answer.
const BUSY_POLL_MAX: Duration = Duration::from_millis(1);

/// How to open a cache. What is not set comes from the environment, then from defaults.
///
/// # Examples
/// ```no_run
/// use datacache_client::{Options, blocking::DataCache};
///
/// let cache = DataCache::open(Options::new().namespace("thumbnails"))?;
/// # Ok::<(), datacache_client::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    namespace: Option<String>,
    dir: Option<PathBuf>,
    socket: Option<PathBuf>,
    start: bool,
    program: Option<PathBuf>,
    connect_timeout: Duration,
    call_timeout: Duration,
    transfer: Transfer,
    mapped: bool,
    check: Check,
    direct: Option<bool>,
    busy_poll: Option<Duration>,
    waits: bool,
    config: Config,
}

/// How values above the daemon's `inline_max` (32 KiB) travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// By file where the store's folder can be reached, else in chunks.
    #[default]
    Auto,
    /// By file only; an error where the store's folder can't be reached.
    Staging,
    /// In chunks over the socket only.
    Chunks,
}

/// When `get` checks a large value that it maps against its SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Each time: it reads all of the value.
    Always,
    /// Once after each boot, for all processes together, and again when the file was written to. What the daemon has hashed since it
    /// was added counts.
    #[default]
    OncePerBoot,
    /// Never; only its length is looked at.
    Never,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Returns the options of the user's own cache.
    #[must_use]
    pub fn new() -> Self {
        Self {
            namespace: None,
            dir: None,
            socket: None,
            start: true,
            program: None,
            connect_timeout: CONNECT_TIMEOUT,
            call_timeout: CALL_TIMEOUT,
            transfer: Transfer::Auto,
            mapped: true,
            check: Check::default(),
            direct: None,
            busy_poll: None,
            waits: false,
            config: Config::default(),
        }
    }

    /// Selects a namespace. Default: [`Config::cache_dir`] where that is a name, else `default`.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// Selects a store by its folder. Default: [`Config::cache_dir`] where that is a path, else `DATACACHE_DIR`, else the
    /// user's own, `~/.cache/datacache`.
    #[must_use]
    pub fn dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.dir = Some(folder.into());
        self
    }

    /// Selects the daemon's socket. Default: `DATACACHE_SOCKET`, else a name that belongs to the store.
    #[must_use]
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.socket = Some(path.into());
        self
    }

    /// Says whether a daemon is started where none runs. Default: yes.
    #[must_use]
    pub fn start(mut self, start: bool) -> Self {
        self.start = start;
        self
    }

    /// Names the program that is run, as `PROGRAM daemon`, to start one. Default: `DATACACHE_PROGRAM`, else `datacache` on
    /// `PATH`.
    #[must_use]
    pub fn daemon_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Says how long reaching or starting a daemon may take. Default: 10 s. A daemon that we started and that is still
    /// busy with recovery gets longer.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Says how long a call may take. Default: 10 s. Large values get more by their size, and calls that walk over the store
    /// get hours.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Says how large values travel. Default: [`Transfer::Auto`].
    #[must_use]
    pub fn transfer(mut self, transfer: Transfer) -> Self {
        self.transfer = transfer;
        self
    }

    /// Says whether `get` maps large values (default) or reads them into memory.
    ///
    /// A map costs nothing until it is looked at. But where the disk fails under it, the system ends the process (SIGBUS),
    /// while a read returns an error.
    #[must_use]
    pub fn mapped(mut self, mapped: bool) -> Self {
        self.mapped = mapped;
        self
    }

    /// Says when a large value that is mapped is checked. Default: [`Check::OncePerBoot`].
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    /// Says whether reads look into the store themselves (default) or ask the daemon. Default: yes, unless `DATACACHE_DIRECT`
    /// is `0`, `off`, `no` or `false`.
    ///
    /// A direct read costs a microsecond instead of a call and needs no daemon. What can't be read that way, as from a
    /// container, is asked for all the same; `stats` tells how often, and why. A direct read of what is on disk and not in memory
    /// waits for the disk, also in an asynchronous program; and where the disk fails under it, the system ends the process (SIGBUS).
    #[must_use]
    pub fn direct(mut self, direct: bool) -> Self {
        self.direct = Some(direct);
        self
    }

    /// Says how long a call of a [`blocking`](crate::blocking) cache looks for its answer before its thread sleeps. Default: what
    /// the daemon's setting `busy_poll` says (50 µs), and not at all where the store can't be read directly. At most 1 ms; zero for
    /// never.
    ///
    /// To be woken costs more than most calls take. A thread looks only while fewer clients call than there are cores.
    #[must_use]
    pub fn busy_poll(mut self, limit: Duration) -> Self {
        self.busy_poll = Some(limit.min(BUSY_POLL_MAX));
        self
    }

    /// Says that threads wait for the calls and do nothing else meanwhile.
    pub(crate) fn waiting(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Sets what applies to every `add`.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Finds the places and checks the names.
    pub(crate) fn resolve(self) -> Result<(Settings, String), Error> {
        let namespace = self.namespace.as_deref().or(self.config.namespace()).unwrap_or(DEFAULT_NAMESPACE).to_owned();
        check_namespace(&namespace)?;
        let dir = self.dir.or_else(|| self.config.store().map(Path::to_owned));
        let named = Named { dir: dir.is_some(), socket: self.socket.is_some() };
        let overrides = Overrides { dir, socket: self.socket };
        let socket_is_chosen = overrides.choose_socket();
        let store_is_guessed = socket_is_chosen && !overrides.choose_store();
        let paths = Paths::resolve(&overrides)?;
        let settings = Settings {
            paths,
            named,
            socket_is_chosen,
            store_is_guessed,
            start: self.start,
            program: program(self.program),
            connect_timeout: self.connect_timeout,
            call_timeout: self.call_timeout,
            transfer: self.transfer,
            reading: Reading { mapped: self.mapped, check: self.check },
            direct: self.direct.unwrap_or_else(|| !is_off(std::env::var_os(DIRECT_VARIABLE).as_deref())),
            busy_poll: self.busy_poll,
            waits: self.waits,
            config: self.config,
        };
        Ok((settings, namespace))
    }
}

fn program(given: Option<PathBuf>) -> PathBuf {
    let from_environment = || std::env::var_os(PROGRAM_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    given.or_else(from_environment).unwrap_or_else(|| PROGRAM.into())
}

/// Tells whether the value of a variable turns something off.
fn is_off(value: Option<&OsStr>) -> bool {
    let value = value.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ["0", "off", "no", "false"].contains(&value.as_str())
}

/// Options with every question answered; the same for all clones of a cache.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) paths: Paths,
    pub(crate) named: Named,
    /// Whether a socket was named, by the caller or the environment; else its path follows from the store's.
    pub(crate) socket_is_chosen: bool,
    /// Whether a socket was named and no store: the daemon there may serve another one than the default.
    pub(crate) store_is_guessed: bool,
    pub(crate) start: bool,
    pub(crate) program: PathBuf,
    pub(crate) connect_timeout: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) transfer: Transfer,
    pub(crate) reading: Reading,
    pub(crate) direct: bool,
    pub(crate) busy_poll: Option<Duration>,
    /// Whether threads wait for the calls and do nothing else meanwhile.
    pub(crate) waits: bool,
    pub(crate) config: Config,
}

/// How large values are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// As a map of their file, not as a copy in memory.
    pub(crate) mapped: bool,
    pub(crate) check: Check,
}

/// Which places the caller named; a started daemon is told these, and finds the others as we did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) dir: bool,
    pub(crate) socket: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed() -> Options {
        Options::new().dir("/stores/one").socket("/r/sock")
    }

    fn configured(folder: &str) -> Config {
        Config { cache_dir: Some(folder.into()), ..Config::default() }
    }

    #[test]
    fn the_namespace_is_the_named_one_then_the_configured_then_the_default() {
        let namespace = |options: Options| options.resolve().unwrap().1;
        assert_eq!(namespace(placed()), "default");
        assert_eq!(namespace(placed().config(configured("oteapi"))), "oteapi");
        assert_eq!(namespace(placed().config(configured("oteapi")).namespace("mine")), "mine");
    }

    #[test]
    fn a_configured_path_selects_a_store_unless_one_is_named() {
        let store = |options: Options| options.socket("/r/sock").resolve().unwrap().0.paths.store;
        assert_eq!(store(Options::new().config(configured("/data/own"))), Path::new("/data/own"));
        assert_eq!(store(placed().config(configured("/data/own"))), Path::new("/stores/one"));
    }

    #[test]
    fn behind_a_socket_that_was_named_alone_any_store_may_be() {
        let is_guessed = |options: Options| options.resolve().unwrap().0.store_is_guessed;
        assert!(is_guessed(Options::new().socket("/r/sock")));
        assert!(!is_guessed(placed()) && !is_guessed(Options::new().dir("/stores/one")));
        assert!(!is_guessed(Options::new().socket("/r/sock").config(configured("/data/own"))));
    }

    #[test]
    fn a_namespace_without_a_name_is_refused_at_once() {
        assert!(placed().namespace("").resolve().unwrap_err().is_invalid_input());
    }

    #[test]
    fn the_direct_way_is_turned_off_by_clear_words_alone() {
        let off = |value: &str| is_off(Some(OsStr::new(value)));
        assert!(["0", "off", "OFF", "no", "False"].into_iter().all(off));
        assert!(!["", "1", "on", "yes", "true", "2"].into_iter().any(off));
        assert!(!is_off(None));
    }

    #[test]
    fn what_was_named_is_remembered_for_the_daemon() {
        let named = |options: Options| options.resolve().unwrap().0.named;
        assert_eq!(named(placed()), Named { dir: true, socket: true });
        assert_eq!(named(Options::new().dir("/stores/one")), Named { dir: true, socket: false });
    }
}
