//! What the daemon tells its service manager, in the protocol of `sd_notify(3)`. Without a manager all of it is silence.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use sd_notify::NotifyState;

/// How long a step that takes its time asks for, each time anew.
const EXTENSION: Duration = Duration::from_secs(30);
/// How often it asks.
const EXTEND_EVERY: Duration = Duration::from_secs(5);

/// Tells that clients are served now.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells that the configuration is being read again; [`ready`] tells the end of that.
pub(crate) fn reloading() {
    // From systemd 253 on a reload without the time fails, so without it nothing is said at all.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the clock can't be read, the service manager is not told of the reload"),
    }
}

/// Tells that the daemon has begun to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Tells that the daemon is alive.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Returns how often [`alive`] has to be told: half of what the manager waits; `None` where it does not wait.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|interval| !interval.is_zero())
}

/// Does `step`, which blocks for as long as it takes, and asks the manager for patience meanwhile.
pub(crate) fn patiently<T>(status: &str, step: impl FnOnce() -> T) -> T {
    let extension = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
    let ask = [NotifyState::Status(status), NotifyState::ExtendTimeoutUsec(extension), NotifyState::Watchdog];
    let (done, is_done) = channel::<()>();
    std::thread::scope(|scope| {
        let asking = std::thread::Builder::new().name("patience".into()).spawn_scoped(scope, move || {
            while is_done.recv_timeout(EXTEND_EVERY) == Err(RecvTimeoutError::Timeout) {
                tell(&ask);
            }
        });
        if let Err(error) = asking {
            tracing::debug!(%error, "no thread to ask the service manager for patience");
        }
        let result = step();
        drop(done);
        result
    })
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager can't be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    /// Runs the test of that name in a process of its own, with a manager that listens; returns what it was told.
    fn told_by(name: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("notify::tests::{name}"), "--test-threads=1"])
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env("WATCHDOG_USEC", "3000000")
            .env_remove("WATCHDOG_PID")
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        manager.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4_096];
        let mut told = Vec::new();
        while let Ok(length) = manager.recv(&mut buffer) {
            told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        told
    }

    fn has_manager() -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some() && sd_notify::watchdog_enabled() == Some(Duration::from_secs(3))
    }

    #[test]
    fn a_reload_is_told_with_the_time_and_its_end() {
        if has_manager() {
            reloading();
            return ready("serving");
        }
        let told = told_by("a_reload_is_told_with_the_time_and_its_end");
        let [reload, end] = &told[..] else { panic!("{told:?}") };
        assert!(reload.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reload}");
        assert_eq!(end, "READY=1\nSTATUS=serving\n");
    }

    #[test]
    fn the_watchdog_is_fed_at_half_its_limit() {
        if has_manager() {
            assert_eq!(watchdog_interval(), Some(Duration::from_millis(1_500)));
            return alive();
        }
        assert_eq!(told_by("the_watchdog_is_fed_at_half_its_limit"), ["WATCHDOG=1\n"]);
    }

    #[test]
    fn the_end_is_told() {
        if has_manager() {
            return stopping();
        }
        assert_eq!(told_by("the_end_is_told"), ["STOPPING=1\nSTATUS=stopping\n"]);
    }

    #[test]
    fn a_patient_step_gives_its_result() {
        assert_eq!(patiently("recovering", || 7), 7);
    }
}
