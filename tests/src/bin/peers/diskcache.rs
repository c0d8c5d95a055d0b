//! DiskCache, in a Python process of its own that measures itself; see `diskcache_peer.py`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Fault;
use crate::place::Place;
use crate::server::find;
use crate::sizes::VALUE;
use crate::talk::{Talk, times};
use crate::times::Times;

/// What is installed where it is not there yet.
const PACKAGE: &str = "diskcache==5.6.3";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/diskcache_peer.py");

/// A cache in a folder of its own, and the process that uses it.
#[derive(Debug)]
pub(crate) struct DiskCache {
    process: Talk,
    folder: TempDir,
}

/// Returns a Python that has DiskCache, and installs it to `environment` where it is not there.
///
/// # Errors
/// Where that can't be done, with what to do.
pub(crate) fn install(environment: &Path) -> Result<PathBuf, Fault> {
    let python = environment.join("bin/python");
    if !imports(&python) {
        let system = find("python3").ok_or("python3 is not installed (apt-get install python3-venv)")?;
        let made = run(Command::new(system).args(["-m", "venv"]).arg(environment));
        made.map_err(|why| format!("python3 makes no environment (apt-get install python3-venv): {why}"))?;
        let pip = run(Command::new(&python).args(["-m", "pip", "install", "--quiet", PACKAGE]));
        pip.map_err(|why| format!("pip does not install {PACKAGE}: {why}"))?;
    }
    Ok(python)
}

/// Returns its version.
///
/// # Errors
/// Where Python does not tell.
pub(crate) fn version(python: &Path) -> Result<String, Fault> {
    let program = "import sys, sqlite3, diskcache as d; \
                   print(f'{d.__version__}, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}')";
    let told = Command::new(python).args(["-c", program]).output()?;
    Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

fn imports(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import diskcache"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Result<(), Fault> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().last().unwrap_or("no reason given").to_owned().into())
}

impl DiskCache {
    /// Opens an empty cache.
    ///
    /// # Errors
    /// Where Python can't.
    pub(crate) fn open(python: &Path, place: &Place) -> Result<Self, Fault> {
        let folder = place.folder("diskcache-")?;
        Ok(Self { process: join(python, folder.path())?, folder })
    }

    /// Opens the same cache in another process.
    ///
    /// # Errors
    /// Where Python can't.
    pub(crate) fn join(&self, python: &Path) -> Result<Talk, Fault> {
        join(python, self.folder.path())
    }

    /// Adds this many entries.
    ///
    /// # Errors
    /// Where it fails.
    pub(crate) fn fill(&mut self, entries: u64) -> Result<(), Fault> {
        self.process.ask(&json!({ "do": "fill", "entries": entries, "size": VALUE })).map(drop)
    }

    /// Measures what it calls `verb`: `get`, `set` or `open`.
    ///
    /// # Errors
    /// Where it fails.
    pub(crate) fn measure(&mut self, verb: &str, entries: u64, ops: u64) -> Result<Times, Fault> {
        let request = json!({ "do": verb, "entries": entries, "ops": ops, "size": VALUE });
        Ok(times(&self.process.ask(&request)?, verb))
    }

    /// Measures the addition of a large value, from a file or from memory.
    ///
    /// # Errors
    /// Where it fails.
    pub(crate) fn add_large(&mut self, way: &str, path: &Path) -> Result<Times, Fault> {
        let answer: Value = self.process.ask(&json!({ "do": "add", "way": way, "path": path }))?;
        Ok(times(&answer, "add"))
    }
}

fn join(python: &Path, folder: &Path) -> Result<Talk, Fault> {
    let mut command = Command::new(python);
    command.arg(SCRIPT).arg(folder);
    let mut process = Talk::start(command)?;
    process.hear()?;
    Ok(process)
}
