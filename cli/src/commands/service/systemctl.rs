//! The user's systemd, spoken to through `systemctl`.

use std::process::{Command, Output, Stdio};

use super::error::ServiceError;

/// A user manager that answers.
pub(super) struct Systemctl(());

impl Systemctl {
    /// Checks that there is a user manager.
    ///
    /// # Errors
    /// [`ServiceError::NoSystemctl`] or [`ServiceError::NoManager`].
    pub(super) fn reach() -> Result<Self, ServiceError> {
        let output = call(&["show", "--property=Version"])?;
        if output.status.success() {
            return Ok(Self(()));
        }
        Err(ServiceError::NoManager { said: said(&output) })
    }

    /// Tells systemd to do something.
    ///
    /// # Errors
    /// [`ServiceError::Systemctl`] with what it said.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<(), ServiceError> {
        let output = call(arguments)?;
        if output.status.success() {
            return Ok(());
        }
        Err(ServiceError::Systemctl { arguments: arguments.join(" "), said: said(&output) })
    }

    /// Asks for the state of a unit. That systemd answers "no" is an answer too.
    ///
    /// # Errors
    /// [`ServiceError::Systemctl`] where there is no answer.
    pub(super) fn ask(&self, question: &str, unit: &str) -> Result<String, ServiceError> {
        let output = call(&[question, unit])?;
        let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match answer.as_str() {
            // Before version 255 systemd tells only stderr that it knows no such unit file.
            "" if question == "is-enabled" && output.status.code() == Some(1) => Ok("not-found".into()),
            "" if output.status.success() => Ok("unknown".into()),
            "" => Err(ServiceError::Systemctl { arguments: format!("{question} {unit}"), said: said(&output) }),
            _ => Ok(answer),
        }
    }
}

fn call(arguments: &[&str]) -> Result<Output, ServiceError> {
    Command::new("systemctl")
        .arg("--user")
        .args(arguments)
        // Its words are repeated in ours, and "active" is compared with.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ServiceError::NoSystemctl { source })
}

/// Returns the last words on stderr, or how it ended where it said nothing.
fn said(output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr);
    match words.trim() {
        "" => output.status.to_string(),
        words => words.lines().map(str::trim).collect::<Vec<_>>().join("; "),
    }
}
