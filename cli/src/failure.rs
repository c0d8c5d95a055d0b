//! How a command ends: with an answer, or with a failure that has an exit status and one line of text.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use datacache_daemon::StartError;
use datacache_daemon::config::ConfigError;
use datacache_daemon::config::edit::EditError;
use datacache_daemon::store::OpenError;
use datacache_proto::closed::Closed;
use datacache_proto::json::JsonError;
use datacache_proto::key::TagError;
use datacache_proto::paths::PathsError;

use crate::commands::service::ServiceError;
use crate::interrupt::end_by;
use crate::output::say;
use crate::render::line::one_line;
use crate::values::KeySpellingError;

/// The exit status; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    Done = 0,
    No = 1,
    Usage = 2,
    NoDaemon = 3,
    Refused = 4,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// What a command that did its work has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is so, or it is done.
    Yes,
    /// It is not there, nothing went, something was found.
    No,
    /// No daemon runs.
    NotRunning,
}

impl Answer {
    /// Returns [`Answer::Yes`] if `yes`.
    pub(crate) fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    /// Returns the exit status that stands for it.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Yes => Status::Done,
            Self::No => Status::No,
            Self::NotRunning => Status::NoDaemon,
        }
    }
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The cache said no, or was not there.
    #[error(transparent)]
    Cache(#[from] datacache_client::Error),
    /// The daemon did not start, or did not end well.
    #[error(transparent)]
    Daemon(#[from] StartError),
    /// The configuration can't be taken.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting was not changed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A setting was changed, and the daemon does not know.
    #[error("the configuration was changed, but the daemon that runs could not take it over")]
    NotTaken {
        /// Why.
        source: Box<Self>,
    },
    /// The store's places can't be told.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// A key can't be one.
    #[error(transparent)]
    Key(#[from] KeySpellingError),
    /// There are too many tags.
    #[error(transparent)]
    Tags(#[from] TagError),
    /// The service could not be installed or looked at.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The store's folder is closed to this user.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// There is no store in the folder that was named.
    #[error("there is no store at `{}`; look at --dir and DATACACHE_DIR, or make one with `datacache add`", .store.display())]
    NoStore {
        /// The folder.
        store: PathBuf,
    },
    /// No file was named, and stdin is a terminal.
    #[error("nothing to read, stdin is a terminal; name a FILE, pipe something in, or give `-` to type it")]
    NoInput,
    /// There is nothing to show a view on.
    #[error("a view needs a terminal for its input and output; `datacache stats` prints the same numbers anywhere")]
    NoTerminal,
    /// The terminal can't show one.
    #[error(
        "a view needs a terminal that can move its cursor, and TERM is `{term}`; `datacache stats` prints the same numbers"
    )]
    DumbTerminal {
        /// What the environment says of it.
        term: String,
    },
    /// Content can't be read.
    #[error("can't read `{}`", .name.display())]
    Input {
        /// The file, or what stands for it.
        name: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Content was said to be text and is not.
    #[error("`{}` is not UTF-8 from byte {valid_up_to} on; without --text and --json it is taken as bytes", .name.display())]
    NotText {
        /// The file, or what stands for it.
        name: PathBuf,
        /// How many bytes at the beginning are valid.
        valid_up_to: u64,
    },
    /// Content was said to be JSON and is not.
    #[error("`{}` can't be taken for JSON", .name.display())]
    Json {
        /// The file, or what stands for it.
        name: PathBuf,
        /// Where it is not.
        source: JsonError,
    },
    /// A value can't be written where it should go.
    #[error("can't write `{}`", .name.display())]
    Output {
        /// The file, or what stands for it.
        name: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Whoever read our standard output has gone.
    #[error("nobody reads the output any more")]
    ClosedOutput,
    /// The value could not be read to its end, or is not what was stored.
    #[error("can't read the value of `{key}` to its end{}", handed_on(*.is_handed_on))]
    Value {
        /// The entry's key.
        key: String,
        /// Whether what was read until then is out of our hands.
        is_handed_on: bool,
        /// Why.
        source: io::Error,
    },
    /// The user, or the system, wants us to end.
    #[error("interrupted by signal {signal}")]
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
    /// The daemon goes on although it was asked to stop.
    #[error("the daemon (process {pid}) was asked to stop and still runs after {} s; see its log", .waited.as_secs())]
    StillRuns {
        /// Its process number.
        pid: u32,
        /// How long it was given.
        waited: Duration,
    },
    /// Something of the system that nothing works without.
    #[error("can't {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Returns what has to be said of bytes that nobody can take back.
fn handed_on(is_handed_on: bool) -> &'static str {
    if is_handed_on {
        "; what was written until here may be wrong bytes, `-o FILE` and `get-file` give whole values only"
    } else {
        ""
    }
}

impl Failure {
    /// Makes the failure of a write to standard output.
    pub(crate) fn from_stdout(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            Self::ClosedOutput
        } else {
            Self::Output { name: "standard output".into(), source }
        }
    }

    /// Tells whether the daemon that is there speaks another protocol.
    pub(crate) fn is_version_mismatch(&self) -> bool {
        matches!(self, Self::Cache(error) if error.is_version_mismatch())
    }

    /// Returns the exit status that stands for it.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::ClosedOutput => Status::Done,
            Self::Cache(error) if error.is_unavailable() => Status::NoDaemon,
            // Which are no faults of the store.
            Self::Daemon(StartError::Store(OpenError::InUse { .. } | OpenError::Closed(_))) => Status::Refused,
            Self::Daemon(StartError::Store(_)) => Status::NoDaemon,
            Self::NoStore { .. } => Status::No,
            Self::Cache(error) if error.is_invalid_input() => Status::Usage,
            Self::Service(error) if error.is_usage() => Status::Usage,
            Self::Edit(EditError::Locked { .. } | EditError::Write { .. }) => Status::Refused,
            Self::Config(_)
            | Self::Edit(_)
            | Self::Daemon(StartError::Config(_))
            | Self::Paths(_)
            | Self::Key(_)
            | Self::Tags(_)
            | Self::NoInput
            | Self::NoTerminal
            | Self::DumbTerminal { .. }
            | Self::Input { .. }
            | Self::NotText { .. }
            | Self::Json { .. } => Status::Usage,
            Self::Cache(_)
            | Self::Daemon(_)
            | Self::NotTaken { .. }
            | Self::Closed(_)
            | Self::Service(_)
            | Self::Output { .. }
            | Self::Value { .. }
            | Self::Interrupted { .. }
            | Self::StillRuns { .. }
            | Self::System { .. } => Status::Refused,
        }
    }

    /// Tells it on stderr in one line, unless whoever is to blame knows. Does not return from a signal.
    pub(crate) fn report(&self) {
        match self {
            Self::ClosedOutput => {}
            Self::Interrupted { signal } => end_by(*signal),
            _ => say(chain(self)),
        }
    }
}

/// Returns an error and its causes as one line, outermost first. A cause whose text was already told is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    one_line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::key::KeyError;

    fn missing() -> io::Error {
        io::Error::from_raw_os_error(2)
    }

    #[test]
    fn a_failure_is_told_with_its_causes_in_one_line() {
        let failure = Failure::Input { name: "two\nlines".into(), source: missing() };
        let line = "can't read `two\\nlines`: No such file or directory (os error 2)";
        assert_eq!(chain(&failure), line);
    }

    #[test]
    fn a_transparent_cause_is_told_once() {
        let failure = Failure::Key(KeySpellingError::Key(KeyError::Empty));
        assert_eq!(chain(&failure), KeyError::Empty.to_string());
    }

    #[test]
    fn a_closed_output_is_a_quiet_end_and_a_full_one_is_a_failure() {
        let closed = Failure::from_stdout(io::ErrorKind::BrokenPipe.into());
        assert_eq!(closed.status(), Status::Done);
        let full = Failure::from_stdout(io::ErrorKind::StorageFull.into());
        assert_eq!(full.status(), Status::Refused);
        assert!(chain(&full).starts_with("can't write `standard output`: "), "{}", chain(&full));
    }

    #[test]
    fn wrong_input_is_usage_and_what_can_not_be_written_is_refused() {
        let input = Failure::Input { name: "x".into(), source: missing() };
        let output = Failure::Output { name: "x".into(), source: missing() };
        let too_many = Failure::Tags(TagError::TooMany { count: 65 });
        assert_eq!([input, output, too_many].map(|it| it.status() as u8), [2, 4, 2]);
    }

    #[test]
    fn answers_have_the_promised_numbers() {
        assert_eq!([Answer::Yes, Answer::No, Answer::NotRunning].map(|it| it.status() as u8), [0, 1, 3]);
    }
}
