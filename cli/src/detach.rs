//! Leaving the process that started us behind: its session, its folder, its descriptors.

use std::io;

use crate::failure::Failure;

/// The first descriptor that systemd hands over; those before are the standard ones.
const FIRST: u32 = 3;

/// Leaves session, folder and descriptors of whoever started this process.
///
/// Has to come before anything opens a descriptor. Those that systemd handed over stay.
///
/// # Errors
/// Where the system refuses.
pub(crate) fn detach() -> Result<(), Failure> {
    // Whoever leads a session already needs no new one, which is the only reason to be refused.
    rustix::process::setsid().map(drop).unwrap_or_default();
    rustix::process::chdir("/").map_err(|error| Failure::System { what: "go to `/`", source: error.into() })?;
    let first = FIRST.saturating_add(handed_over(|name| std::env::var(name).ok(), std::process::id()));
    close_from(first).map_err(|source| Failure::System { what: "close inherited descriptors", source })
}

/// Returns how many descriptors systemd handed to this process.
fn handed_over(variable: impl Fn(&str) -> Option<String>, me: u32) -> u32 {
    let number = |name| variable(name).and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") == Some(me) { number("LISTEN_FDS").unwrap_or_default() } else { 0 }
}

#[expect(unsafe_code, reason = "no safe crate closes descriptors that nobody owns")]
fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: closing a descriptor is unsound where somebody owns it. This runs while the command line has been read and
    // nothing else: no thread was started, and nothing of ours is open above the standard descriptors, so what is there
    // was inherited and has no owner in this process.
    match unsafe { libc::close_range(first, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(pid: &str, fds: &str) -> u32 {
        let variable = |name: &str| Some(if name == "LISTEN_PID" { pid } else { fds }.to_owned());
        handed_over(variable, 42)
    }

    #[test]
    fn only_descriptors_that_were_meant_for_this_process_are_kept() {
        assert_eq!(counted("42", "2"), 2);
        assert_eq!(counted("41", "2"), 0);
        assert_eq!(counted("42", "many"), 0);
        assert_eq!(handed_over(|_| None, 42), 0);
    }
}
