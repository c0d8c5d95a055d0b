//! The kinds of errors: predicates for those who only want to know what to do next.

use datacache_proto::error::WireError;

use super::{Error, is_full};

impl Error {
    /// Tells whether no daemon could be reached or started, or none gave an answer to a call that changes nothing.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self.innermost() {
            Self::NoDaemon { .. } | Self::Spawn { .. } | Self::StartFailed { .. } | Self::NotReady { .. } => true,
            Self::Silent { .. } | Self::ServedElsewhere { .. } | Self::Connect { .. } => true,
            Self::Lost { .. } | Self::Late { .. } => true,
            Self::Refused(error) => *error.innermost() == WireError::Stopping,
            _ => false,
        }
    }

    /// Returns what is wrong with one item of a batch; else the error itself.
    fn innermost(&self) -> &Self {
        match self {
            Self::InBatch { source, .. } => source.innermost(),
            other => other,
        }
    }

    /// Tells whether the call was understood and turned down: by the daemon, or by us because of who the daemon is, or whose the store.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self.innermost() {
            Self::Refused(error) => *error.innermost() != WireError::Stopping,
            Self::Foreign { .. } | Self::WrongStore { .. } | Self::ForeignScope { .. } | Self::Closed(_) => true,
            _ => false,
        }
    }

    /// Tells whether the filesystem of the store, or of a file that was to be written, is full, or the index of the store.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self.innermost() {
            Self::Refused(error) => error.is_no_space(),
            Self::NoSpace { .. } => true,
            Self::Io { source, .. } => is_full(source),
            _ => false,
        }
    }

    /// Tells whether a value is larger than any that is taken, or a batch than what is done in one step.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        match self.innermost() {
            Self::BatchTooLarge { .. } => true,
            Self::Refused(error) => {
                use WireError as E;
                matches!(error.innermost(), E::TooLarge { .. } | E::BatchTooLarge { .. } | E::NeverFits { .. })
            }
            _ => false,
        }
    }

    /// Tells whether a value was read as another type than its own.
    #[must_use]
    pub fn is_wrong_type(&self) -> bool {
        matches!(self.innermost(), Self::WrongType { .. })
    }

    /// Tells whether client and daemon have no protocol in common.
    #[must_use]
    pub fn is_version_mismatch(&self) -> bool {
        matches!(self.innermost(), Self::Refused(WireError::Version { .. }))
    }

    /// Tells whether a change was asked for and it is not known whether it was made.
    #[must_use]
    pub fn is_unknown_outcome(&self) -> bool {
        matches!(self.innermost(), Self::UnknownOutcome { .. })
    }

    /// Tells whether the caller gave something that can't be right, whatever daemon and store.
    #[must_use]
    pub fn is_invalid_input(&self) -> bool {
        match self.innermost() {
            Self::Key(_) | Self::Tag(_) | Self::Namespace(_) | Self::Config(_) | Self::Paths(_) => true,
            Self::Json(_) | Self::JsonValue { .. } | Self::NotText { .. } | Self::BatchTooLarge { .. } => true,
            Self::Refused(error) => matches!(
                error.innermost(),
                WireError::Key(_)
                    | WireError::Tag(_)
                    | WireError::Namespace(_)
                    | WireError::NotText { .. }
                    | WireError::OutOfRange { .. }
                    | WireError::BatchTooLarge { .. }
            ),
            _ => false,
        }
    }
}
