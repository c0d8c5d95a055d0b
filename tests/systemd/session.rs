//! The session of the throw-away user: the service as the command installs it, and how it is looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use datacache_tests::wait::PATIENCE;
use datacache_tests::{Client, Outcome, Run, Watched, eventually};

/// The unit that runs the daemon.
pub(crate) const SERVICE: &str = "datacache.service";
/// The unit that listens.
pub(crate) const SOCKET: &str = "datacache.socket";

/// A session that begins with an empty home.
pub(crate) struct Session {
    home: PathBuf,
    runtime: PathBuf,
}

impl Session {
    /// Begins where nothing is installed yet.
    pub(crate) fn bare() -> Self {
        let [home, runtime] = ["HOME", "XDG_RUNTIME_DIR"].map(|name| PathBuf::from(std::env::var_os(name).unwrap()));
        assert!(!home.join(".config").exists(), "the home of a throw-away user is empty");
        Self { home, runtime }
    }

    /// Begins with the service installed.
    pub(crate) fn with_service() -> Self {
        let session = Self::bare();
        session.run(&["service", "install"]).outcome().bytes();
        session
    }

    /// Begins with the service installed from a copy of the command, which can be changed.
    pub(crate) fn with_service_of_its_own() -> (Self, PathBuf) {
        let session = Self::bare();
        let program = session.home("datacache");
        install_from(&program).bytes();
        (session, program)
    }

    /// Returns a path below the user's home.
    pub(crate) fn home(&self, path: &str) -> PathBuf {
        self.home.join(path)
    }

    /// Returns the path of the socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.runtime.join("datacache/sock")
    }

    /// Returns the command, which may start a daemon by itself.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(beside_us("datacache"));
        command.args(arguments);
        Run::new(command)
    }

    /// Returns the command, which leaves it to systemd to start the daemon.
    pub(crate) fn served(&self, arguments: &[&str]) -> Run {
        self.run(&[&["--no-start"], arguments].concat())
    }

    /// Adds text under a key through the command.
    #[track_caller]
    pub(crate) fn add(&self, key: &str, text: &str) {
        let added = self.served(&["add", "-", "--text", "--key", key]).input(text).outcome().text();
        assert_eq!(added, key);
    }

    /// Counts the entries, which the daemon is called for.
    pub(crate) fn len(&self) -> u64 {
        self.served(&["len"]).outcome().number()
    }

    /// Gets text through the command and the daemon, which is what is tested here.
    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> String {
        self.served(&["get", key]).env("DATACACHE_DIRECT", "0").outcome().text()
    }

    /// Starts a client that is a process of its own.
    pub(crate) fn client(&self) -> Client {
        Client::start(Command::new(beside_us("client-process")))
    }

    /// Has systemd do something, which has to succeed; returns what `systemctl` printed.
    #[track_caller]
    pub(crate) fn systemctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(arguments);
        Run::new(command).outcome().text()
    }

    /// Returns what systemd knows of the service.
    #[track_caller]
    pub(crate) fn service(&self, property: &str) -> String {
        self.systemctl(&["show", "--value", "--property", property, SERVICE])
    }

    /// Returns the state of a unit, such as `active`.
    #[track_caller]
    pub(crate) fn state(&self, unit: &str) -> String {
        self.systemctl(&["show", "--value", "--property=ActiveState", unit])
    }

    /// Returns the daemon that systemd runs.
    #[track_caller]
    pub(crate) fn daemon(&self) -> Watched {
        let pid = self.service("MainPID").parse().unwrap();
        Watched::begin(pid).expect("the service runs")
    }

    /// Waits until systemd has restarted the daemon so many times, and it runs again.
    #[track_caller]
    pub(crate) fn wait_for_restart(&self, count: &str) {
        eventually("systemd restarts the daemon", PATIENCE, || {
            self.service("NRestarts") == count && self.state(SERVICE) == "active"
        });
    }

    /// Changes settings of the service as a user would, and restarts it.
    pub(crate) fn override_service(&self, settings: &str) {
        let folder = self.home(".config/systemd/user/datacache.service.d");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("override.conf"), format!("[Service]\n{settings}\n")).unwrap();
        self.systemctl(&["daemon-reload"]);
        self.systemctl(&["restart", SERVICE]);
    }

    /// Writes the daemon's configuration.
    pub(crate) fn configure(&self, settings: &str) {
        let folder = self.home(".config/datacache");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), settings).unwrap();
    }

    /// Returns what the service told the journal, from this priority on upwards.
    pub(crate) fn journal(&self, priority: &str) -> String {
        let mut command = Command::new("journalctl");
        command.args(["--user", "--quiet", "--output=cat", "--priority", priority, "--unit", SERVICE]);
        Run::new(command).outcome().text()
    }

    /// Waits until the journal has some words of at least this priority: it gets them a moment after they were said.
    #[track_caller]
    pub(crate) fn wait_for_journal(&self, priority: &str, words: &str) {
        eventually(words, PATIENCE, || self.journal(priority).contains(words));
    }
}

/// Installs the service from a copy of the command at that path.
pub(crate) fn install_from(program: &Path) -> Outcome {
    fs::copy(beside_us("datacache"), program).unwrap();
    let mut install = Command::new(program);
    install.args(["service", "install"]);
    Run::new(install).outcome()
}

/// Returns a program that lies beside this one.
pub(crate) fn beside_us(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap_or(Path::new("/")).join(name)
}
