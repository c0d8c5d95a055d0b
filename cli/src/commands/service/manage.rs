//! `service install`, `uninstall` and `status`: all of it or nothing.

use clap::Subcommand;

use super::error::ServiceError;
use super::systemctl::Systemctl;
use super::units::{SERVICE, SOCKET, Units, Written};
use crate::commands::control;
use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::output::{Output, print};
use crate::render::table::aligned;

/// What can be done with the units.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Write the units, and let systemd listen at the socket from now on; a daemon that runs by itself is stopped
    Install,
    /// Stop the daemon and the socket, and remove the units
    Uninstall,
    /// Tell whether the units are active and enabled; exit with 1 if systemd does not listen at the socket
    Status,
}

pub(crate) fn service(command: &ServiceCommand, context: &Context) -> Result<Answer, Failure> {
    if context.global.dir.is_some() || context.global.socket.is_some() {
        return Err(ServiceError::OwnStore.into());
    }
    let systemctl = Systemctl::reach()?;
    match command {
        ServiceCommand::Install => install(&systemctl, context),
        ServiceCommand::Uninstall => uninstall(&systemctl, context),
        ServiceCommand::Status => status(&systemctl),
    }
}

/// Installs all or nothing: a failure brings back what was there before.
fn install(systemctl: &Systemctl, context: &Context) -> Result<Answer, Failure> {
    let units = Units::for_this_program()?;
    let written = units.write()?;
    if let Err(failure) = activate(systemctl, context) {
        roll_back(systemctl, written);
        return Err(failure);
    }
    let mut output = Output::new();
    units.paths().iter().try_for_each(|path| output.path(path))?;
    output.finish()?;
    Ok(Answer::Yes)
}

fn activate(systemctl: &Systemctl, context: &Context) -> Result<(), Failure> {
    systemctl.run(&["daemon-reload"])?;
    // Otherwise it would go on holding the store's lock behind a socket that nobody finds any more.
    if context.paths()?.is_default
        && let Some(pid) = control::stop_running(context)?
    {
        context.remark(&format!("stopped the daemon that was running (process {pid}); systemd starts the next one"));
    }
    Ok(systemctl.run(&["enable", "--now", SOCKET])?)
}

/// The failure that is told is the one that came first; what goes wrong here is left to the log.
fn roll_back(systemctl: &Systemctl, written: Written) {
    let disabled = if written.replaced_any() { Ok(()) } else { systemctl.run(&["disable", "--now", SOCKET]) };
    written.undo();
    let reloaded = systemctl.run(&["daemon-reload"]);
    for error in [disabled, reloaded].into_iter().filter_map(Result::err) {
        tracing::warn!(%error, "the units were taken back, systemd may still know them");
    }
}

fn uninstall(systemctl: &Systemctl, context: &Context) -> Result<Answer, Failure> {
    let units = Units::for_this_program()?;
    if !units.any_installed() {
        context.remark("the service is not installed");
        return Ok(Answer::No);
    }
    systemctl.run(&["disable", "--now", SOCKET])?;
    systemctl.run(&["stop", SERVICE])?;
    let removed = units.remove()?;
    systemctl.run(&["daemon-reload"])?;
    let mut output = Output::new();
    removed.iter().try_for_each(|path| output.path(path))?;
    output.finish()?;
    Ok(Answer::Yes)
}

fn status(systemctl: &Systemctl) -> Result<Answer, Failure> {
    let mut rows = Vec::new();
    for unit in [SOCKET, SERVICE] {
        rows.push([unit.to_owned(), systemctl.ask("is-active", unit)?, systemctl.ask("is-enabled", unit)?]);
    }
    print(&aligned(&rows))?;
    Ok(Answer::of(rows[0][1] == "active"))
}
