//! What every command is handed: the global flags, and what follows from them.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use datacache_client::Options;
use datacache_client::blocking::DataCache;
use datacache_proto::closed::Closed;
use datacache_proto::key::DEFAULT_NAMESPACE;
use datacache_proto::layout::{CURRENT, LOCK};
use datacache_proto::paths::{Overrides, Paths};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::args::Global;
use crate::commands::service;
use crate::failure::Failure;
use crate::output::say;
use crate::progress::{Extent, Progress};
use crate::unserved::is_unserved;

/// The global flags, and what follows from them.
pub(crate) struct Context {
    pub(crate) global: Global,
}

impl Context {
    /// Returns the options to open the cache with: a missing daemon is started by running this very program.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::new().namespace(self.namespace()).start(!self.global.no_start);
        if let Some(dir) = &self.global.dir {
            options = options.dir(dir);
        }
        if let Some(socket) = &self.global.socket {
            options = options.socket(socket);
        }
        match std::env::current_exe() {
            Ok(program) => options.daemon_program(program),
            // Without /proc: the client looks for the program by its name.
            Err(_) => options,
        }
    }

    /// The same for what calls the daemon anyway: a damaged index may end the process that opens it, also one that does not look.
    pub(crate) fn calling(&self) -> Options {
        self.options().direct(false)
    }

    /// Opens the cache for changes; starts a daemon if none runs and nobody forbade it.
    pub(crate) fn open(&self) -> Result<DataCache, Failure> {
        Ok(DataCache::open(self.calling())?)
    }

    /// The same for what only lists or removes, and so makes no store where none is: the folder's name may be mistyped.
    pub(crate) fn open_existing(&self) -> Result<DataCache, Failure> {
        self.check_store()?;
        self.open()
    }

    /// The same for reads, which look into the store themselves.
    pub(crate) fn open_to_read(&self) -> Result<DataCache, Failure> {
        self.check_any_store()?;
        Ok(DataCache::open(self.options())?)
    }

    /// Makes sure that there is a store in the folder that was named, if one was.
    pub(crate) fn check_store(&self) -> Result<(), Failure> {
        // The daemon at a socket that was named may see a store that is out of sight here.
        if !self.names_store() || self.names_socket() {
            return Ok(());
        }
        check_store_at(self.paths()?.store)
    }

    /// The same for the default store, unless a daemon serves it that sees it elsewhere: who only reads makes no store.
    pub(crate) fn check_any_store(&self) -> Result<(), Failure> {
        if self.names_store() || self.names_socket() || self.global.no_start {
            return self.check_store();
        }
        check_store_at(self.paths()?.store).or_else(|failure| {
            if self.is_unserved()? {
                return Err(failure);
            }
            let served = DataCache::try_connect(self.calling())?;
            served.map(drop).ok_or(failure)
        })
    }

    /// Makes sure that the folder that was named, if one was, is not closed to this user: what is in it could not be told.
    pub(crate) fn check_sight(&self) -> Result<(), Failure> {
        match self.names_store() && !self.names_socket() {
            true => Ok(Closed::check_sight(&self.paths()?.store)?),
            false => Ok(()),
        }
    }

    /// Tells whether it can be seen, without asking, that no daemon runs and only systemd listens. Whoever listens elsewhere is asked.
    pub(crate) fn is_unserved(&self) -> Result<bool, Failure> {
        Ok(self.activated()?.is_some_and(|paths| is_unserved(&paths)))
    }

    /// Returns the places where systemd may start a daemon for whoever connects, and [`is_unserved`] tells more; `None` where it won't.
    pub(crate) fn activated(&self) -> Result<Option<Paths>, Failure> {
        (!self.names_socket() && service::is_installed()).then(|| self.paths()).transpose()
    }

    fn names_store(&self) -> bool {
        self.overrides().choose_store()
    }

    fn names_socket(&self) -> bool {
        self.overrides().choose_socket()
    }

    /// Returns the folder of the store that the daemon in question serves: where only a socket was named, that behind the link beside it.
    pub(crate) fn served_store(&self) -> Result<PathBuf, Failure> {
        let Paths { store, store_link, .. } = self.paths()?;
        let linked = || store_link.canonicalize().ok().filter(|_| self.names_socket() && !self.names_store());
        Ok(linked().unwrap_or(store))
    }

    /// Returns where store and socket lie.
    pub(crate) fn paths(&self) -> Result<Paths, Failure> {
        Ok(Paths::resolve(&self.overrides())?)
    }

    /// Returns the places that were named on the command line.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides { dir: self.global.dir.clone(), socket: self.global.socket.clone() }
    }

    /// Returns the namespace that the command is about.
    pub(crate) fn namespace(&self) -> &str {
        self.global.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
    }

    /// Begins to show progress, in case it takes long.
    pub(crate) fn progress(&self, what: &'static str, extent: Extent) -> Progress {
        self.progress_unless(what, extent, false)
    }

    /// The same, but shows nothing if `unwanted`.
    pub(crate) fn progress_unless(&self, what: &'static str, extent: Extent, unwanted: bool) -> Progress {
        Progress::begin(what, extent, !unwanted && !self.global.quiet)
    }

    /// Makes a remark on stderr, unless `--quiet` was given.
    pub(crate) fn remark(&self, text: &str) {
        if !self.global.quiet {
            say(text);
        }
    }

    /// Tells on stderr what happens, as much as was asked for. The daemon has a log of its own.
    pub(crate) fn begin_log(&self) {
        let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).with_target(false);
        tracing_subscriber::registry().with(lines.with_filter(filter(&self.global))).init();
    }
}

/// Makes sure that there is a store in a folder, as far as this user can see it.
fn check_store_at(store: PathBuf) -> Result<(), Failure> {
    Closed::check_sight(&store)?;
    let is_there = [CURRENT, LOCK].iter().any(|name| store.join(name).symlink_metadata().is_ok());
    if is_there { Ok(()) } else { Err(Failure::NoStore { store }) }
}

/// What is below us speaks only when everything is wanted: its warnings are about what we report ourselves.
fn filter(global: &Global) -> Targets {
    let level = level(global);
    let others = if level == LevelFilter::TRACE { level } else { LevelFilter::OFF };
    Targets::new().with_default(others).with_target("datacache", level)
}

fn level(global: &Global) -> LevelFilter {
    match global.verbose {
        _ if global.quiet => LevelFilter::OFF,
        0 => LevelFilter::ERROR,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_crates_speak_unless_everything_is_wanted() {
        let told = |verbose, target| {
            let global = Global { verbose, ..Global::default() };
            filter(&global).would_enable(target, &tracing::Level::INFO)
        };
        assert!(told(1, "datacache_client::start") && told(1, "datacache"));
        assert!(!told(0, "datacache_client::start") && !told(2, "tarpc::client"));
        assert!(told(3, "tarpc::client"));
    }

    #[test]
    fn every_v_tells_more_and_q_tells_nothing() {
        let levels: Vec<_> = (0..4).map(|verbose| level(&Global { verbose, ..Global::default() })).collect();
        assert_eq!(levels, [LevelFilter::ERROR, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE]);
        assert_eq!(level(&Global { quiet: true, ..Global::default() }), LevelFilter::OFF);
    }
}
