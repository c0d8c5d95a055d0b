//! `daemon --detached`: what a client starts lives on its own.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, getsid};

use crate::home::Home;

/// A daemon that is killed in the end.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Starts a daemon that inherits the writing end of a pipe; returns the reading end, too.
fn started_with_a_pipe(home: &Home) -> (Daemon, OwnedFd) {
    // Unlike the standard library's, this pipe is inherited by whatever is started.
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let mut command = home.command(&["daemon", "--detached", "--dir", "store"]);
    let daemon = Daemon(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    drop(writer);
    (daemon, reader)
}

/// Waits until nobody holds the writing end any more.
fn is_closed(reader: &OwnedFd) -> bool {
    let deadline = Timespec { tv_sec: 30, tv_nsec: 0 };
    let mut polled = [PollFd::new(reader, PollFlags::empty())];
    poll(&mut polled, Some(&deadline)).unwrap();
    polled[0].revents().contains(PollFlags::HUP)
}

#[test]
fn a_detached_daemon_keeps_neither_descriptors_nor_session_nor_folder() {
    let home = Home::new();
    let (mut daemon, reader) = started_with_a_pipe(&home);
    assert!(is_closed(&reader), "the daemon still holds what it inherited");
    assert!(daemon.0.try_wait().unwrap().is_none(), "the daemon ended");
    let pid = Pid::from_child(&daemon.0);
    assert_eq!(getsid(Some(pid)).unwrap(), pid);
    let folder = fs::read_link(format!("/proc/{}/cwd", daemon.0.id())).unwrap();
    assert_eq!(folder, Path::new("/"));
}
