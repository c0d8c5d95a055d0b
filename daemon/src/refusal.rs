//! How what went wrong inside is told to a client: few kinds, with the facts.

use datacache_proto::error::{StoreStep, UnbindableReason, WireError};
use datacache_proto::types::CallId;

use crate::store::StoreError;
use crate::writer::WriteError;

impl From<WriteError> for WireError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => error.into(),
            WriteError::NotDurable => Self::Store { step: StoreStep::Sync, errno: None },
            WriteError::Closed => Self::Stopping,
        }
    }
}

impl From<StoreError> for WireError {
    /// What is not the client's doing is also told to the log, with all its causes.
    fn from(error: StoreError) -> Self {
        let failed = |step, errno| {
            tracing::warn!(error = &error as &dyn std::error::Error, "the store failed a call");
            Self::Store { step, errno }
        };
        match &error {
            StoreError::Append { source } => failed(StoreStep::Append, source.raw_os_error()),
            StoreError::Read { source } => failed(StoreStep::Read, errno_of(source)),
            StoreError::ApplyFailed { errno } => failed(StoreStep::Apply, *errno),
            StoreError::Blob { source, .. } | StoreError::Unexamined { source, .. } => {
                failed(StoreStep::Blob, source.raw_os_error())
            }
            StoreError::BlobChanged => failed(StoreStep::Blob, None),
            StoreError::NoSpace { folder } => Self::NoSpace { folder: folder.to_string_lossy().into_owned() },
            StoreError::IndexFull { limit } => Self::IndexFull { limit: *limit },
            StoreError::NeverFits { bytes, of, limit } => {
                Self::NeverFits { bytes: *bytes, of: of.clone(), limit: *limit }
            }
            StoreError::Full { of, cause } => Self::Full { of: of.clone(), cause: *cause },
            StoreError::Staged { name, fault } => Self::Staged { name: name.clone(), fault: fault.clone() },
            StoreError::Damaged => Self::Damaged,
            StoreError::Restarting => Self::Stopping,
            StoreError::TooLarge { size, limit } => Self::BatchTooLarge { size: *size, limit: *limit },
            StoreError::TooMany { what, limit } => Self::Busy { what: *what, limit: *limit },
            StoreError::ScopeEnded => Self::Unbindable { reason: UnbindableReason::Ended },
        }
    }
}

/// The kept reply of a call is of another kind: its client used the number before, for something else.
pub(crate) fn used_before(call: CallId) -> WireError {
    let min = call.number.saturating_add(1);
    WireError::OutOfRange { field: "call.number".into(), value: call.number, min, max: u64::MAX }
}

fn errno_of(error: &heed::Error) -> Option<i32> {
    match error {
        heed::Error::Io(error) => error.raw_os_error(),
        heed::Error::Mdb(error) => Some(error.to_err_code()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    use datacache_proto::error::{Resource, StagedFault};

    #[test]
    fn a_failure_of_the_system_keeps_its_number() {
        let disk = || io::Error::from_raw_os_error(5);
        let told = |error: StoreError| WireError::from(error);
        let append = told(StoreError::Append { source: disk() });
        assert_eq!(append, WireError::Store { step: StoreStep::Append, errno: Some(5) });
        let read = told(StoreError::Read { source: heed::Error::Io(disk()) });
        assert_eq!(read, WireError::Store { step: StoreStep::Read, errno: Some(5) });
        let blob = told(StoreError::Blob { action: "open", source: disk() });
        assert_eq!(blob, WireError::Store { step: StoreStep::Blob, errno: Some(5) });
    }

    #[test]
    fn what_the_client_can_act_on_is_told_apart() {
        let fault = StagedFault::Missing;
        let staged = StoreError::Staged { name: "n".into(), fault: fault.clone() };
        assert_eq!(WireError::from(staged), WireError::Staged { name: "n".into(), fault });
        let full = StoreError::NoSpace { folder: "/s".into() };
        assert_eq!(WireError::from(full), WireError::NoSpace { folder: "/s".into() });
        assert_eq!(WireError::from(StoreError::IndexFull { limit: 9 }), WireError::IndexFull { limit: 9 });
        let many = StoreError::TooMany { what: Resource::Namespaces, limit: 2 };
        assert_eq!(WireError::from(many), WireError::Busy { what: Resource::Namespaces, limit: 2 });
        let ended = WireError::Unbindable { reason: UnbindableReason::Ended };
        assert_eq!(WireError::from(StoreError::ScopeEnded), ended);
        assert_eq!(WireError::from(WriteError::Closed), WireError::Stopping);
        assert_eq!(WireError::from(StoreError::Restarting), WireError::Stopping);
    }
}
