//! A client that is a process of its own, told what to do line by line: it can be killed, it can fork, and its memory can
//! be measured.
//!
//! The program is `client-process`; a request is a JSON array of text, an answer an object with `done` or `failed`.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::Value;

use crate::process::Watched;
use crate::wait::PATIENCE;

/// A client's process. Dropping it ends it at once.
#[derive(Debug)]
pub struct Client {
    child: Child,
    watched: Watched,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// Starts a program that answers requests.
    ///
    /// # Panics
    /// Where it can't be run.
    #[must_use]
    pub fn start(mut program: Command) -> Self {
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let watched = Watched::begin(child.id()).expect("it was not waited for yet");
        Self { child, watched, requests, answers }
    }

    /// Asks for something, and returns what came of it.
    ///
    /// # Panics
    /// Where it failed.
    #[track_caller]
    pub fn ask(&mut self, request: &[&str]) -> Value {
        self.tell(request);
        self.answer()
    }

    /// Asks for something that is to fail, and returns the message.
    ///
    /// # Panics
    /// Where it did not fail.
    #[track_caller]
    pub fn ask_in_vain(&mut self, request: &[&str]) -> String {
        self.tell(request);
        let answer = self.read();
        let failed = answer["failed"].as_str();
        failed.unwrap_or_else(|| panic!("{request:?} did not fail: {answer}")).to_owned()
    }

    /// Asks for something without waiting for the answer.
    ///
    /// # Panics
    /// Where the process has ended.
    #[track_caller]
    pub fn tell(&mut self, request: &[&str]) {
        let requests = self.requests.as_mut().expect("it is closed only in the end");
        writeln!(requests, "{}", Value::from(request)).unwrap();
    }

    /// Waits for the answer to the oldest request that has none.
    ///
    /// # Panics
    /// Where it failed.
    #[track_caller]
    pub fn answer(&mut self) -> Value {
        let mut answer = self.read();
        assert!(answer.get("failed").is_none(), "{}", answer["failed"]);
        answer["done"].take()
    }

    /// Asks for something, and returns what came of it: also a failure, or the end of the process.
    ///
    /// # Errors
    /// What failed, or how the process ended.
    ///
    /// # Panics
    /// Where it neither answers nor ends.
    pub fn try_ask(&mut self, request: &[&str]) -> Result<Value, AskError> {
        let requests = self.requests.as_mut().expect("it is closed only in the end");
        let mut line = String::new();
        let asked = writeln!(requests, "{}", Value::from(request)).and_then(|()| self.answers.read_line(&mut line));
        let answer = asked.ok().and_then(|_| serde_json::from_str::<Value>(&line).ok());
        let Some(mut answer) = answer else {
            assert!(self.watched.ends(PATIENCE), "the client's process gives no answer: {line:?}");
            return Err(AskError::Ended(self.child.wait().unwrap()));
        };
        match answer["failed"].as_str() {
            Some(failed) => Err(AskError::Failed(failed.to_owned())),
            None => Ok(answer["done"].take()),
        }
    }

    #[track_caller]
    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the client's process gives no answer: {line:?}"))
    }

    /// Returns the process.
    #[must_use]
    pub fn process(&self) -> &Watched {
        &self.watched
    }

    /// Has it end in good order, and returns how it did.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn end(mut self) -> ExitStatus {
        self.requests = None;
        assert!(self.watched.ends(PATIENCE), "the client's process does not end");
        self.child.wait().unwrap()
    }

    /// Ends it with SIGKILL, and waits until it has ended.
    pub fn kill(self) {
        drop(self);
    }
}

/// Why something that was asked for was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// It failed.
    Failed(String),
    /// The process ended over it.
    Ended(ExitStatus),
}

impl AskError {
    /// Tells whether a signal ended the process.
    #[must_use]
    pub fn is_by_signal(&self) -> bool {
        matches!(self, Self::Ended(status) if status.signal().is_some())
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failed) => f.write_str(failed),
            Self::Ended(status) => write!(f, "the client's process ended with {status}"),
        }
    }
}

impl From<AskError> for String {
    fn from(error: AskError) -> Self {
        error.to_string()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.watched.kill();
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each was taken for the end of a process that had died of what it read.
    #[test]
    fn a_process_that_a_signal_ended_is_told_from_one_that_failed() {
        let asked = |script: &str| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &format!("read request; {script}")]);
            Client::start(shell).try_ask(&["anything"]).unwrap_err()
        };
        assert!(asked("kill -BUS $$").is_by_signal());
        assert!(!asked("exit 101").is_by_signal());
        assert_eq!(asked(r#"echo '{"failed": "no such key"}'"#), AskError::Failed("no such key".into()));
    }
}
