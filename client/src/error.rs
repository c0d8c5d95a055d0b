//! What can go wrong at the client's edge: one enum.

mod kinds;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use datacache_proto::closed::Closed;
use datacache_proto::error::WireError;
use datacache_proto::json::JsonError;
use datacache_proto::key::{Key, KeyError, NamespaceError, TagError};
use datacache_proto::paths::PathsError;
use datacache_proto::types::{Codec, Digest};
use datacache_proto::utf8::NotUtf8;

use crate::config::ConfigError;

/// Why a call of the cache did not do what it was asked.
///
/// The message says what and what to do; what the system or the daemon reported is in
/// [`source`](std::error::Error::source), and not repeated in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No daemon runs, and none was to be started.
    #[error("no daemon listens at `{}`; start one with `datacache daemon`, or let the client start it", .socket.display())]
    NoDaemon {
        /// Where one would listen.
        socket: PathBuf,
    },
    /// The daemon's program could not be run.
    #[error("can't run `{}` to start the daemon; install `datacache`, or set DATACACHE_PROGRAM to where it is", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon was started and ended before it could be reached.
    #[error("the daemon that `{} daemon` started ended at once ({status}): {last_line}", .program.display())]
    StartFailed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The last line of the daemon's log, or where to look.
        last_line: String,
    },
    /// The store's folder is somebody else's, or no daemon could write to it.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// Nobody answered at the socket in time.
    #[error("no daemon was ready at `{}` within {waited:.1?}; see `{}`", .socket.display(), .log.display())]
    NotReady {
        /// Where one should listen.
        socket: PathBuf,
        /// How long we waited.
        waited: Duration,
        /// Where a started daemon writes its log.
        log: PathBuf,
    },
    /// A daemon has the store, and gave no answer in time.
    #[error("the daemon of the store (process {pid}) gave no answer at `{}` within {waited:.1?}; {}", .socket.display(), remedy(*.pid, *.is_stopped, log))]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// The process that has the store.
        pid: u32,
        /// Whether it is stopped, as by SIGSTOP.
        is_stopped: bool,
        /// How long we waited.
        waited: Duration,
        /// Where a started daemon writes its log.
        log: PathBuf,
    },
    /// The socket could not be reached for another reason than that nobody listens there.
    #[error("can't connect to the daemon at `{}`", .socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket belongs to somebody else's process.
    #[error("user {owner} serves the socket `{}`, which is not you; name another one with --socket or DATACACHE_SOCKET", .socket.display())]
    Foreign {
        /// The socket.
        socket: PathBuf,
        /// The uid at its other end.
        owner: u32,
    },
    /// The daemon at the socket serves another store than the one that was named.
    #[error("the daemon at `{}` serves the store `{}`, not `{}`; name its own socket or none", .socket.display(), .actual.display(), .expected.display())]
    WrongStore {
        /// The socket.
        socket: PathBuf,
        /// The store that was named.
        expected: PathBuf,
        /// The store that the daemon serves.
        actual: PathBuf,
    },
    /// The store has a daemon, but not at the socket that was named.
    #[error("the store `{}` is served at `{}`, not at `{}`; leave the socket out, or stop that daemon first", .store.display(), .served.display(), .socket.display())]
    ServedElsewhere {
        /// The store.
        store: PathBuf,
        /// Where its daemon listens.
        served: PathBuf,
        /// The socket that was named.
        socket: PathBuf,
    },
    /// Large values were to travel as files only, and the store's folder can't be reached.
    #[error("the store's folder `{}` can't be reached from here; let large values travel in chunks", .store.display())]
    StoreHidden {
        /// The folder, as the daemon sees it.
        store: PathBuf,
    },
    /// A large value was replaced again and again while it was being opened.
    #[error("the value was replaced {looks} times while it was being opened; try again")]
    Restless {
        /// How often it was looked up.
        looks: u32,
    },
    /// What listens at the socket does not speak our language.
    #[error("what listens at `{}` does not speak the protocol of datacache", .socket.display())]
    Garbled {
        /// The socket.
        socket: PathBuf,
    },
    /// The connection broke off again and again.
    #[error("the connection to the daemon broke off {times} times during `{verb}`; see the daemon's log")]
    Lost {
        /// The call.
        verb: &'static str,
        /// How often.
        times: u32,
    },
    /// The daemon gave no answer in time to a call that changes nothing.
    #[error("the daemon did not answer `{verb}` within {waited:.1?}; it may be busy, try again")]
    Late {
        /// The call.
        verb: &'static str,
        /// How long we waited.
        waited: Duration,
    },
    /// A call that changes something was sent, and no answer came: it may have been done or not.
    #[error(
        "outcome unknown: the daemon was asked to `{verb}` and did not answer; look whether it is done before you repeat it"
    )]
    UnknownOutcome {
        /// The call.
        verb: &'static str,
        /// Why no answer came, where it was not the deadline.
        source: Option<Box<Self>>,
    },
    /// The daemon gave a call up without saying why.
    #[error("the daemon gave up `{verb}`; see its log")]
    Aborted {
        /// The call.
        verb: &'static str,
    },
    /// The daemon refused a call, and says why.
    #[error(transparent)]
    Refused(#[from] WireError),
    /// The key can't name an entry.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A tag, or the number of them, is out of bounds.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The namespace's name is out of bounds.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A batch is more than what is done in one step.
    #[error("{size} {what} are too many for one batch, the limit is {limit}; split it")]
    BatchTooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// One item of a batch can't be added, and so none is.
    #[error("item {index} of the batch can't be added")]
    InBatch {
        /// Which one, from 0.
        index: usize,
        /// Why.
        source: Box<Self>,
    },
    /// A value has no JSON text, or a text is not the JSON that was asked for.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A value that was added as JSON does not fit what it is read as.
    #[error("the JSON under the key `{key}` does not fit")]
    JsonValue {
        /// The entry's key.
        key: String,
        /// Where it does not.
        source: JsonError,
    },
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The places of store and socket can't be told.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// What was to be added as text is not UTF-8.
    #[error("not valid UTF-8 from byte {valid_up_to} on; add it as bytes")]
    NotText {
        /// How many bytes at the beginning are valid.
        valid_up_to: u64,
    },
    /// The value is of another type than the one asked for.
    #[error("the value{} is {found}, it was read as {expected}; read it as what it is", of_key(.key.as_deref()))]
    WrongType {
        /// The entry's key, where it was got by one.
        key: Option<String>,
        /// What was asked for.
        expected: Codec,
        /// What the value is.
        found: Codec,
    },
    /// The bytes of a value are not those that were added.
    #[error("the value{} is damaged: its bytes are not those of {digest}; it is a miss once the daemon has seen that: add it again", of_key(.key.as_deref()))]
    Damaged {
        /// The entry's key, where it was got by one.
        key: Option<String>,
        /// The SHA-256 that it should have.
        digest: Digest,
    },
    /// The scope belongs to another process.
    #[error("the scope was opened by process {owner}; a forked child has to open its own")]
    ForeignScope {
        /// The process that opened it.
        owner: u32,
    },
    /// A call of the asynchronous client was made outside of a runtime.
    #[error("not within a tokio runtime; use `blocking::DataCache`")]
    NoRuntime,
    /// The system failed to do something.
    #[error("can't {action} `{}`", .path.display())]
    Io {
        /// What was to be done, as a verb.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A large value has no room in the store's folder.
    #[error("no space left on the filesystem of `{}`, or none for its user; free space there, or delete or evict entries", .folder.display())]
    NoSpace {
        /// The store's folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A reader that was handed in failed.
    #[error("can't read the value that is to be added")]
    Source {
        /// What it said.
        source: io::Error,
    },
    /// The system failed to give what the client runs on: a thread, a random number, the process's own name.
    #[error("can't {action}")]
    System {
        /// What was to be done, as a verb.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Returns the words that tell what to do about a daemon that gives no answer.
fn remedy(pid: u32, is_stopped: bool, log: &Path) -> String {
    if is_stopped {
        return format!("it is stopped: `kill -CONT {pid}` lets it go on");
    }
    let log = log.display();
    format!("it is busy or hangs: see `{log}`, or its journal under systemd, and `kill {pid}` ends it if it stays so")
}

/// Returns the words that tell whose value it is.
fn of_key(key: Option<&str>) -> String {
    key.map(|key| format!(" under the key `{key}`")).unwrap_or_default()
}

/// Tells whether there is no room, on the filesystem or for this user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<NotUtf8> for Error {
    fn from(NotUtf8 { valid_up_to }: NotUtf8) -> Self {
        Self::NotText { valid_up_to }
    }
}

impl Error {
    /// Says what to do where a store has no room for a file in it.
    pub(crate) fn within(self, store: &Path) -> Self {
        match self {
            Self::Io { source, .. } if is_full(&source) => Self::NoSpace { folder: store.to_owned(), source },
            other => other,
        }
    }

    /// Says which key it is about, where it is about a value and does not say so yet.
    pub(crate) fn about(self, of: &Key) -> Self {
        let named = || Some(of.to_string());
        match self {
            Self::WrongType { key: None, expected, found } => Self::WrongType { key: named(), expected, found },
            Self::Damaged { key: None, digest } => Self::Damaged { key: named(), digest },
            Self::Json(source) => Self::JsonValue { key: of.to_string(), source },
            other => other,
        }
    }
}

/// Makes of an [`io::Error`] one that says what was to be done to which file.
pub(crate) trait IoContext<T> {
    /// Names the action, as a verb, and the file.
    fn during(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn during(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|error| Error::Io { action, path: path.to_owned(), source: error.into() })
    }
}

#[cfg(test)]
mod tests;
