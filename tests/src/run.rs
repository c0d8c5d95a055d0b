//! The command `datacache`, run to its end.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::process::Watched;

/// How long a command may take before it counts as hanging.
const HANGS_AFTER: Duration = Duration::from_secs(170);

/// A command that is about to be run.
#[derive(Debug)]
pub struct Run {
    command: Command,
    input: Vec<u8>,
}

impl Run {
    /// Takes a command; its standard input is empty unless [`Run::input`] says otherwise.
    #[must_use]
    pub fn new(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, input: Vec::new() }
    }

    /// Sets what it reads from standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets the folder that it works in.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Starts it, with pipes for its input and output that are the caller's business.
    ///
    /// # Panics
    /// Where it can't be run.
    #[must_use]
    pub fn spawn(mut self) -> Child {
        self.command.spawn().unwrap()
    }

    /// Runs it.
    ///
    /// # Panics
    /// Where it can't be run, or hangs.
    #[must_use]
    pub fn outcome(mut self) -> Outcome {
        let mut child = self.command.spawn().unwrap();
        let (mut stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let watched = Watched::begin(child.id()).expect("it was not waited for yet");
        let (stdout, stderr) = thread::scope(|scope| {
            // A command that does not want all of it closes its end.
            scope.spawn(|| stdin.take().map(|mut pipe| pipe.write_all(&self.input).ok()));
            let stdout = scope.spawn(|| drain(stdout.as_mut()));
            let stderr = scope.spawn(|| drain(stderr.as_mut()));
            if !watched.ends(HANGS_AFTER) {
                watched.kill();
            }
            (stdout.join().unwrap(), stderr.join().unwrap())
        });
        let status = child.wait().unwrap();
        let arguments = self.command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        Outcome { arguments, status, stdout, stderr: String::from_utf8(stderr).unwrap() }
    }
}

fn drain(pipe: Option<&mut impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.map(|pipe| pipe.read_to_end(&mut bytes).unwrap());
    bytes
}

/// A command that has ended.
pub struct Outcome {
    arguments: Vec<String>,
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: String,
}

impl Outcome {
    /// Returns its exit status.
    ///
    /// # Panics
    /// Where a signal ended it.
    #[must_use]
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("a signal ended it: {self:?}"))
    }

    /// Returns how it ended.
    #[must_use]
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// Returns what it printed, once it is clear that it ended with 0.
    ///
    /// # Panics
    /// Where it did not.
    #[track_caller]
    pub fn bytes(self) -> Vec<u8> {
        assert_eq!(self.code(), 0, "{self:?}");
        self.stdout
    }

    /// The same as text, without the last end of a line.
    ///
    /// # Panics
    /// Where it failed, or printed anything else than text.
    #[track_caller]
    pub fn text(self) -> String {
        let text = String::from_utf8(self.bytes()).unwrap();
        text.strip_suffix('\n').map_or_else(|| text.clone(), str::to_owned)
    }

    /// The same as JSON.
    ///
    /// # Panics
    /// Where it failed, or printed anything else than JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The same as a number.
    ///
    /// # Panics
    /// Where it failed, or printed anything else than a number.
    #[track_caller]
    pub fn number(self) -> u64 {
        self.text().parse().unwrap()
    }

    /// Returns what it printed on standard output, however it ended.
    #[must_use]
    pub fn printed(&self) -> &[u8] {
        &self.stdout
    }

    /// Returns what it wrote to standard error.
    #[must_use]
    pub fn told(&self) -> &str {
        &self.stderr
    }

    /// Returns its one line on standard error, once it is clear that it ended with `code` and printed nothing.
    ///
    /// # Panics
    /// Where it is otherwise.
    #[track_caller]
    pub fn error(&self, code: i32) -> &str {
        assert_eq!(self.code(), code, "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        let line = self.stderr.strip_prefix("datacache: ").and_then(|line| line.strip_suffix('\n'));
        let line = line.filter(|line| !line.contains('\n'));
        line.unwrap_or_else(|| panic!("not one line of ours on standard error: {self:?}"))
    }
}

impl fmt::Debug for Outcome {
    /// Tells what was run and what came of it, as far as it is text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arguments, status, stdout, stderr } = self;
        let stdout = String::from_utf8_lossy(&stdout[..stdout.len().min(4_096)]);
        write!(f, "datacache {arguments:?} ended with {status}, printed {stdout:?}, told {stderr:?}")
    }
}
