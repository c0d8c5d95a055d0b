//! Processes that are not children, or no longer: watched by descriptor, so that none is mistaken for another.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What a process has done so far; where two of these are equal, it did nothing in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Its threads.
    pub threads: u64,
    /// How often one of them that live was given the processor.
    pub switches: u64,
    /// How long it used the processor, in the system's ticks.
    pub ticks: u64,
}

/// What a process has at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Its open files, sockets and the like.
    pub descriptors: usize,
    /// Its threads.
    pub threads: u64,
    /// The memory that it has in use, in bytes, without that of files.
    pub memory: u64,
}

/// A process that is watched.
#[derive(Debug)]
pub struct Watched {
    pid: u32,
    descriptor: OwnedFd,
}

impl Watched {
    /// Begins to watch a process; `None` where there is none.
    ///
    /// # Panics
    /// Where the system can't.
    #[must_use]
    pub fn begin(pid: u32) -> Option<Self> {
        let number = Pid::from_raw(pid.try_into().unwrap())?;
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(descriptor) => Some(Self { pid, descriptor }),
            Err(Errno::SRCH) => None,
            Err(error) => panic!("process {pid} can't be watched: {error}"),
        }
    }

    /// Returns its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal, unless it has ended.
    ///
    /// # Panics
    /// Where the system refuses.
    pub fn signal(&self, signal: Signal) {
        match pidfd_send_signal(&self.descriptor, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => panic!("process {} can't be sent {signal:?}: {error}", self.pid),
        }
    }

    /// Waits for its end; tells whether it came `within` that time.
    ///
    /// # Panics
    /// Where the system can't wait.
    #[must_use]
    pub fn ends(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut descriptors = [PollFd::new(&self.descriptor, PollFlags::IN)];
            match poll(&mut descriptors, Some(&Timespec::try_from(left).unwrap())) {
                Ok(ready) => return ready > 0,
                Err(Errno::INTR) => {}
                Err(error) => panic!("process {} can't be waited for: {error}", self.pid),
            }
        }
    }

    /// Ends it at once, and waits until it has ended.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        assert!(self.ends(crate::wait::PATIENCE), "process {} outlives SIGKILL", self.pid);
    }

    /// Returns the most memory that it ever had at a time, in bytes.
    ///
    /// # Panics
    /// Where it has ended.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:") * 1024
    }

    /// Returns what it has at the moment.
    ///
    /// # Panics
    /// Where it has ended.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap().count();
        Holdings { descriptors, threads: self.status("Threads:"), memory: self.status("RssAnon:") * 1024 }
    }

    /// Returns a number that the system tells of it.
    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let told = status.lines().find_map(|line| line.strip_prefix(name)).expect("the system tells it of the living");
        told.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Returns what it has done so far.
    ///
    /// # Panics
    /// Where it has ended.
    #[must_use]
    pub fn activity(&self) -> Activity {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        // A thread may end between the look at the folder and the look at the thread.
        let tasks = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
        let switches =
            tasks.map(|status| sum_of(&status, &["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]));
        let (threads, switches) = switches.fold((0, 0), |(threads, sum), more| (threads + 1, sum + more));
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        // The program's name, which may hold anything, ends with the last parenthesis; then come state and numbers.
        let numbers = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = numbers.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Activity { threads, switches, ticks }
    }
}

/// Adds up a file's numbers that follow one of these names, each on a line of its own.
fn sum_of(file: &str, names: &[&str]) -> u64 {
    let number = |line: &str| line.rsplit(char::is_whitespace).next()?.parse::<u64>().ok();
    file.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).filter_map(number).sum()
}

/// Returns the processes that were started with the variable `name` set to `value`.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn started_with(name: &str, value: &OsStr) -> Vec<Watched> {
    let entry = [name.as_bytes(), b"=", value.as_bytes()].concat();
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok());
    // Watched before the look, so that what is looked at is what is watched.
    let watched = processes.filter_map(Watched::begin);
    watched.filter(|process| has_entry(process.pid, &entry)).collect()
}

/// A process that has ended, or is another user's, shows nothing.
fn has_entry(pid: u32, entry: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|found| found == entry)
}
