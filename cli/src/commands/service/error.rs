//! Why the units could not be installed, removed or looked at.

use std::io;
use std::path::PathBuf;

/// Why the units could not be installed, removed or looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// A store was named, and the units are for the default one.
    #[error(
        "the service is for the default store; leave --dir and --socket out, and run `datacache daemon` for others"
    )]
    OwnStore,
    /// `systemctl` can't be run.
    #[error("can't run `systemctl`, which the service needs; without systemd, clients start the daemon by themselves")]
    NoSystemctl {
        /// Why not.
        source: io::Error,
    },
    /// There is no systemd for this user.
    #[error(
        "no systemd user manager can be reached ({said}); log in with a session of your own, or see `loginctl enable-linger`"
    )]
    NoManager {
        /// What `systemctl` said.
        said: String,
    },
    /// `systemctl` did not do what it was told.
    #[error("`systemctl --user {arguments}` failed: {said}")]
    Systemctl {
        /// What it was told.
        arguments: String,
        /// What it said.
        said: String,
    },
    /// The user has no home folder.
    #[error("no home folder: set HOME or XDG_CONFIG_HOME")]
    NoHome,
    /// The path of this program can't be told.
    #[error("can't tell the path of this program; run it by its full path")]
    NoProgram {
        /// Why not.
        source: io::Error,
    },
    /// The path of this program can't be written into a unit.
    #[error("the path of this program, {}, is not UTF-8; install it elsewhere", .path.display())]
    ProgramNotText {
        /// The path.
        path: PathBuf,
    },
    /// systemd runs no program of such a name, however it is quoted.
    #[error("the path of this program, `{}`, has a quote or a backslash, which systemd refuses; install it elsewhere", .path.display())]
    ProgramRefused {
        /// The path.
        path: PathBuf,
    },
    /// A unit can't be written.
    #[error("can't write the unit `{}`", .path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A unit can't be removed.
    #[error("can't remove the unit `{}`", .path.display())]
    Remove {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl ServiceError {
    /// Tells whether the command was used wrongly, rather than refused by the system.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::OwnStore)
    }
}
