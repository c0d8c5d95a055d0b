//! Who a process is, so that it can't be mistaken for a later one with the same number.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// A process of this machine: its number means something only together with the boot and its time of start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Process {
    /// The kernel's random id of the running boot.
    pub boot: u128,
    /// The process's number, as its own pid namespace counts.
    pub pid: u32,
    /// When it started, in clock ticks since the boot.
    pub start: u64,
}

impl Process {
    /// Returns the calling process.
    ///
    /// # Errors
    /// Where the system does not tell (no `/proc`).
    pub fn current() -> io::Result<Self> {
        let pid = std::process::id();
        Ok(Self { boot: boot_id()?, pid, start: start_of(pid)?.unwrap_or_default() })
    }

    /// Tells whether this very process is still running.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn is_alive(&self) -> io::Result<bool> {
        Ok(boot_id()? == self.boot && start_of(self.pid)? == Some(self.start))
    }
}

/// Tells whether the process `pid` is stopped, as by SIGSTOP; not where the system does not tell.
#[must_use]
pub fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['T', 't']))
}

/// Returns the kernel's random id of the running boot.
///
/// # Errors
/// Where the system does not tell.
pub fn boot_id() -> io::Result<u128> {
    // No process sees two boots.
    static BOOT: OnceLock<u128> = OnceLock::new();
    if let Some(boot) = BOOT.get() {
        return Ok(*boot);
    }
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let boot = u128::from_str_radix(&digits, 16).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(*BOOT.get_or_init(|| boot))
}

/// Returns the number of the namespace that this process's number belongs to; 0 where the system does not tell.
///
/// It is the same for two processes that run at the same time if their numbers may be compared.
#[must_use]
pub fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino())
}

/// Returns when the process `pid` started, in clock ticks since the boot; `None` where no such process runs.
///
/// A zombie counts as not running: it can do nothing any more.
///
/// # Errors
/// Where the system does not tell.
pub fn start_of(pid: u32) -> io::Result<Option<u64>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        // ESRCH: it ended between the opening and the reading.
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(3) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The second field is the program's name in parentheses and may contain anything, so count from its end.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return Ok(None);
    }
    let start = fields.get(19).and_then(|field| field.parse().ok());
    start.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat has no start time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself_and_that_it_lives() {
        let me = Process::current().unwrap();
        assert_eq!(me.pid, std::process::id());
        assert_ne!(me.start, 0);
        assert!(me.is_alive().unwrap());
    }

    #[test]
    fn a_later_process_with_the_same_number_is_another() {
        let me = Process::current().unwrap();
        assert!(!Process { start: me.start + 1, ..me }.is_alive().unwrap());
        assert!(!Process { boot: me.boot ^ 1, ..me }.is_alive().unwrap());
    }

    #[test]
    fn a_child_shares_the_namespace_of_processes() {
        let output = std::process::Command::new("stat").args(["-L", "-c", "%i", "/proc/self/ns/pid"]).output().unwrap();
        let of_child = String::from_utf8(output.stdout).unwrap();
        assert_eq!(of_child.trim().parse(), Ok(pid_namespace()));
    }

    #[test]
    fn a_dead_child_does_not_live_even_before_it_is_waited_for() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        while start_of(pid).unwrap().is_some() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(start_of(pid).unwrap(), None);
    }
}
