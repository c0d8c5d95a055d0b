//! A home of its own for each test: no test sees the user's cache, configuration or systemd.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A home folder that is removed in the end.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file below the home, and returns its path.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Returns the command with an environment that leads nowhere but here.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datacache"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_RUNTIME_DIR", self.path().join("run"))
            .env("PATH", self.path().join("bin"))
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended(self.command(arguments).output().unwrap())
    }

    pub(crate) fn run_with_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Ended {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        Ended(child.wait_with_output().unwrap())
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended(Output);

impl Ended {
    pub(crate) fn status(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    pub(crate) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.0.stdout).unwrap()
    }

    pub(crate) fn stderr(&self) -> &str {
        std::str::from_utf8(&self.0.stderr).unwrap()
    }

    /// Checks that it failed as an error should: the status, nothing on stdout, one line on stderr; returns that line.
    #[track_caller]
    pub(crate) fn error(&self, status: i32) -> &str {
        assert_eq!((self.status(), self.stdout()), (status, ""), "{}", self.stderr());
        let line = self.stderr().strip_suffix('\n').unwrap();
        assert!(line.starts_with("datacache: ") && !line.contains('\n'), "{line:?}");
        line
    }

    /// Checks that all went well without a word on stderr; returns what was printed.
    #[track_caller]
    pub(crate) fn printed(&self) -> &str {
        assert_eq!((self.status(), self.stderr()), (0, ""), "{}", self.stdout());
        self.stdout()
    }
}
