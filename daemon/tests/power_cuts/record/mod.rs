//! The recorder: runs a process and writes down, in order and with its thread, all that it does to the files below a folder.
//!
//! The seam is the system call, by `ptrace`: LMDB makes its own, and most of ours pass the C library by. Every call stops the
//! process, also those that are of no interest; a filter (seccomp) would spare us those, but a workload has some ten
//! thousand calls, which is a second.
//!
//! Calls that matter are let in one at a time, so that their order is the one they have in the record, whichever threads
//! they come from. But a sync takes effect when it begins, and is held back until the other threads have got on a little: what
//! is written during a sync is not synced.
//!
//! What is stored to shared maps is seen when it is `msync`ed, and is lost otherwise; which of the store's files are mapped
//! so is checked: those alone that nobody believes after another boot.
//!
//! | file | what it knows |
//! | --- | --- |
//! | [`event`] | what a record says |
//! | [`tracer`] | the process: its threads, when they stop, who may go on |
//! | [`observer`] | what a call does |
//! | [`call`] | which calls there are, and what their arguments mean |
//! | [`files`] | names, descriptors and maps of the process, as they are at the moment |
//! | [`memory`], [`registers`] | where arguments and results are |

mod call;
pub(crate) mod event;
mod files;
mod memory;
mod observer;
mod registers;
mod tracer;

use std::process::Command;

pub(crate) use event::{Action, Change, Event, Kind, Mark, Node, Place, Thread};
pub(crate) use observer::MAPPED;
pub(crate) use tracer::record;

/// Says something in the record. A call of its own that writes nothing anywhere.
pub(crate) fn say(mark: &Mark) {
    let bytes = postcard::to_stdvec(mark).expect("marks are plain data");
    rustix::io::write(std::io::stdout(), &bytes).expect("the recorder gives its process a standard output");
}

/// Puts the process at the disposal of the one that started it.
pub(crate) fn submit() {
    nix::sys::ptrace::traceme().expect("whoever started this process may watch it");
    nix::sys::signal::raise(nix::sys::signal::SIGSTOP).expect("a process may stop itself");
}

/// Says why no process can be watched here, if that is so; `command` only submits.
pub(crate) fn refusal(command: &mut Command) -> Option<String> {
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// Tells whether a process may be watched, as that process.
pub(crate) fn try_to_submit() -> nix::Result<()> {
    nix::sys::ptrace::traceme()
}

/// Says what was done, without its bytes.
pub(crate) fn describe(event: &Event) -> String {
    let Event { thread, action } = event;
    match action {
        Action::Write { file, at, bytes, through } => {
            format!("{thread:?}: Write {file:?} {} at {at}{}", bytes.len(), if *through { ", through" } else { "" })
        }
        Action::Said(Mark::Opened(held)) => format!("{thread:?}: Opened with {} entries", held.len()),
        action => format!("{thread:?}: {action:?}"),
    }
}
