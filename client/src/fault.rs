//! How one attempt at a call failed: what decides whether it is repeated.

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
    /// The connection ended before the call was sent.
    Unsent,
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
        matches!(self, Self::Refused(WireError::Stopping) | Self::Lost | Self::Unsent | Self::Garbled)
    }
}

/// Takes the two layers of an answer apart.
pub(crate) fn settle<T>(answer: Result<Result<T, WireError>, RpcError>) -> Result<T, Fault> {
    match answer {
        Ok(answer) => answer.map_err(Fault::Refused),
        Err(RpcError::Shutdown) => Err(Fault::Lost),
        Err(RpcError::DeadlineExceeded) => Err(Fault::Late),
        Err(RpcError::Channel(ChannelError::Read(_))) => Err(Fault::Garbled),
        Err(RpcError::Channel(_)) => Err(Fault::Unsent),
        Err(RpcError::Server(error)) => Err(of_daemon(&error)),
        // The request itself can't be sent, and could not be the next time.
        Err(RpcError::Send(_)) => Err(Fault::Aborted),
    }
}

fn of_daemon(error: &ServerError) -> Fault {
    if error.kind == io::ErrorKind::WouldBlock { Fault::Throttled } else { Fault::Aborted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_leaves_the_connection_in_use_unless_the_daemon_is_stopping() {
        assert!(!Fault::Refused(WireError::NoSpace { folder: "/s".into() }).ends_connection());
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
