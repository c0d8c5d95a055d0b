//! A user manager of systemd for each test, in namespaces of its own, and this program in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use datacache_tests::program::program;
use tempfile::TempDir;

/// Starts a manager, runs a command in it as its user, and takes all of it down again.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/with-user-systemd.sh");
/// How it ends where no manager can be had.
const NO_MANAGER: i32 = 77;
/// How long a test may take until it counts as hanging, and how long it has to clean up then; as `timeout` reads it.
const HANGS_AFTER: &str = "180";
const KILLED_AFTER: &str = "--kill-after=20";

/// Where managers can be had.
pub(crate) struct Manager {
    /// Made by the first test that runs.
    programs: OnceLock<Programs>,
}

/// Copies of the programs, where a user without rights can run them.
struct Programs(TempDir);

impl Manager {
    /// Tries whether a manager can be had.
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn reach() -> Result<Self, String> {
        let output = within(&[Path::new("true")]).map_err(|error| format!("{SCRIPT} can't be run: {error}"))?;
        if output.status.success() {
            return Ok(Self { programs: OnceLock::new() });
        }
        Err(told(&output))
    }

    /// Runs this program with `arguments` under a new manager.
    ///
    /// # Errors
    /// What it told, where it failed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let programs = self.programs.get_or_init(Programs::copy);
        let own = programs.path("systemd");
        let command: Vec<&Path> = [own.as_path()].into_iter().chain(arguments.iter().map(Path::new)).collect();
        let output = within(&command).map_err(|error| error.to_string())?;
        match output.status.code() {
            Some(0) => Ok(()),
            Some(NO_MANAGER) => Err(format!("a manager could be had before, but now: {}", told(&output))),
            _ => Err(format!("{}\n{}", output.status, told(&output))),
        }
    }
}

impl Programs {
    fn copy() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let copies = Self(folder);
        let originals = [
            ("systemd", std::env::current_exe().unwrap()),
            ("client-process", PathBuf::from(env!("CARGO_BIN_EXE_client-process"))),
            ("datacache", program().to_owned()),
        ];
        for (name, original) in originals {
            fs::copy(original, copies.path(name)).unwrap();
            fs::set_permissions(copies.path(name), Permissions::from_mode(0o755)).unwrap();
        }
        copies
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Runs a command under a new manager, with nothing of our environment: cargo's would lead it astray.
fn within(command: &[&Path]) -> std::io::Result<Output> {
    let mut timeout = Command::new("timeout");
    timeout.args([KILLED_AFTER, HANGS_AFTER, "bash", SCRIPT, "--"]).args(command).current_dir("/");
    timeout
        .env_clear()
        .envs(["PATH", "TMPDIR", "RUST_BACKTRACE"].iter().filter_map(|&name| Some((name, std::env::var_os(name)?))));
    timeout.env("LC_ALL", "C.UTF-8").output()
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat().trim().to_owned()
}
