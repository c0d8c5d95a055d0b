//! The unit files as files: systemd understands every line of them. This takes no manager.

use std::fs;
use std::process::Command;

use libtest_mimic::{Completion, Failed, Trial};

use crate::confinement::SERVICE_TEXT;
use crate::session::{SERVICE, SOCKET};

const SOCKET_TEXT: &str = include_str!("../../systemd/datacache.socket");

/// Lists the tests of this module.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::ignorable_test("the_units_are_verified_without_a_word", the_units_are_verified_without_a_word),
        Trial::ignorable_test("a_unit_with_a_mistake_is_not_verified", a_unit_with_a_mistake_is_not_verified),
    ]
}

fn the_units_are_verified_without_a_word() -> Result<Completion, Failed> {
    verified(SERVICE_TEXT, |code, said| code == Some(0) && said.is_empty())
}

/// `systemd-analyze` ends with 0 for an unknown directive, so its silence is what counts.
fn a_unit_with_a_mistake_is_not_verified() -> Result<Completion, Failed> {
    let mistaken = SERVICE_TEXT.replace("WatchdogSec=", "WatchDogSec=");
    verified(&mistaken, |_, said| said.contains("WatchDogSec"))
}

/// Has systemd judge the units, and checks its exit status and its words.
fn verified(service: &str, is_expected: impl Fn(Option<i32>, &str) -> bool) -> Result<Completion, Failed> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let units = [(SOCKET, SOCKET_TEXT.to_owned()), (SERVICE, service.replace("@DATACACHE@", "/bin/true"))];
    let mut command = Command::new("systemd-analyze");
    command.args(["--user", "verify"]).env("XDG_RUNTIME_DIR", folder.path()).env("HOME", folder.path());
    for (name, text) in units {
        fs::write(folder.path().join(name), text).map_err(|error| error.to_string())?;
        command.arg(folder.path().join(name));
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Ok(Completion::ignored_with(format!("systemd-analyze can't be run: {error}"))),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if is_expected(output.status.code(), &said) {
        return Ok(Completion::Completed);
    }
    Err(format!("{}: {said}", output.status).into())
}
