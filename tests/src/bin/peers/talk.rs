//! A process that is told what to do line by line, in JSON, and answers so.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::times::Times;
use crate::{Fault, stop};

/// Such a process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Talk {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Talk {
    /// Starts it.
    ///
    /// # Errors
    /// Where the system can't.
    pub(crate) fn start(mut command: Command) -> Result<Self, Fault> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Ok(Self { child, requests, answers })
    }

    /// Asks for something without waiting for the answer.
    ///
    /// # Errors
    /// Where the process has ended.
    pub(crate) fn tell(&mut self, request: &Value) -> Result<(), Fault> {
        Ok(writeln!(self.requests, "{request}")?)
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Where the process has ended, or failed.
    pub(crate) fn hear(&mut self) -> Result<Value, Fault> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        // `^C` has ended the process before we have looked at it.
        stop::check()?;
        let answer: Value = serde_json::from_str(&line).map_err(|_| format!("a process answers {line:?}"))?;
        match answer["failed"].as_str() {
            Some(why) => Err(why.into()),
            None => Ok(answer),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Where the process has ended, or failed.
    pub(crate) fn ask(&mut self, request: &Value) -> Result<Value, Fault> {
        self.tell(request)?;
        self.hear()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("peers: a process can't be ended: {error}");
        }
    }
}

/// Returns the times that an answer has under a name.
pub(crate) fn times(answer: &Value, name: &str) -> Times {
    let mut times = Times::default();
    times.extend(answer["ns"][name].as_array().into_iter().flatten().filter_map(Value::as_u64));
    times
}
