//! A home for a test: folders, an environment, and in the end no process and no file.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use datacache_client::{DIRECT_VARIABLE, Options, blocking};
use tempfile::TempDir;

use crate::process::{self, Watched};
use crate::program::program;
use crate::reads::Way;
use crate::run::{Outcome, Run};
use crate::wait::PATIENCE;

/// Marks every process that belongs to a home; daemons inherit it, as they do all of `XDG_*`.
const MARK: &str = "XDG_TEST_HOME";

/// A user's home without anything in it. Dropping it ends every process that was started in it, and removes it.
#[derive(Debug)]
pub struct Home(TempDir);

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// Makes a home.
    ///
    /// # Panics
    /// Where the system can't.
    #[must_use]
    pub fn new() -> Self {
        // Not where TMPDIR says: the path of a socket must be short.
        let home = Self(tempfile::Builder::new().prefix("dc-").tempdir_in("/tmp").unwrap());
        for folder in ["home", "run", "cache", "config", "tmp"] {
            DirBuilder::new().mode(0o700).create(home.path().join(folder)).unwrap();
        }
        home
    }

    /// Returns the folder that all of it lies in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns the store's folder, which is the default one of this home.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path().join("cache/datacache")
    }

    /// Returns the daemon's socket, which is the default one of this home.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path().join("run/datacache/sock")
    }

    /// Returns the folder for temporary files, as processes of this home have it.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.path().join("tmp")
    }

    /// Writes the daemon's configuration.
    ///
    /// # Panics
    /// Where the system can't.
    pub fn configure(&self, toml: &str) {
        let folder = self.path().join("config/datacache");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), toml).unwrap();
    }

    /// Writes a file that is no business of the cache, and returns its path.
    ///
    /// # Panics
    /// Where the system can't.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join("home").join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Returns the whole environment of a process of this home.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let folder = |name| self.path().join(name).into_os_string();
        vec![
            ("HOME", folder("home")),
            ("XDG_RUNTIME_DIR", folder("run")),
            ("XDG_CACHE_HOME", folder("cache")),
            ("XDG_CONFIG_HOME", folder("config")),
            ("TMPDIR", folder("tmp")),
            ("LANG", "C.UTF-8".into()),
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("DATACACHE_PROGRAM", program().into()),
            (DIRECT_VARIABLE, Way::of_this_run().to_string().into()),
            (MARK, self.path().into()),
        ]
    }

    /// Returns a program that is to run in this home.
    #[must_use]
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.environment()).current_dir(self.path());
        command
    }

    /// Returns the command `datacache`, about to be run.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        let mut command = self.program(program());
        command.args(arguments);
        Run::new(command)
    }

    /// Runs the command `datacache`.
    #[must_use]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        self.command(arguments).outcome()
    }

    /// Starts the daemon as the command does, unless it runs.
    ///
    /// # Panics
    /// Where it does not start.
    #[track_caller]
    pub fn start(&self) {
        self.run(["len"]).number();
    }

    /// Returns the daemon that answers.
    ///
    /// # Panics
    /// Where none does.
    #[must_use]
    #[track_caller]
    pub fn daemon(&self) -> Watched {
        let status = self.run(["status", "--json"]).json();
        let pid = status["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("it answers, so it has a number");
        Watched::begin(pid).expect("it answers, so it runs")
    }

    /// Returns the options for a client in the test's own process. It starts no daemon: that would inherit the
    /// test's environment.
    #[must_use]
    pub fn options(&self) -> Options {
        Options::new().dir(self.store()).socket(self.socket()).start(false)
    }

    /// Opens the cache in the test's own process, and starts the daemon for it.
    ///
    /// # Panics
    /// Where it can't be opened.
    #[must_use]
    #[track_caller]
    pub fn open(&self) -> blocking::DataCache {
        self.start();
        blocking::DataCache::open(self.options()).unwrap()
    }

    /// The same for an asynchronous test.
    ///
    /// # Panics
    /// Where it can't be opened.
    pub async fn open_async(&self) -> datacache_client::DataCache {
        self.start();
        datacache_client::DataCache::open(self.options()).await.unwrap()
    }

    /// Returns the processes of this home that run.
    #[must_use]
    pub fn processes(&self) -> Vec<Watched> {
        process::started_with(MARK, self.path().as_os_str())
    }

    /// Returns those of them that are daemons.
    ///
    /// # Panics
    /// Where there is no `/proc`.
    #[must_use]
    pub fn daemons(&self) -> Vec<Watched> {
        let mut processes = self.processes();
        processes.retain(|process| {
            let arguments = fs::read(format!("/proc/{}/cmdline", process.pid())).unwrap_or_default();
            arguments.split(|byte| *byte == 0).nth(1) == Some(b"daemon")
        });
        processes
    }

    /// Says what daemons noted: of a test that failed nothing else is left.
    fn show_log(&self) {
        if let Ok(log) = fs::read_to_string(self.store().join("daemon.log")) {
            eprintln!("the daemon's log:\n{log}");
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_log();
        }
        // One of them may just have started another one.
        loop {
            let processes = self.processes();
            processes.iter().for_each(Watched::kill);
            if processes.iter().all(|process| process.ends(PATIENCE)) && self.processes().is_empty() {
                return;
            }
        }
    }
}
