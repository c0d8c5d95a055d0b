//! What the daemon can be told to do wrong.

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection ends before the call is done.
    HangUp,
    /// The call is done, and the connection ends before the answer.
    HangUpAfter,
    /// The daemon says that it is stopping.
    Stopping,
    /// No answer ever comes.
    Silence,
    /// The blob is unlinked before the answer goes out, and the entry is replaced.
    Replaced,
}
