//! How one attempt at a call failed: what decides whether it is repeated.

use std::error::Error as StdError;
use std::io;

use datacache_proto::error::WireError;
use tarpc::client::RpcError;
use tarpc::{ChannelError, ServerError};

/// Why one attempt at a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The daemon answered, and refused.
    Refused(WireError),
    /// The connection ended; the daemon may have got the call or not.
    Lost,
    /// No answer came before the deadline.
    Late,
    /// Too many calls of this connection are under way.
    Throttled,
    /// The answer can't be understood.
    Garbled,
    /// The daemon gave the call up.
    Aborted,
    /// The connection was not needed any more: the store's folder turned out not to be the daemon's.
    Elsewhere,
}

impl Fault {
    /// Tells whether the connection is of no further use.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(self, Self::Refused(WireError::Stopping) | Self::Lost | Self::Garbled)
    }
}

/// Takes the two layers of an answer apart.
pub(crate) fn settle<T>(answer: Result<Result<T, WireError>, RpcError>) -> Result<T, Fault> {
    match answer {
        Ok(answer) => answer.map_err(Fault::Refused),
        Err(RpcError::Shutdown) => Err(Fault::Lost),
        Err(RpcError::DeadlineExceeded) => Err(Fault::Late),
        Err(RpcError::Channel(error)) => Err(of_channel(&error)),
        Err(RpcError::Server(error)) => Err(of_daemon(&error)),
        // The request itself can't be sent, and could not be the next time.
        Err(RpcError::Send(_)) => Err(Fault::Aborted),
    }
}

/// Bytes that are no message of ours are told apart from a connection that ended.
fn of_channel(error: &ChannelError<dyn StdError + Send + Sync + 'static>) -> Fault {
    let ChannelError::Read(cause) = error else {
        return Fault::Lost;
    };
    match cause.downcast_ref::<io::Error>().map(innermost_kind) {
        Some(io::ErrorKind::InvalidData) => Fault::Garbled,
        _ => Fault::Lost,
    }
}

/// The transport wraps errors of the codec into errors of the kind `Other`.
fn innermost_kind(error: &io::Error) -> io::ErrorKind {
    let mut innermost = error;
    while let Some(inner) = innermost.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>()) {
        innermost = inner;
    }
    innermost.kind()
}

fn of_daemon(error: &ServerError) -> Fault {
    if error.kind == io::ErrorKind::WouldBlock { Fault::Throttled } else { Fault::Aborted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn read_error(kind: io::ErrorKind) -> Result<Result<(), WireError>, RpcError> {
        let wrapped = io::Error::other(io::Error::new(kind, "the codec's words"));
        Err(RpcError::Channel(ChannelError::Read(Arc::new(wrapped))))
    }

    #[test]
    fn a_broken_connection_is_told_from_one_to_something_else() {
        assert_eq!(settle(read_error(io::ErrorKind::ConnectionReset)), Err(Fault::Lost));
        assert_eq!(settle(read_error(io::ErrorKind::InvalidData)), Err(Fault::Garbled));
    }

    #[test]
    fn a_refusal_leaves_the_connection_in_use_unless_the_daemon_is_stopping() {
        assert!(!Fault::Refused(WireError::NoSpace).ends_connection());
        assert!(Fault::Refused(WireError::Stopping).ends_connection());
        assert!(!Fault::Late.ends_connection());
    }

    #[test]
    fn too_many_calls_at_once_are_told_from_a_call_that_was_given_up() {
        let throttled = ServerError::new(io::ErrorKind::WouldBlock, String::new());
        assert_eq!(settle::<()>(Err(throttled.into())), Err(Fault::Throttled));
        let aborted = ServerError::new(io::ErrorKind::Other, String::new());
        assert_eq!(settle::<()>(Err(aborted.into())), Err(Fault::Aborted));
    }
}
