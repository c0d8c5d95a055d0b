//! Our daemon, in a folder of its own, and its clients.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use datacache_client::Options;
use datacache_client::blocking::DataCache;
use datacache_tests::program::program;
use rustix::io::retry_on_intr;
use rustix::net::RecvFlags;
use serde_json::Value;
use tempfile::TempDir;

use crate::place::Place;
use crate::sizes::{key, value};
use crate::{Fault, stop};

/// How long a daemon may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many values are added by a call where nothing is measured.
const BATCH: u64 = 1_000;

/// A store and its daemon. Dropping it ends the daemon.
#[derive(Debug)]
pub(crate) struct Ours {
    daemon: Option<Child>,
    store: TempDir,
    run: TempDir,
}

impl Ours {
    /// Makes an empty store, and starts its daemon.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn start(place: &Place) -> Result<Self, Fault> {
        let mut ours = Self { daemon: None, store: place.folder("datacache-")?, run: place.sockets()? };
        ours.resume()?;
        Ok(ours)
    }

    /// Starts the daemon anew; returns how long it took until it served clients.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn resume(&mut self) -> Result<Duration, Fault> {
        let notify = self.run.path().join("notify");
        // Of an earlier start.
        fs::remove_file(&notify).unwrap_or_default();
        let manager = UnixDatagram::bind(&notify)?;
        manager.set_read_timeout(Some(PATIENCE))?;
        let mut command = self.command();
        command.arg("daemon").env("NOTIFY_SOCKET", &notify).stdin(Stdio::null()).stdout(Stdio::null());
        let begun = Instant::now();
        self.daemon = Some(command.stderr(Stdio::null()).spawn()?);
        let mut message = [0; 4_096];
        loop {
            let told = retry_on_intr(|| rustix::net::recv(&manager, &mut message, RecvFlags::empty()));
            let (length, _) = told.map_err(|error| format!("the daemon is not ready: {error}"))?;
            if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(begun.elapsed());
            }
        }
    }

    /// Returns our command, about to be run for this store.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(program());
        let run = self.run.path();
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| is_kept(name)));
        command.env("HOME", run).env("XDG_RUNTIME_DIR", run).env("XDG_CONFIG_HOME", run);
        command.env("DATACACHE_DIR", self.store.path()).env("DATACACHE_SOCKET", self.socket());
        command
    }

    /// Ends the daemon in good order.
    ///
    /// # Errors
    /// Where it does not end well.
    pub(crate) fn stop(&mut self) -> Result<(), Fault> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        self.open()?.stop_daemon()?;
        let status = daemon.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the daemon ended with {status}").into()) }
    }

    /// Ends the daemon with SIGKILL.
    ///
    /// # Errors
    /// Where the system can't.
    pub(crate) fn kill(&mut self) -> Result<(), Fault> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
            daemon.wait()?;
        }
        Ok(())
    }

    /// Returns how to open the cache.
    pub(crate) fn options(&self) -> Options {
        Options::new().dir(self.store.path()).socket(self.socket()).start(false)
    }

    /// Opens the cache.
    ///
    /// # Errors
    /// Where it can't be opened.
    pub(crate) fn open(&self) -> Result<DataCache, Fault> {
        Ok(DataCache::open(self.options())?)
    }

    /// Returns the store's folder.
    pub(crate) fn store(&self) -> &Path {
        self.store.path()
    }

    /// Returns the daemon's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run.path().join("sock")
    }

    /// Returns the memory that belongs to the daemon alone and is in no file, in bytes.
    ///
    /// # Errors
    /// Where it does not run.
    pub(crate) fn private_memory(&self) -> Result<u64, Fault> {
        let daemon = self.daemon.as_ref().ok_or("the daemon does not run")?;
        let [anonymous, swapped] = memory(daemon.id(), ["RssAnon:", "VmSwap:"])?;
        Ok(anonymous + swapped)
    }

    /// Returns the figures that our own benchmark tells of the machine.
    ///
    /// # Errors
    /// Where it fails.
    pub(crate) fn floor(&self, ops: u64) -> Result<Value, Fault> {
        let mut command = self.command();
        command.args(["bench", "--json", "--no-start", "--entries=1000", &format!("--ops={ops}")]);
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(serde_json::from_slice::<Value>(&output.stdout)?["floor"].take())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("peers: the daemon can't be ended: {error}");
        }
    }
}

/// The caller's settings are not ours; what marks the processes of a test is.
fn is_kept(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    !name.starts_with("DATACACHE_") || name.starts_with("DATACACHE_TEST_")
}

/// Adds this many entries, and has them applied to the index.
///
/// # Errors
/// Where the daemon refuses.
pub(crate) fn fill(cache: &DataCache, entries: u64) -> Result<(), Fault> {
    for begin in (0..entries).step_by(usize::try_from(BATCH)?) {
        stop::check()?;
        let numbers = begin..entries.min(begin + BATCH);
        cache.add_many(numbers.map(|number| (key(number), value(number)))).run()?;
    }
    settle(cache)
}

/// Has the log applied, so that a get goes all its way.
///
/// # Errors
/// Where the daemon can't.
pub(crate) fn settle(cache: &DataCache) -> Result<(), Fault> {
    Ok(cache.list().next().transpose().map(drop)?)
}

/// Returns figures of a process's memory by their names, in bytes.
///
/// # Errors
/// Where there is no such process.
pub(crate) fn memory<const N: usize>(pid: u32, names: [&str; N]) -> Result<[u64; N], Fault> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let figure = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10
    };
    Ok(names.map(figure))
}
